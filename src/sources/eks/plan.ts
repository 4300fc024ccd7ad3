import pLimit from 'p-limit';
import { ReplicationError, ReplicationErrors, toReplicationError } from '../../model/errors.ts';
import type { ChartIsolation } from '../../model/isolation.ts';
import { type Origin, type Plan, planVersion, type PlannedChart } from '../../model/plan.ts';
import { checkTargetRepository, targetReference } from '../../model/target-name.ts';
import type { FoundImage, IsolatedChart } from '../../charts/isolation/port.ts';
import { placeOf as placeInRender, placeText } from '../../charts/isolation/texts.ts';
import type { ChartContent } from './chart-content.ts';
import type { ChartEntry, DataFileSet } from './entries.ts';
import { type ChartImages, declaredImages } from './images.ts';
import { mapSource } from './mapping.ts';
import { collisions, gatherImages, type WantedImage } from './planned-images.ts';
import type { ReplicatedChart, ReplicationResult, UpdatedImage } from './result.ts';
import { chartTag, chartTarget } from './target-name.ts';

export type { ChartContent } from './chart-content.ts';

export interface EksPlanOptions {
  /** P: `<registry>/<project>-`, what every target begins with. */
  readonly prefix: string;
  /** Finds and reads the chart: exact version for a range, archive checked. Called for several charts at once. */
  readonly readChart: (entry: ChartEntry, signal: AbortSignal) => Promise<ChartContent>;
  /** Platforms to copy where the data files name none, as os/architecture[/variant]. */
  readonly platforms: 'all' | readonly string[];
  readonly signal: AbortSignal;
  /**
   * Finds what a chart needs beside its declared images, and the values that re-point it. Without it, only what is declared
   * is replicated.
   */
  readonly isolate?: IsolateEntry | undefined;
  /** How many charts are read at once. Default 8. */
  readonly concurrency?: number;
}

/** @param target `registry/path/name:tag` of the chart */
export type IsolateEntry = (
  entry: ChartEntry,
  declared: ChartImages,
  target: string,
  signal: AbortSignal,
) => Promise<IsolatedChart>;

export interface EksPlan {
  readonly plan: Plan;
  /** By the charts' keys, sorted. Empty when nothing was rendered. */
  readonly isolated: ReadonlyMap<string, IsolatedChart>;
  /** What is known about the images of each chart, sorted by key; proven once the copy is done. */
  readonly isolation: readonly ChartIsolation[];
  readonly result: ReplicationResult;
  /** What the original module writes as `updated_images.json`: each pair once, additional images first. */
  readonly updatedImages: readonly UpdatedImage[];
  /** Everything that has to be corrected, of all charts. The rest of the plan holds without it. */
  readonly problems: readonly ReplicationError[];
  readonly notices: readonly string[];
}

interface PlannedEntry {
  readonly chart: PlannedChart;
  readonly replicated: ReplicatedChart;
  readonly images: ChartImages;
  readonly isolated: IsolatedChart | undefined;
}

/**
 * Turns data files into what is to be copied and what the EKS module is told. Reads the charts, asks no image registry.
 * @throws ReplicationError `cancelled` when the signal is aborted; everything else is in `problems`
 */
export async function planEks(files: DataFileSet, options: EksPlanOptions): Promise<EksPlan> {
  const limit = pLimit(options.concurrency ?? 8);
  const entries = [...files.charts.values()];
  const outcomes = await Promise.all(entries.map((entry) => limit(() => planChart(entry, options))));
  if (options.signal.aborted) throw new ReplicationError('cancelled', 'told to stop while the charts were read');
  const problems: ReplicationError[] = [];
  const notices: string[] = [];
  const planned: PlannedEntry[] = [];
  for (const outcome of outcomes) {
    if ('problems' in outcome) problems.push(...outcome.problems);
    else planned.push(outcome);
  }
  problems.push(...planned.flatMap(({ images }) => images.problems));
  notices.push(...planned.flatMap(({ images }) => images.notices));
  const { wanted, additional } = wantedImages(files, planned, options, problems);
  problems.push(
    ...collisions(
      wanted,
      planned.map(({ chart }) => chart),
    ),
  );
  notices.push(...wanted.flatMap(subsetNotice));
  const isolated = new Map(
    planned
      .flatMap((each) => (each.isolated === undefined ? [] : [[each.chart.key, each.isolated] as const]))
      .sort(([a], [b]) => compare(a, b)),
  );
  const charts = Object.fromEntries(planned.map(({ chart, replicated }) => [chart.key, replicated]));
  return {
    plan: {
      version: planVersion,
      job: 'eks',
      images: gatherImages(wanted),
      charts: planned.map(({ chart }) => chart).sort((a, b) => compare(a.key, b.key)),
    },
    isolated,
    isolation: [...isolated.values()].map(({ isolation }) => isolation),
    result: { ami: { version: files.amiVersion }, charts, additional_images: additional },
    updatedImages: distinct(wanted.map(({ source, target }) => ({ src: source, target }))),
    problems,
    notices: [...new Set(notices)],
  };
}

