import { join, resolve } from 'node:path';
import type { Aws } from '../../aws/clients.ts';
import type { Helm } from '../../charts/helm.ts';
import { judge } from '../../charts/isolation/verdict.ts';
import { ReplicationErrors, toReplicationError } from '../../model/errors.ts';
import type { ChartIsolation } from '../../model/isolation.ts';
import type { Lock } from '../../model/lock.ts';
import { type Failure, failureOf } from '../../model/result.ts';
import { consumerFiles } from '../../publish/consumers/consumer-files.ts';
import { jsonText, writeFiles } from '../../publish/files.ts';
import { writeLock } from '../../publish/lock.ts';
import type { DataFileSet } from '../../sources/eks/entries.ts';
import type { EksPlan } from '../../sources/eks/plan.ts';
import { formatResult, formatUpdatedImages } from '../../sources/eks/result.ts';
import { announcePlan } from '../announce.ts';
import { chartRequest, imageRequest } from '../copy-requests.ts';
import { claimAndReplicate } from '../eks-copy.ts';
import { isolateWith, type IsolationContext, isolationContext, proveAll } from '../eks-isolation.ts';
import { clearLeftFiles, inFolder, writeLeftFiles } from '../eks-left-files.ts';
import { archiveOf, makePlan, openSources, pushedChart, type Sources } from '../eks-plan.ts';
import { publishRun, sizesOf } from '../eks-publish.ts';
import { type LeftRemedies, leftRemedies, noRemedies } from '../eks-remedies.ts';
import type { EksSettings } from '../eks-settings.ts';
import { eksLock } from '../lock-eks.ts';
import { tellEstimate } from '../plan-estimate.ts';
import type { Replication } from '../replicate.ts';
import type { JobResult, Session } from '../session.ts';
import { collecting } from '../steps.ts';
import { layoutHost, type Target } from '../target.ts';
import { findHelm } from './helm.ts';

/** Where a run of data files takes from and puts to. */
export interface PlannedRun {
  readonly session: Session;
  readonly settings: EksSettings;
  readonly aws: Aws;
  readonly target: Target;
  readonly files: DataFileSet;
  readonly command: {
    readonly out: string;
    readonly plan?: boolean | undefined;
    readonly publish?: boolean | undefined;
    /** `false`: do not render the charts. */
    readonly render?: boolean | undefined;
  };
}

/** What is known before anything is copied, and written down. */
interface Planned {
  /** Absolute path of the run's folder. */
  readonly out: string;
  readonly sources: Sources;
  readonly plan: EksPlan;
  /** Absent where charts are not rendered. */
  readonly isolation: IsolationContext | undefined;
  readonly remedies: LeftRemedies;
  /** Paths of the files that tell of it. */
  readonly written: readonly string[];
  /** Charts that cannot be had. */
  readonly failures: readonly Failure[];
}

/** The EKS job from data files: plans, and unless the plan is all that is asked for copies, proves, locks and publishes. */
export async function runPlannedEks(run: PlannedRun): Promise<JobResult> {
  const planned = await planOf(run);
  return run.command.plan === true ? dryRun(run, planned) : replicated(run, planned);
}

async function planOf({ session, settings, aws, target, files, command }: PlannedRun): Promise<Planned> {
  const sources = await openSources(session, settings.helmRepoSecret, files.userHosts, aws);
  const prefix = `${target.host}/${target.path}${settings.project}-`;
  const helm = await helmOf(session, settings, files, command.render);
  const isolation =
    helm === undefined ? undefined : isolationContext(helm, { session, settings, files, sources, prefix });
  const plan = await makePlan(session, settings, files, sources, prefix, isolation && isolateWith(isolation));
  const failures = planFailures(session, plan);
  announcePlan(session.reporter, plan.plan);
  const out = resolve(command.out);
  await clearLeftFiles(out);
  const written = await writeFiles(out, {
    'plan.json': jsonText(plan.plan),
    'updated_images.json': formatUpdatedImages(plan.updatedImages),
    'replication_result.json': formatResult(plan.result),
  });
  // A layout is a folder: nothing installs from there.
  const remedies = target.host === layoutHost ? noRemedies : leftRemedies(out, plan);
  return { out, sources, plan, isolation, remedies, written, failures };
}

async function dryRun({ session, settings, target, files }: PlannedRun, planned: Planned): Promise<JobResult> {
  const { out, sources, remedies, written } = planned;
  const { plan, isolation } = planned.plan;
  const { failures } = judged(session, settings, files, isolation, remedies);
  const paths = await writeIsolation(out, isolation, remedies);
  const requests = plan.images.map((image) => imageRequest(image, sources.store, () => target.store));
  const estimate = await tellEstimate(session, requests);
  const report = { plan, charts: isolation, remedies: remedies.report };
  return {
    failures: [...planned.failures, ...failures, ...estimate],
    totals: undefined,
    files: [...written, ...paths],
    report,
  };
}

