import { basename, resolve } from 'node:path';
import { parseHelmYaml } from '../charts/helm-yaml.ts';
import { isList, valueAt, type Values, withSetting } from '../charts/values/tree.ts';
import { ReplicationError } from '../model/errors.ts';
import type { Lock, LockedApplication } from '../model/lock.ts';
import type { Origin, PlannedImage } from '../model/plan.ts';
import { type Failure, failureOf, type Outcome } from '../model/result.ts';
import { jsonText, writeFiles } from '../publish/files.ts';
import { readLock, writeLock } from '../publish/lock.ts';
import type { ValueSetting } from '../sources/chart/helm-key.ts';
import { updatedValues } from '../sources/chart/updated-values.ts';
import { announcePlan } from './announce.ts';
import { type ChartCommand, type ChartSettings, chartSettings, writeUpdatedValues } from './chart-settings.ts';
import type { ChartRun, ExtractedChart } from './chart-stages.ts';
import { openSurroundings } from './chart-surroundings.ts';
import { buildLock, copiedDigests } from './lock.ts';
import { checkJob, lockRequests, planFromLock } from './lock-plan.ts';
import { lockAt, refuseBesideLock, replicateLock } from './locked-run.ts';
import { tellEstimate } from './plan-estimate.ts';
import type { JobResult, Session } from './session.ts';

/** What the updated values file is made of, beside the user's own files. */
export interface ValuesUpdate {
  readonly settings: readonly ValueSetting[];
  /** The values that the chart is rendered with, before the settings. */
  readonly effective: Values;
}

export interface LockableRun {
  readonly images: readonly PlannedImage[];
  readonly chart: ExtractedChart | undefined;
  readonly update: ValuesUpdate | undefined;
  /** Images that no value moves, in words. */
  readonly uncontrolled: readonly string[];
  readonly outcomes: readonly Outcome[];
}

/** Leaves `replication.lock.json`: images by digest, and the values that name them. @returns its path */
export async function leaveChartLock(
  { session, settings, around, naming }: ChartRun,
  { images, chart, update, uncontrolled, outcomes }: LockableRun,
  out: string,
): Promise<readonly string[]> {
  const lock = await buildLock({
    job: 'chart',
    target: naming.base,
    images: images.map((image) => ({ ...image, origins: image.origins.map(withoutFolder) })),
    charts: [],
    isolation: [],
    copied: copiedDigests(outcomes),
    sourceStore: around.store,
    targetStore: () => around.target.store,
    signal: session.signal,
  });
  const application =
    update === undefined ? undefined : lockedApplication(chart, update, settings.values, uncontrolled);
  return writeLock(resolve(out), application === undefined ? lock : { ...lock, application });
}

function lockedApplication(
  chart: ExtractedChart | undefined,
  { settings, effective }: ValuesUpdate,
  own: Values,
  uncontrolled: readonly string[],
): LockedApplication {
  const { name, version } = chart?.ready.chart ?? {};
  return {
    ...(name === undefined || version === undefined ? {} : { chart: { name, version } }),
    settings: settings.map(({ path, value }) => ({ path: [...path], value })),
    lists: listsOfChart(settings, effective, own),
    uncontrolled: [...uncontrolled].sort(),
  };
}

/** Lists that the user's files do not have. A list of theirs stays with them: who knows what else stands in it. */
function listsOfChart(settings: readonly ValueSetting[], effective: Values, own: Values): LockedApplication['lists'] {
  const lists = settings.flatMap(({ path }) => {
    const at = path.findIndex((key) => typeof key === 'number');
    const above = path.slice(0, Math.max(at, 0)).map(String);
    const list = isList(valueAt(own, above)) ? undefined : valueAt(effective, above);
    return at < 0 || list === undefined ? [] : [{ path: above, json: JSON.stringify(list) }];
  });
  return [...new Map(lists.map((each) => [each.path.join('\n'), each])).values()];
}

/** A file is named without its folder, which is this machine's. */
function withoutFolder(origin: Origin): Origin {
  return { path: origin.path.startsWith('/') ? basename(origin.path) : origin.path };
}

