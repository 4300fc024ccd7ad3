import pLimit from 'p-limit';
import type { FetchedChart } from '../charts/fetch.ts';
import type { SourcePlace, TargetPlace } from '../copy/request.ts';
import { type Digest, isDigest } from '../model/digest.ts';
import { isReplicationError, ReplicationError, toReplicationError } from '../model/errors.ts';
import type { ChartIsolation, IsolationPlace } from '../model/isolation.ts';
import {
  type Lock,
  type LockedChart,
  type LockedEks,
  type LockedImage,
  type LockedIsolation,
  lockKind,
  lockVersion,
} from '../model/lock.ts';
import type { Plan, PlannedChart, PlannedImage } from '../model/plan.ts';
import { locate, parseReference } from '../model/reference.ts';
import type { Outcome } from '../model/result.ts';
import type { ReadStore, WriteStore } from '../model/store.ts';
import { splitTarget } from '../model/target-name.ts';
import { targetPlace } from './copy-requests.ts';
import { type Contents, lockedReferrers, platformsIn, readContents } from './lock-contents.ts';

/** A chart that was replicated, with what was fetched for it. */
export interface ReplicatedChart {
  readonly chart: PlannedChart;
  readonly fetched: FetchedChart;
  /** What is at the target instead of the fetched archive. */
  readonly patched?: { readonly digest: Digest; readonly patch: string } | undefined;
}

export interface LockInput {
  readonly job: string;
  /** What targets begin with, `/` at its end, where the run has such a thing; else the host that they have in common. */
  readonly target?: string | undefined;
  readonly images: Plan['images'];
  readonly charts: readonly ReplicatedChart[];
  readonly isolation: readonly ChartIsolation[];
  readonly eks?: LockedEks | undefined;
  /** Digests that the run saw, by artifact (source reference): a target that holds another one is an error. */
  readonly copied?: ReadonlyMap<string, Digest> | undefined;
  readonly sourceStore: (host: string) => ReadStore;
  readonly targetStore: (host: string) => WriteStore;
  readonly signal: AbortSignal;
}

/** Artifacts looked at at the same time. */
const lookups = 32;

/**
 * Writes down what a run has replicated, once it is verified: asks the target for every manifest, and the sources only about
 * what may have moved. Same inputs, same lock: nothing in it tells of times, of this machine, or of the order of things.
 * @throws ReplicationError when the target does not answer, or holds something else than was copied
 */
export async function buildLock(input: LockInput): Promise<Lock> {
  const limit = pLimit(lookups);
  const [images, charts] = await Promise.all([
    Promise.all(input.images.map((image) => limit(() => lockImage(image, input)))),
    Promise.all(input.charts.map((chart) => limit(() => lockChart(chart, input)))),
  ]);
  const target = commonRoot([...images.flatMap((image) => image.targets), ...charts.map(targetOf)], input.target);
  return {
    kind: lockKind,
    version: lockVersion,
    job: input.job,
    ...(target === undefined ? {} : { target }),
    images: sortedBy(images, (image) => [image.source, ...image.targets].join('\n')),
    charts: sortedBy(charts, (chart) => chart.key),
    ...(input.eks === undefined
      ? {}
      : {
          eks: {
            ...input.eks,
            updatedImages: sortedBy(input.eks.updatedImages, ({ src, target: to }) => `${src}\n${to}`),
          },
        }),
  };
}

/** Digests that targets hold after a run, by artifact; none for one that was copied in two ways (other platforms). */
export function copiedDigests(outcomes: readonly Outcome[]): ReadonlyMap<string, Digest> {
  const digests = new Map<string, Set<Digest>>();
  for (const each of outcomes)
    if (each.kind !== 'failed') digests.set(each.artifact, (digests.get(each.artifact) ?? new Set()).add(each.digest));
  return new Map(
    [...digests].flatMap(([artifact, all]) =>
      all.size === 1 ? [...all].map((digest) => [artifact, digest] as const) : [],
    ),
  );
}

function targetOf(chart: LockedChart): string {
  return chart.target;
}

async function lockImage(image: PlannedImage, input: LockInput): Promise<LockedImage> {
  const targets = image.targets.map((target) => targetPlace(target, input.targetStore(splitTarget(target).host)));
  const source = sourcePlace(image, input.sourceStore);
  const { contents, place } = await contentsOf(image.source, targets, input.signal);
  const seen = input.copied?.get(image.source);
  if (seen !== undefined && seen !== contents.digest) throw changedMeanwhile(image.source, contents.digest, seen);
  const digest = image.platforms === 'all' ? contents.digest : await digestAtSource(contents, source, input.signal);
  const origins = new Set(image.origins.map((origin) => origin.path));
  return {
    source: image.source,
    digest,
    ...(digest === contents.digest ? {} : { cut: contents.digest }),
    platforms: image.platforms === 'all' ? 'all' : [...new Set(image.platforms)].sort(),
    contains: [...(await platformsIn(contents.root, place, input.signal))],
    targets: [...new Set(image.targets.map(complete))].sort(),
    origins: [...origins].sort(),
    mediaType: contents.mediaType,
    size: contents.size,
    referrers: [...(await lockedReferrers(contents.root, targets, source, input.signal))],
  };
}

