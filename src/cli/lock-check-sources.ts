import pLimit from 'p-limit';
import type { FetchChart } from '../charts/fetch.ts';
import { type Digest, isDigest } from '../model/digest.ts';
import { isReplicationError } from '../model/errors.ts';
import type { Lock, LockedChart, LockedImage, LockFinding } from '../model/lock.ts';
import { formatLocation, type Location, locate, parseReference } from '../model/reference.ts';
import type { ReadStore } from '../model/store.ts';
import { unknown } from './lock-check-target.ts';

export interface LockSources {
  readonly store: (host: string) => ReadStore;
  readonly fetchChart: FetchChart;
}

const lookups = 32;
/** Charts are read whole, to compare their digests. */
const downloads = 8;

/** Whether the sources still have what a lock names: tags that moved, digests and charts that are gone. */
export async function checkSources(
  lock: Lock,
  sources: LockSources,
  signal: AbortSignal,
): Promise<readonly LockFinding[]> {
  const [asks, reads] = [pLimit(lookups), pLimit(downloads)];
  const found = await Promise.all([
    ...lock.images.map((image) => asks(() => checkImage(image, sources, signal))),
    ...lock.charts.map((chart) => reads(() => checkChart(chart, sources, signal))),
  ]);
  return found.filter((each) => each !== undefined);
}

async function checkImage(
  image: LockedImage,
  { store }: LockSources,
  signal: AbortSignal,
): Promise<LockFinding | undefined> {
  const location = locate(parseReference(image.source));
  const source = store(location.registry);
  const finding = {
    artifact: image.source,
    at: 'source',
    reference: formatLocation(location),
    locked: image.digest,
  } as const;
  try {
    const found = await digestAt(source, location, location.reference, signal);
    if (found === image.digest) return undefined;
    const kept = isDigest(location.reference) ? undefined : await digestAt(source, location, image.digest, signal);
    const rest = kept === undefined ? 'the locked digest is gone' : 'the locked digest can still be had';
    if (found === undefined) {
      const why = `${location.registry} has it no more; ${rest}`;
      return { ...finding, state: 'gone', why, remedy: 'keep the copy at the target, and look for a successor' };
    }
    const remedy = 'run the job without --lock to take what the tag names now, or leave it as it is';
    return { ...finding, state: 'moved', found, why: `the tag names ${found} now; ${rest}`, remedy };
  } catch (error) {
    return unknown(finding, error);
  }
}

async function digestAt(
  store: ReadStore,
  { repository }: Location,
  reference: string,
  signal: AbortSignal,
): Promise<Digest | undefined> {
  try {
    return (await store.resolve(repository, reference, signal)).digest;
  } catch (error) {
    if (isReplicationError(error, 'not-found')) return undefined;
    throw error;
  }
}

async function checkChart(
  { name, source }: LockedChart,
  { fetchChart }: LockSources,
  signal: AbortSignal,
): Promise<LockFinding | undefined> {
  const { repository, version } = source;
  const artifact = `chart ${name} ${version}`;
  const finding = { artifact, at: 'source', reference: repository, locked: source.digest } as const;
  try {
    const { digest } = await fetchChart({ name, repository, version }, signal);
    if (digest === source.digest) return undefined;
    const why = `the repository serves another archive under this version now: ${digest}`;
    const remedy = 'ask the owner of the chart why a published version was changed, before it is replicated anew';
    return { ...finding, state: 'moved', found: digest, why, remedy };
  } catch (error) {
    if (!isReplicationError(error, 'not-found')) return unknown(finding, error);
    const remedy = 'keep the copy at the target, and choose another version in the data files';
    return { ...finding, state: 'gone', why: error.message, remedy };
  }
}
