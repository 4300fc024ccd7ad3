import type { Helm } from '../charts/helm.ts';
import { createRenderer } from '../charts/render/render-chart.ts';
import { isReplicationError, ReplicationError, toReplicationError } from '../model/errors.ts';
import { locate, parseReference } from '../model/reference.ts';
import { type Failure, failureOf } from '../model/result.ts';
import type { ReadStore } from '../model/store.ts';
import { openChart, parseChartInput, type ReadyChart } from '../sources/chart/chart-input.ts';
import { codeCollectionImages } from '../sources/chart/code-collections.ts';
import { extractImages, type Extraction } from '../sources/chart/extract.ts';
import { parseExtraImages } from '../sources/chart/extra-images.ts';
import type { KeyedImage } from '../sources/chart/keyed-values.ts';
import { imageName, type ListedImage } from '../sources/chart/listed-image.ts';
import { nameChartImage, nameListedImage, type Naming } from '../sources/chart/naming.ts';
import type { Wanted } from '../sources/chart/plan.ts';
import { readStaticList } from '../sources/chart/static-lists.ts';
import type { ChartSettings } from './chart-settings.ts';
import type { ChartSurroundings } from './chart-surroundings.ts';
import { findHelm } from './commands/helm.ts';
import { helmDistroSettings } from './eks-settings.ts';
import type { Session } from './session.ts';

/** What the stages of one run share. */
export interface ChartRun {
  readonly session: Session;
  readonly settings: ChartSettings;
  readonly around: ChartSurroundings;
  readonly naming: Naming;
  /** What went wrong so far, and does not stop the rest. */
  readonly failures: Failure[];
  readonly notice: (level: 'info' | 'warning', message: string) => void;
}

/** A chart with its images found. */
export interface ExtractedChart {
  readonly ready: ReadyChart;
  readonly extraction: Extraction;
}

/** The chart, rendered and searched; `undefined` when there is none, or when that failed and the static list stands in. */
export async function chartStage(run: ChartRun): Promise<ExtractedChart | undefined> {
  const { settings, session, notice } = run;
  const { chart } = settings.chart;
  if (chart === '') return undefined;
  try {
    const input = await parseChartInput(settings.chart);
    const helm = await findHelm(session, helmDistroSettings(session.env));
    const { around } = run;
    const ready = await openChart(input, {
      helm,
      fetch: around.fetchChart,
      downloads: around.downloads,
      repositories: around.repositories,
      signal: session.signal,
    });
    notice('info', `chart ${ready.chart.name} ${ready.chart.version} from ${ready.from}`);
    const extraction = await extract(run, ready, helm);
    notice('info', `using the chart's images (${extraction.images.length} found)`);
    return { ready, extraction };
  } catch (error) {
    fallBack(run, `chart ${chart}`, error, settings.staticImages);
    return undefined;
  }
}

async function extract(run: ChartRun, ready: ReadyChart, helm: Helm): Promise<Extraction> {
  const { session, settings, around, naming } = run;
  const known = await readStaticList(settings.staticImages, 'static images', destinationPrefix(run));
  const keys = new Map(known.map(({ source, helmKey }) => [imageName(source), helmKey]));
  return extractImages({
    ready,
    values: settings.values,
    registry: around.target.host,
    prefix: naming.root,
    kubeVersion: settings.kubeVersion,
    apiVersions: settings.apiVersions,
    exists: (reference) => exists(around.store, reference, session.signal),
    nameOf: (reference) => nameChartImage(reference, naming),
    keyOf: (reference) => keys.get(imageName(reference)),
    renderer: createRenderer(helm),
    signal: session.signal,
  });
}

/** Asks the source what a reference names now. */
export async function digestAtSource(
  store: (registry: string) => ReadStore,
  written: string,
  signal: AbortSignal,
): Promise<string> {
  const { registry, repository, reference } = locate(parseReference(written));
  return (await store(registry).resolve(repository, reference, signal)).digest;
}

async function exists(store: (registry: string) => ReadStore, written: string, signal: AbortSignal): Promise<boolean> {
  try {
    await digestAtSource(store, written, signal);
    return true;
  } catch (error) {
    if (isReplicationError(error, 'not-found')) return false;
    throw error;
  }
}