async function lockChart({ chart, fetched, patched }: ReplicatedChart, input: LockInput): Promise<LockedChart> {
  const target = targetPlace(chart.target, input.targetStore(splitTarget(chart.target).host));
  const { contents } = await contentsOf(`chart ${chart.name} ${chart.version}`, [target], input.signal);
  const oci = fetched.source.kind === 'oci' ? fetched.source : undefined;
  const source =
    oci === undefined
      ? undefined
      : { store: input.sourceStore(oci.registry), repository: oci.repository, reference: oci.digest };
  const isolation = input.isolation.find((each) => each.key === chart.key);
  return {
    key: chart.key,
    name: chart.name,
    version: chart.version,
    source: {
      repository: chart.repository,
      version: fetched.version,
      digest: fetched.digest,
      ...(oci === undefined ? {} : { oci: { place: `${oci.registry}/${oci.repository}`, manifest: oci.digest } }),
    },
    target: complete(chart.target),
    digest: patched?.digest ?? fetched.digest,
    ...(patched === undefined ? {} : { patch: patched.patch }),
    values: chart.values,
    ...(isolation === undefined ? {} : { isolation: lockIsolation(isolation) }),
    mediaType: contents.mediaType,
    size: contents.size,
    referrers: [...(await lockedReferrers(contents.root, [target], source, input.signal))],
  };
}

/** All targets hold the same, as verification has shown; one of them is read. */
async function contentsOf(
  artifact: string,
  targets: readonly TargetPlace[],
  signal: AbortSignal,
): Promise<{ readonly contents: Contents; readonly place: TargetPlace }> {
  const [place] = targets;
  if (place === undefined) throw new ReplicationError('internal', `${artifact} has no target`);
  try {
    return { contents: await readContents(place, signal), place };
  } catch (error) {
    throw toReplicationError(error, { side: 'target', host: place.store.name });
  }
}

function changedMeanwhile(artifact: string, digest: Digest, seen: Digest): ReplicationError {
  return new ReplicationError(
    'conflict',
    `the target of ${artifact} holds ${digest} now, and held ${seen} when copied`,
    {
      side: 'target',
      reference: artifact,
      digest,
      remedy: 'another program writes the same name: let only one of them do so',
    },
  );
}

function sourcePlace(image: PlannedImage, store: (host: string) => ReadStore): SourcePlace {
  const { registry, repository, reference } = locate(parseReference(image.source));
  return { store: store(registry), repository, reference: image.digest ?? reference };
}

/**
 * Digest of what platforms were cut out of. The annotation in the cut index tells it, unless the source was such an index
 * itself and came whole: then the source has the digest that the target has.
 */
async function digestAtSource(
  { digest, cutFrom }: Contents,
  source: SourcePlace,
  signal: AbortSignal,
): Promise<Digest> {
  if (cutFrom === undefined) return digest;
  try {
    const now = isDigest(source.reference)
      ? source.reference
      : (await source.store.resolve(source.repository, source.reference, signal)).digest;
    return now === digest ? digest : cutFrom;
  } catch (error) {
    if (isReplicationError(error, 'not-found')) return cutFrom;
    throw toReplicationError(error, { side: 'source', host: source.store.name });
  }
}

function lockIsolation(isolation: ChartIsolation): LockedIsolation {
  const { profiles, references, conditional, warnings, holds, problems, derived } = isolation;
  const at = (place: { readonly template: string; readonly line: number; readonly field: string }): string =>
    `${place.template}:${String(place.line).padStart(9, '0')}:${place.field}`;
  return {
    profiles: [...profiles].sort(),
    references: sortedBy(
      references.map((each) => ({
        ...each,
        places: sortedBy(each.places.map(withoutName), at),
        profiles: [...each.profiles].sort(),
        controlledBy: [...each.controlledBy].sort(),
      })),
      (each) => [each.reference, each.kind, ...each.places.map(at)].join('\n'),
    ),
    conditional: sortedBy(
      conditional.map((each) => ({
        ...each,
        references: [...each.references].sort(),
        switches: [...each.switches].sort(),
      })),
      (each) => [each.valuePath, ...each.references].join('\n'),
    ),
    warnings: [...new Set(warnings)].sort(),
    holds,
    problems: [...new Set(problems)].sort(),
    derived: [...new Set(derived.map((each) => each.template))].sort(),
  };
}

/** `Job/default/setup-x7k2p` is `Job`: the name may be one that the chart makes at random. */
function withoutName(place: IsolationPlace): IsolationPlace {
  return { ...place, object: place.object.replace(/\/.*$/, '') };
}

/** Without tag and digest `latest` is meant. */
function complete(target: string): string {
  const { tag, digest } = splitTarget(target);
  if (tag === undefined && digest === undefined) return `${target}:latest`;
  // A place has one name: the tag, where there are both.
  return tag === undefined || digest === undefined ? target : target.slice(0, target.indexOf('@'));
}

/** What was given, where all targets begin with it; else their host, where they have one in common. */
function commonRoot(targets: readonly string[], given: string | undefined): string | undefined {
  if (given !== undefined && targets.every((target) => target.startsWith(given))) return given;
  const hosts = new Set(targets.map((target) => splitTarget(target).host));
  const [host] = hosts;
  return host === undefined || hosts.size > 1 ? undefined : `${host}/`;
}

/** By code units, whatever the machine's language is. */
function sortedBy<T>(items: readonly T[], key: (item: T) => string): T[] {
  return items
    .map((item) => ({ item, text: key(item) }))
    .sort((a, b) => (a.text < b.text ? -1 : Number(a.text > b.text)))
    .map(({ item }) => item);
}