/** The chart job from a lock: images and signatures by digest, and the values file with what the lock sets. Nothing is rendered. */
export async function runLockedChart(session: Session, command: ChartCommand, path: string): Promise<JobResult> {
  refuseInputs(command);
  const settings = await chartSettings(command, session.env, new Date());
  const written = await readLock(path);
  checkJob(written, 'chart', path);
  const around = await openSurroundings(session, { ...command, region: settings.region });
  try {
    const root = `${around.target.host}/${around.target.path}`;
    const named = command.registry !== undefined || command.target !== undefined;
    const lock = lockAt(written, root, named, path);
    const { store } = around.target;
    session.reporter.emit({ type: 'run-started', job: 'chart', target: root });
    const plan = planFromLock(lock);
    announcePlan(session.reporter, plan);
    const update = valuesOf(lock, lock !== written, settings, session, path);
    const files = [
      ...(await writeFiles(resolve(command.out), { 'plan.json': jsonText(plan) })),
      ...(update === undefined ? [] : await writeUpdatedValues(update, settings, command.out)),
    ];
    const failures = uncontrolledFailures(lock, settings, session);
    const stores = { source: around.store, target: () => store };
    if (command.plan === true) {
      for (const { source, targets } of plan.images)
        session.reporter.emit({ type: 'notice', level: 'info', message: `${source} -> ${targets.join(', ')}` });
      failures.push(...(await tellEstimate(session, lockRequests(lock, stores))));
      return { failures, totals: undefined, files, report: { plan, charts: [] } };
    }
    const { totals, ...copied } = await replicateLock(session, lock, stores);
    failures.push(...copied.failures);
    if (failures.length === 0) files.push(...(await writeLock(resolve(command.out), lock)));
    return { failures, totals, files, report: { plan, charts: [] } };
  } finally {
    await around.close();
  }
}

/** What a lock says already. */
const inputs = {
  chart: '--chart',
  repo: '--repo',
  chartVersion: '--chart-version',
  extraImages: '--extra-images',
  branch: '--branch',
  prefix: '--prefix',
  dateTags: '--date-tags',
  latest: '--latest',
  arch: '--arch',
  platforms: '--platforms',
  codeCollections: '--code-collections',
  codeCollectionRegistry: '--code-collection-registry',
  staticImages: '--static-images',
  staticCodeCollections: '--static-code-collections',
  allowFallback: '--allow-fallback',
  kubeVersion: '--kube-version',
  apiVersions: '--api-versions',
  keepRendered: '--keep-rendered',
} as const satisfies Partial<Record<keyof ChartCommand, string>>;

function refuseInputs(command: ChartCommand): void {
  const given = (Object.keys(inputs) as (keyof typeof inputs)[]).filter((name) => command[name] !== undefined);
  refuseBesideLock(given.map((name) => (command[name] === false ? '--no-code-collections' : inputs[name])));
}

/** The values file's text; none where images go elsewhere than its values would say. */
function valuesOf(
  { application }: Lock,
  moved: boolean,
  { valuesFiles }: ChartSettings,
  { reporter }: Session,
  path: string,
): string | undefined {
  if (application === undefined) return undefined;
  if (moved) {
    const message =
      'no updated values file: the values in the lock name its own target, and the images go to another one';
    reporter.emit({ type: 'notice', level: 'warning', message });
    return undefined;
  }
  const lists = application.lists.reduce<Values>(
    (all, { path: at, json }) => withSetting(all, {}, at, parseHelmYaml(json, `${path}: the list ${at.join('.')}`)),
    {},
  );
  return updatedValues(valuesFiles, application.settings, lists);
}

function uncontrolledFailures(
  { application }: Lock,
  { uncontrolled }: ChartSettings,
  { reporter }: Session,
): Failure[] {
  const messages = application?.uncontrolled ?? [];
  if (uncontrolled === 'FAIL')
    return messages.map((message) => failureOf('chart', new ReplicationError('refused', message, { side: 'module' })));
  for (const message of messages) reporter.emit({ type: 'notice', level: 'warning', message });
  return [];
}