/** Said loudly, and a failure in the end unless the user allows it: what is copied is not what was asked for. */
function fallBack({ session, settings, failures, notice }: ChartRun, what: string, error: unknown, list: string): void {
  session.signal.throwIfAborted();
  if (!isReplicationError(error) || ['usage', 'cancelled', 'deadline', 'internal'].includes(error.code)) throw error;
  notice('warning', `FALLBACK: the images of ${what} could not be found out, so those of the static list ${list} are taken instead: ${error.message}`); // prettier-ignore
  if (settings.allowFallback) return;
  failures.push(
    failureOf(
      what,
      new ReplicationError(error.code, `${error.message}; the static list was taken instead`, {
        side: error.side ?? 'source',
        reference: error.reference,
        host: error.host,
        status: error.status,
        remedy: `${error.remedy ?? 'correct what is wrong'}; or be content with the static list by --allow-fallback`,
        cause: error,
      }),
    ),
  );
}

/** Images of lists: extra ones, the static ones where there is no chart, and those of the code collections. */
export async function listStage(run: ChartRun, hasChart: boolean): Promise<readonly ListedImage[]> {
  const { settings, around, notice } = run;
  const { extraImages, staticImages, chart } = settings;
  const extra =
    extraImages === undefined ? [] : parseExtraImages(extraImages.text, extraImages.path, around.target.host);
  const prefix = destinationPrefix(run);
  const instead = hasChart ? [] : await readStaticList(staticImages, 'static images', prefix);
  if (!hasChart && chart.chart === '')
    notice('info', `no chart: the static list ${staticImages} (${instead.length} images)`);
  return [...extra, ...instead, ...(await codeCollections(run))];
}

/** What `{prefix}` in a static list stands for: the root without the host. */
function destinationPrefix({ naming }: ChartRun): string {
  return naming.root.slice(naming.base.length).replace(/\/$/, '');
}

async function codeCollections(run: ChartRun): Promise<readonly ListedImage[]> {
  const { settings, session, around, failures, notice } = run;
  if (settings.codeCollections === 'none') return [];
  const stand = await readStaticList(settings.staticCodeCollections, 'static code collections', destinationPrefix(run));
  if (settings.codeCollections === 'static') {
    notice('info', `the static list of code collections ${settings.staticCodeCollections} (${stand.length} images)`);
    return stand;
  }
  try {
    const found = await codeCollectionImages({
      place: settings.codeCollectionsPlace,
      branch: settings.branch,
      registryPrefix: settings.codeCollectionRegistry,
      helmKey: stand.find(({ helmKey }) => helmKey !== undefined)?.helmKey ?? 'runner.runEnvironment',
      downloads: around.downloads,
      signal: session.signal,
      notice: (message) => notice('warning', message),
    });
    failures.push(...found.problems.map((each) => failureOf('code collections', each)));
    notice('info', `using discovered code collection images (${found.images.length} found)`);
    return inOrderOf(stand, found.images);
  } catch (error) {
    fallBack(run, 'the code collections', error, settings.staticCodeCollections);
    return stand;
  }
}

/** Those that the static list has come first, as there: of images with one helm key the first gets it. */
function inOrderOf(stand: readonly ListedImage[], found: readonly ListedImage[]): readonly ListedImage[] {
  const stem = ({ source }: ListedImage): string =>
    imageName(source)
      .replace(/^.*\//, '')
      .replace(/-[^-]+$/, '');
  const order = stand.map(stem);
  const rank = (image: ListedImage): number => {
    const at = order.indexOf(stem(image));
    return at < 0 ? order.length : at;
  };
  return [...found].sort((a, b) => rank(a) - rank(b));
}

/** Names of listed images. One whose tag cannot be had is a failure, and the others go on. */
export async function nameAll(
  { naming, session, failures }: ChartRun,
  listed: readonly ListedImage[],
): Promise<{ readonly wanted: readonly Wanted[]; readonly keyed: readonly KeyedImage[] }> {
  const named = await Promise.all(
    listed.map(async (image) => {
      try {
        return [{ image, ...(await nameListedImage(image, naming)) }];
      } catch (error) {
        session.signal.throwIfAborted();
        const reference = image.source;
        failures.push(failureOf(reference, toReplicationError(error, { side: 'source', reference })));
        return [];
      }
    }),
  );
  const all = named.flat();
  return {
    wanted: all.map(({ image, source, target }) => ({ source, target, origin: image.origin })),
    keyed: all.map(({ image, target }) => ({ image, target })),
  };
}