async function replicated(run: PlannedRun, planned: Planned): Promise<JobResult> {
  const { session, settings, aws, target, files, command } = run;
  const { out, sources, plan, remedies } = planned;
  const left = [...planned.written];
  const replication = await copyPlan(session, files, sources, plan, target);
  const failures = [...planned.failures, ...replication.failures];
  for (const message of replication.notices) session.reporter.emit({ type: 'notice', level: 'warning', message });
  // What the copy did is told whatever becomes of the steps behind it.
  const step = collecting(failures);
  let proven = plan.isolation;
  await step('charts', async () => {
    proven = await provenIn(run, planned, replication);
  });
  const verdict = judged(session, settings, files, proven, remedies);
  failures.push(...verdict.failures);
  left.push(...(await writeIsolation(out, proven, remedies)));
  if (failures.length === 0 && session.admission.aborted)
    failures.push(failureOf('run', toReplicationError(session.admission.reason)));
  if (failures.length === 0 && target.host !== layoutHost) {
    await step('consumers', async () => {
      await writeLeftFiles(out, inFolder('consumers', consumerFiles(plan.plan.charts, remedies)));
      left.push(join(out, 'consumers'));
    });
  }
  let lock: Lock | undefined;
  if (failures.length === 0) {
    await step('lock', async () => {
      lock = await lockOf(session, files, sources, { ...plan, isolation: proven }, replication, target);
      left.push(...(await writeLock(out, lock)));
    });
  }
  const report = { plan: plan.plan, charts: proven, remedies: remedies.report, sizes: lock && sizesOf(lock) };
  const { totals } = replication;
  if (failures.length === 0 && command.publish === true && lock !== undefined) {
    const finished = { plan: plan.plan, result: plan.result, isolation: proven, lock, totals, report, files: left };
    await step('publish', async () => {
      left.push(...(await publishRun(session, settings, aws, out, { ...finished, gap: verdict.gap })));
    });
  }
  return { failures, totals, files: left, report };
}

/** How the charts fare with what was copied; as planned where none were rendered, or the run is told to stop. */
async function provenIn(
  { session, target }: PlannedRun,
  { isolation, plan }: Planned,
  { outcomes }: Replication,
): Promise<readonly ChartIsolation[]> {
  if (isolation === undefined || session.admission.aborted) return plan.isolation;
  return proveAll(isolation, plan, outcomes, target.store);
}

/**
 * The helm that charts are rendered with. One that the user named has to be had; where none was named and none can be
 * had (a build without internet), the run goes on without rendering, and says so.
 */
async function helmOf(
  session: Session,
  settings: EksSettings,
  files: DataFileSet,
  render: boolean | undefined,
): Promise<Helm | undefined> {
  if (render === false || files.charts.size === 0) return undefined;
  try {
    return await findHelm(session, settings.helmDistro);
  } catch (error) {
    if (settings.helmDistro.url !== undefined || session.signal.aborted) throw error;
    const { message } = toReplicationError(error);
    session.reporter.emit({
      type: 'notice',
      level: 'warning',
      message: `no helm, so charts are not rendered to look for images that are not declared: ${message}`,
    });
    for (const { name, version } of [...files.charts.values()].filter(({ images }) => images.length === 0))
      session.reporter.emit({
        type: 'notice',
        level: 'warning',
        message: `chart ${name} ${version} declares no images, and without helm none are found: none are replicated for it`,
      });
    return undefined;
  }
}

/** What the charts still pull from elsewhere: told, and a failure where it is one. */
function judged(
  session: Session,
  settings: EksSettings,
  files: DataFileSet,
  isolation: readonly ChartIsolation[],
  { offersFor }: LeftRemedies,
): { readonly failures: readonly Failure[]; readonly gap: number } {
  const declared = new Set([...files.charts.values()].flatMap(({ key, images }) => (images.length > 0 ? [key] : [])));
  const { warnings, errors, gap } = judge(isolation, settings.uncontrolledImages, declared, offersFor);
  for (const message of warnings) session.reporter.emit({ type: 'notice', level: 'warning', message });
  return { failures: errors.map((error) => failureOf(error.reference ?? 'chart', error)), gap };
}

async function writeIsolation(
  out: string,
  isolation: readonly ChartIsolation[],
  { files, entries }: LeftRemedies,
): Promise<readonly string[]> {
  if (isolation.length === 0) return [];
  await writeLeftFiles(out, files);
  return [
    ...(await writeFiles(out, { 'isolation.json': jsonText(isolation) })),
    ...entries.map((each) => join(out, each)),
  ];
}

/** What has to be corrected in data files ends the run before anything moves; a chart that cannot be had does not stop the rest. */
function planFailures(session: Session, plan: EksPlan): Failure[] {
  for (const message of plan.notices) session.reporter.emit({ type: 'notice', level: 'warning', message });
  const wrong = plan.problems.filter((problem) => problem.code === 'configuration');
  if (wrong.length > 0) throw new ReplicationErrors(plan.problems);
  return plan.problems.map((problem) => failureOf(problem.reference ?? 'plan', problem));
}

async function copyPlan(
  session: Session,
  files: DataFileSet,
  sources: Sources,
  { plan, isolated }: EksPlan,
  target: Target,
): Promise<Replication> {
  // Two keys may want the same chart; it is copied once.
  const distinct = [...new Map(plan.charts.map((chart) => [chart.target, chart])).values()];
  const charts = await Promise.all(
    distinct.map(async (chart) =>
      chartRequest(
        chart,
        await pushedChart(sources, files, chart, isolated.get(chart.key)?.patched, session.signal),
        sources.store,
        target.store,
        session.signal,
      ),
    ),
  );
  const images = plan.images.map((image) => imageRequest(image, sources.store, () => target.store));
  return claimAndReplicate(session, { images, charts, verify: true }, target);
}

/** Everything that was replicated, by digest. A patched chart is told by the archive that it was made from, too. */
function lockOf(
  session: Session,
  files: DataFileSet,
  sources: Sources,
  plan: Pick<EksPlan, 'plan' | 'result' | 'updatedImages' | 'isolated' | 'isolation'>,
  { outcomes }: Replication,
  target: Target,
): Promise<Lock> {
  const { signal } = session;
  return eksLock({
    plan,
    ownHosts: files.userHosts,
    isolation: plan.isolation,
    outcomes,
    fetched: async (chart) => ({
      fetched: await archiveOf(sources, files, chart, signal),
      patched: plan.isolated.get(chart.key)?.patched,
    }),
    sources,
    target,
    signal,
  });
}
