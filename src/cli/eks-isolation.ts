import type { Helm } from '../charts/helm.ts';
import { isolateChart } from '../charts/isolation/isolate.ts';
import { pullBack } from '../charts/isolation/pull-back.ts';
import { copiedAs, proveChart } from '../charts/isolation/prove.ts';
import type { IsolatedChart, IsolationRequest } from '../charts/isolation/port.ts';
import type { Renderer } from '../charts/render/port.ts';
import { createRenderer } from '../charts/render/render-chart.ts';
import type { Digest } from '../model/digest.ts';
import { isReplicationError, toReplicationError } from '../model/errors.ts';
import type { ChartIsolation } from '../model/isolation.ts';
import { locate, parseReference } from '../model/reference.ts';
import type { Outcome } from '../model/result.ts';
import type { ReadStore } from '../model/store.ts';
import { splitTarget, targetReference } from '../model/target-name.ts';
import type { ChartEntry, DataFileSet } from '../sources/eks/entries.ts';
import { mapSource } from '../sources/eks/mapping.ts';
import type { EksPlan, IsolateEntry } from '../sources/eks/plan.ts';
import type { Sources } from './eks-plan.ts';
import type { EksSettings } from './eks-settings.ts';
import { settleUncontrolled } from './eks-uncontrolled.ts';
import { platformTexts } from './platform-text.ts';
import type { Session } from './session.ts';

/** What finding and proving images of charts needs of a run. */
export interface IsolationContext {
  readonly session: Session;
  readonly settings: EksSettings;
  readonly files: DataFileSet;
  readonly sources: Sources;
  /** P: `<registry>/<project>-` */
  readonly prefix: string;
  /** One for all charts: it renders on as many cores as there are. */
  readonly renderer: Renderer;
}

export function isolationContext(helm: Helm, context: Omit<IsolationContext, 'renderer'>): IsolationContext {
  return { ...context, renderer: createRenderer(helm) };
}

/** Finds what the data files do not declare. Guesses are confirmed where the image would be read from, mappings applied. */
export function isolateWith(context: IsolationContext): IsolateEntry {
  const { session, settings, files, sources, prefix, renderer } = context;
  return async (entry, declared, chartTarget, signal) => {
    const fetched = await sources.fetchChart(entry, signal);
    const { chart, archive } = fetched;
    const apiVersions = apiVersionsOf(context, entry);
    const digestOf = pinning(context, entry);
    const surroundings = { kubeVersion: files.eksVersion, apiVersions, prefix, digestOf, renderer, signal };
    const found = await isolateChart({
      ...surroundings,
      key: entry.key,
      chart,
      archive,
      chartTarget,
      values: entry.values,
      declared: declared.overrides,
      declaredImages: new Map(
        declared.images.map(({ reference }) => [targetReference(prefix, reference), reference] as const),
      ),
      profiles: [...entry.profiles].map(([name, values]) => ({ name, values })),
      copyConditional: entry.conditionalImages === 'copy',
      isAllowed: settings.isAllowed,
      exists: (reference) => existsAtSource(context, reference),
    });
    const { uncontrolledImages } = settings;
    const isolated = await settleUncontrolled(found, fetched, uncontrolledImages, surroundings, session.reporter);
    tell(session, isolated);
    return isolated;
  };
}

function apiVersionsOf({ settings, files }: IsolationContext, entry: ChartEntry | undefined): readonly string[] {
  return [...new Set([...files.apiVersions, ...(entry?.apiVersions ?? []), ...settings.apiVersions])];
}

async function digestAtSource({ session, files, sources }: IsolationContext, written: string): Promise<Digest> {
  const { registry, repository, reference } = locate(parseReference(mapSource(written, files.dockerMappings)));
  return (await sources.store(registry).resolve(repository, reference, session.signal)).digest;
}

async function existsAtSource(context: IsolationContext, written: string): Promise<boolean> {
  try {
    await digestAtSource(context, written);
    return true;
  } catch (error) {
    if (isReplicationError(error, 'not-found')) return false;
    throw error;
  }
}