async function planChart(
  entry: ChartEntry,
  options: EksPlanOptions,
): Promise<PlannedEntry | { readonly problems: readonly ReplicationError[] }> {
  try {
    options.signal.throwIfAborted();
    const repository = chartTarget(options.prefix, entry.repository, entry.name);
    const content = await options.readChart(entry, options.signal);
    const images = declaredImages(entry, content, options.prefix);
    const target = `${repository}:${chartTag(content.version)}`;
    // What is wrong with the declared paths ends the run anyway.
    const isolated =
      images.problems.length > 0 ? undefined : await options.isolate?.(entry, images, target, options.signal);
    const values = isolated?.values ?? images.values;
    const patched = isolated?.patched;
    const version = patched?.version ?? content.version;
    return {
      chart: {
        kind: 'chart',
        key: entry.key,
        name: entry.name,
        version,
        repository: entry.repository,
        target: `${repository}:${chartTag(version)}`,
        ...(patched === undefined ? {} : { digest: patched.digest }),
        values,
        origins: [entry.origin],
      },
      replicated: {
        helm: {
          name: entry.name,
          version,
          repository: `oci://${repository}`,
          srcRepository: entry.repository,
        },
        values,
      },
      images,
      isolated,
    };
  } catch (error) {
    const errors: readonly unknown[] = error instanceof ReplicationErrors ? error.errors : [error];
    return { problems: errors.map((each) => placed(each, entry.origin, `${entry.name} ${entry.version}`)) };
  }
}

/** The error with the place in the data files that led to it. */
function placed(error: unknown, origin: Origin, reference?: string): ReplicationError {
  const problem = toReplicationError(error, { reference });
  return new ReplicationError(problem.code, `${placeOf(origin)}: ${problem.message}`, { cause: error }).with(problem);
}

/** All images in the order of updated_images.json: additional ones first, then chart by chart. */
function wantedImages(
  files: DataFileSet,
  planned: readonly PlannedEntry[],
  options: EksPlanOptions,
  problems: ReplicationError[],
): { readonly wanted: readonly WantedImage[]; readonly additional: Readonly<Record<string, string>> } {
  const wanted: WantedImage[] = [];
  const additional: [string, string][] = [];
  const want = (
    { reference, target = targetReference(options.prefix, reference), digest }: Wish,
    origin: Origin,
    platforms: readonly string[] | undefined,
  ): void => {
    try {
      checkTargetRepository(target);
      const source = mapSource(reference, files.dockerMappings);
      wanted.push({ source, target, origin, platforms: platforms ?? options.platforms, digest });
    } catch (error) {
      problems.push(placed(error, origin));
    }
  };
  for (const [name, { reference, origin }] of files.additionalImages) {
    want({ reference }, origin, files.platforms);
    additional.push([name, targetReference(options.prefix, reference)]);
  }
  for (const { chart, images, isolated } of planned) {
    const platforms = files.charts.get(chart.key)?.platforms;
    for (const image of images.images) want({ reference: image.reference }, image.origin, platforms);
    for (const image of isolated?.images ?? []) want(image, originOf(chart, image), platforms);
  }
  return { wanted, additional: Object.fromEntries(additional) };
}

interface Wish {
  readonly reference: string;
  /** The reference behind the prefix unless told. */
  readonly target?: string;
  readonly digest?: WantedImage['digest'];
}

/**
 * The chart's own place in the data files, and where in its render the image is named. Without the object's name, which
 * charts make at random: same inputs, same plan.
 */
function originOf({ origins, key }: PlannedChart, { place }: FoundImage): Origin {
  const where = `charts.${key}: ${placeText({ ...placeInRender(place), object: place.object.kind })}`;
  return { ...origins[0], path: where };
}

/** A subset of the platforms is a new index, with another digest than the one that the values ask for. */
function subsetNotice({ source, platforms, origin }: WantedImage): readonly string[] {
  if (platforms === 'all' || !source.includes('@')) return [];
  return [
    `${placeOf(origin)}: ${source} is pinned by digest, and copying only ${platforms.join(', ')} gives an index another digest: ` +
      'declare `remove` for the digest, or copy all platforms of it',
  ];
}

function distinct(images: readonly UpdatedImage[]): readonly UpdatedImage[] {
  return [...new Map(images.map((image) => [`${image.src} ${image.target}`, image])).values()];
}

function placeOf(origin: Origin): string {
  return `${origin.file ?? ''}:${origin.line ?? 0}: ${origin.path}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
