import type { FetchedChart } from '../charts/fetch.ts';
import type { FoundImage, IsolatedChart, IsolationRequest } from '../charts/isolation/port.ts';
import type { UncontrolledPolicy } from '../charts/isolation/verdict.ts';
import { type IsolatedArchive, type PatchedIsolation, patchIsolated } from '../charts/patch/isolated.ts';
import type { Patched } from '../charts/patch/port.ts';
import { isolatedRemedies } from '../charts/remedies/isolated.ts';
import type { Remedies } from '../charts/remedies/port.ts';
import { toReplicationError } from '../model/errors.ts';
import type { Reporter } from '../report/events.ts';

/** How the chart is rendered, and where its images go. */
export interface Surroundings extends Omit<IsolatedArchive, 'isolated' | 'archive'> {
  /** Set to pin by digest where the patch can. */
  readonly digestOf: IsolationRequest['digestOf'];
}

/**
 * What is done about references that no value moves: with PATCH the chart is changed where they literally stand, and for what
 * is left then, remedies are tried.
 * @throws ReplicationError as `patchIsolated`
 */
export async function settleUncontrolled(
  isolated: IsolatedChart,
  fetched: FetchedChart,
  policy: UncontrolledPolicy,
  surroundings: Surroundings,
  reporter: Reporter,
): Promise<IsolatedChart> {
  if (!hasUncontrolled(isolated)) return isolated;
  const request = { ...surroundings, archive: fetched.archive };
  const after = policy === 'PATCH' ? await patch(isolated, fetched, surroundings) : { isolated, patched: undefined };
  const { patched } = after;
  if (patched !== undefined) tellPatch(after.isolated, fetched, patched, reporter);
  const archive = patched?.archive ?? fetched.archive;
  const remedies = await triedRemedies({ ...request, archive, isolated: after.isolated }, reporter);
  return { ...after.isolated, patched, remedies };
}

/** Digests are left out of a chart that would not take all of them: where a part of a name stands in a template, none fits. */
async function patch(
  isolated: IsolatedChart,
  { archive, provenance }: FetchedChart,
  surroundings: Surroundings,
): Promise<PatchedIsolation> {
  const request = { ...surroundings, archive, provenance: provenance !== undefined };
  if (surroundings.digestOf !== undefined) {
    const pinned = await patchIsolated({ ...request, isolated: await withDigests(isolated, surroundings) });
    if (!hasUncontrolled(pinned.isolated)) return pinned;
  }
  return patchIsolated({ ...request, isolated });
}

/** The chart with digests in the names that a patch gives to images. */
async function withDigests(
  isolated: IsolatedChart,
  { digestOf, signal }: Pick<Surroundings, 'digestOf' | 'signal'>,
): Promise<IsolatedChart> {
  const open = isolated.isolation.references.filter(({ outcome }) => outcome === 'uncontrolled');
  const references = new Set(open.map(({ reference }) => reference));
  const images = isolated.images.map(async (image): Promise<FoundImage> => {
    if (!references.has(image.reference) || image.target.includes('@')) return image;
    const digest = await digestOf?.(image.reference, signal);
    return digest === undefined ? image : { ...image, digest, target: `${image.target}@${digest}` };
  });
  return { ...isolated, images: await Promise.all(images) };
}

function hasUncontrolled({ isolation }: IsolatedChart): boolean {
  return isolation.references.some(({ outcome }) => outcome === 'uncontrolled');
}

/** A remedy is an offer: that none can be made is told, and ends no run. */
async function triedRemedies(request: IsolatedArchive, reporter: Reporter): Promise<Remedies | undefined> {
  const { isolation } = request.isolated;
  if (!hasUncontrolled(request.isolated)) return undefined;
  try {
    return await isolatedRemedies(request);
  } catch (error) {
    request.signal.throwIfAborted();
    const message = `chart ${isolation.name} ${isolation.version}: no remedies could be tried: ${toReplicationError(error).message}`;
    reporter.emit({ type: 'notice', level: 'warning', message });
    return undefined;
  }
}

function tellPatch(
  { isolation }: IsolatedChart,
  { chart, source }: FetchedChart,
  { version, moved }: Patched,
  reporter: Reporter,
): void {
  const files = [...new Set(moved.flatMap((each) => each.files))];
  const references = moved.map(({ text }) => text).join(', ');
  const message = `chart ${isolation.name} ${chart.version} is replicated as ${version}: ${references} replaced in ${files.join(', ')}`;
  reporter.emit({ type: 'notice', level: 'info', message });
  if (source.kind !== 'oci') return;
  const signatures = `chart ${isolation.name} ${version}: signatures that ${source.registry}/${source.repository} has of the original do not come along, as they are not about the patched chart`;
  reporter.emit({ type: 'notice', level: 'warning', message: signatures });
}