/** A subset of the platforms is a new index, whose digest nobody knows before the copy: it cannot be pinned. */
function pinning(context: IsolationContext, entry: ChartEntry): IsolationRequest['digestOf'] {
  const { settings, session } = context;
  if (!settings.pinDigests) return undefined;
  if (platformTexts(settings.platforms) !== 'all' || entry.platforms !== undefined) {
    const message = `chart ${entry.name} ${entry.version}: not pinned by digest, as only some platforms are copied`;
    session.reporter.emit({ type: 'notice', level: 'warning', message });
    return undefined;
  }
  return async (reference) => {
    try {
      return await digestAtSource(context, reference);
    } catch (error) {
      // The copy meets the same obstacle, and tells it.
      if (isReplicationError(error) && !session.signal.aborted) return undefined;
      throw error;
    }
  };
}

function tell(session: Session, { isolation }: IsolatedChart): void {
  const title = `chart ${isolation.name} ${isolation.version}`;
  for (const warning of isolation.warnings)
    session.reporter.emit({ type: 'notice', level: 'warning', message: `${title}: ${warning}` });
}

/**
 * The isolation proof: every chart is pulled back from the target and rendered with what is published for it. Charts of which
 * something was not copied stay unproven: that they failed is known already.
 * @param outcomes of the copy
 */
export async function proveAll(
  context: IsolationContext,
  plan: EksPlan,
  outcomes: readonly Outcome[],
  store: ReadStore,
): Promise<readonly ChartIsolation[]> {
  const digests = new Map(outcomes.flatMap((each) => (each.kind === 'failed' ? [] : [[each.artifact, each.digest]])));
  const copied = new Map<string, Digest>();
  for (const { source, targets } of plan.plan.images) {
    const digest = digests.get(source);
    if (digest !== undefined) for (const target of targets) copied.set(target, digest);
  }
  const digestAt = digestsAt(store, context.session.signal);
  return Promise.all(
    [...plan.isolated.values()].map(async (isolated): Promise<ChartIsolation> => {
      const { isolation } = isolated;
      const { name, version, references, profiles } = isolation;
      const whole =
        digests.has(`chart ${name} ${version}`) &&
        references.every(({ target }) => target === undefined || copiedAs(copied, target) !== undefined);
      if (!whole || profiles.length === 0) return { ...isolation, holds: false };
      return proveOne(context, isolated, copied, digestAt, store);
    }),
  );
}

async function proveOne(
  context: IsolationContext,
  { isolation, values, overrides, uses }: IsolatedChart,
  copied: ReadonlyMap<string, Digest>,
  digestAt: (target: string) => Promise<Digest | undefined>,
  store: ReadStore,
): Promise<ChartIsolation> {
  const { session, settings, files, prefix, renderer } = context;
  const { signal } = session;
  try {
    return await proveChart({
      isolation,
      archive: await pullBack(store, isolation.target, signal),
      published: values,
      overrides,
      uses,
      kubeVersion: files.eksVersion,
      apiVersions: apiVersionsOf(context, files.charts.get(isolation.key)),
      prefix,
      isAllowed: settings.isAllowed,
      copied,
      digestAt,
      renderer,
      signal,
    });
  } catch (error) {
    signal.throwIfAborted();
    const { message } = toReplicationError(error, { side: 'target' });
    return { ...isolation, holds: false, problems: [...isolation.problems, `the isolation proof failed: ${message}`] };
  }
}

/** What the target holds under a name. Each name is asked for once. */
function digestsAt(store: ReadStore, signal: AbortSignal): (target: string) => Promise<Digest | undefined> {
  const answers = new Map<string, Promise<Digest | undefined>>();
  const ask = async (target: string): Promise<Digest | undefined> => {
    const { repository, tag, digest } = splitTarget(target);
    try {
      return (await store.resolve(repository, digest ?? tag ?? 'latest', signal)).digest;
    } catch (error) {
      if (isReplicationError(error, 'not-found')) return undefined;
      throw error;
    }
  };
  return (target) => {
    const known = answers.get(target) ?? ask(target);
    answers.set(target, known);
    return known;
  };
}
