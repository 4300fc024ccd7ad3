import { join, resolve } from 'node:path';
import type { Helm } from '../../charts/helm.ts';
import { judge } from '../../charts/isolation/verdict.ts';
import { ownerTagKey } from '../../aws/owner-tag.ts';
import { ReplicationError, ReplicationErrors, toReplicationError } from '../../model/errors.ts';
import type { ChartIsolation } from '../../model/isolation.ts';
import type { Lock } from '../../model/lock.ts';
import { type Failure, failureOf } from '../../model/result.ts';
import { consumerFiles } from '../../publish/consumers/consumer-files.ts';
import { jsonText, writeFiles } from '../../publish/files.ts';
import { writeLock } from '../../publish/lock.ts';
import { validateProject } from '../../publish/names.ts';
import type { DataFileSet } from '../../sources/eks/entries.ts';
import type { EksPlan } from '../../sources/eks/plan.ts';
import { formatResult, formatUpdatedImages } from '../../sources/eks/result.ts';
import { announcePlan } from '../announce.ts';
import { openAws } from '../aws-session.ts';
import { chartRequest, imageRequest } from '../copy-requests.ts';
import { claimAndReplicate } from '../eks-copy.ts';
import { publishRun, sizesOf } from '../eks-publish.ts';
import { refuseLayout } from '../fleet/layout.ts';
import type { ShardArguments } from '../fleet/options.ts';
import { archiveOf, makePlan, openSources, pushedChart, readDataFiles, type Sources } from '../eks-plan.ts';
import { dockerCredentials } from '../docker-credentials.ts';
import { type EksArguments, type EksSettings, eksSettings } from '../eks-settings.ts';
import { eksLock } from '../lock-eks.ts';
import { isolateWith, isolationContext, proveAll } from '../eks-isolation.ts';
import { clearLeftFiles, inFolder, writeLeftFiles } from '../eks-left-files.ts';
import { type LeftRemedies, leftRemedies, noRemedies } from '../eks-remedies.ts';
import { readEksLock, runLockedEks } from './eks-locked.ts';
import { findHelm } from './helm.ts';
import { tellEstimate } from '../plan-estimate.ts';
import type { Replication } from '../replicate.ts';
import type { JobResult, Session } from '../session.ts';
import { collecting } from '../steps.ts';
import { openTarget, parseTarget, type Target } from '../target.ts';

export interface EksCommand extends EksArguments, ShardArguments {
  readonly dataDir?: string | undefined;
  readonly out: string;
  readonly plan?: boolean | undefined;
  readonly publish?: boolean | undefined;
  readonly target?: string | undefined;
  /** The lock that is replicated, instead of what data files say. */
  readonly lock?: string | undefined;
  /** `false`: do not render the charts. */
  readonly render?: boolean | undefined;
}

/** The EKS job: data files in, charts and images at the target, result written and, with `publish`, published. */
export async function runEks(session: Session, command: EksCommand): Promise<JobResult> {
  const settings = eksSettings(command, session.env, Date.now());
  const targetText = parseTarget(command.target);
  if (command.publish === true && targetText.kind !== 'ecr') {
    throw new ReplicationError('usage', '--publish goes with ECR as target only', {
      remedy: 'leave out --target or --publish',
    });
  }
  if (command.shards !== undefined) checkShards(command);
  validateProject(settings.project, settings.region);
  session.stopAt(
    settings.startedAt + settings.maxMinutes * 60_000,
    new ReplicationError(
      'deadline',
      `stopped after ${settings.maxMinutes} minutes (MaxMinutes), before Seed-Farmer's build ends by force`,
      {
        side: 'module',
        remedy: 'apply again: what is copied already is not moved twice',
      },
    ),
  );
  const aws = openAws(session, settings.region);
  try {
    session.reporter.emit({ type: 'phase', phase: 'plan' });
    const { lock: path } = command;
    const from =
      path === undefined
        ? { files: await readDataFiles(session, settings.eksVersion, command.dataDir) }
        : { lock: await readEksLock(session, { ...command, lock: path }), command: { ...command, lock: path } };
    const target = await openTarget(session, targetText, {
      aws: () => aws,
      accountId: settings.accountId,
      settings,
      tags: { [ownerTagKey(settings.deployment, settings.module)]: settings.project },
      credentials: dockerCredentials(session),
    });
    session.reporter.emit({
      type: 'run-started',
      job: 'eks',
      target: `${target.host}/${target.path}${settings.project}-…`,
    });
    if (from.lock !== undefined) return await runLockedEks({ session, settings, aws, target, ...from });
    const { files } = from;
    const sources = await openSources(session, settings.helmRepoSecret, files.userHosts, aws);
    const prefix = `${target.host}/${target.path}${settings.project}-`;
    const helm = await helmOf(session, settings, files, command);
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
    const remedies = targetText.kind === 'layout' ? noRemedies : leftRemedies(out, plan);
    if (command.plan === true) {
      failures.push(...judged(session, settings, files, plan.isolation, remedies).failures);
      const paths = await writeIsolation(out, plan.isolation, remedies);
      const requests = plan.plan.images.map((image) => imageRequest(image, sources.store, () => target.store));
      failures.push(...(await tellEstimate(session, requests)));
      const report = { plan: plan.plan, charts: plan.isolation, remedies: remedies.report };
      return { failures, totals: undefined, files: [...written, ...paths], report };
    }
    const replication = await copyPlan(session, files, sources, plan, target);
    failures.push(...replication.failures);
    for (const message of replication.notices) session.reporter.emit({ type: 'notice', level: 'warning', message });
    const left = [...written];
    // What the copy did is told whatever becomes of the steps behind it.
    const step = collecting(failures);
    let proven = plan.isolation;
    if (isolation !== undefined && !session.admission.aborted) {
      await step('charts', async () => {
        proven = await proveAll(isolation, plan, replication.outcomes, target.store);
      });
    }
    const verdict = judged(session, settings, files, proven, remedies);
    failures.push(...verdict.failures);
    left.push(...(await writeIsolation(out, proven, remedies)));
    if (failures.length === 0 && session.admission.aborted)
      failures.push(failureOf('run', toReplicationError(session.admission.reason)));
    if (failures.length === 0 && targetText.kind !== 'layout') {
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
  } finally {
    await aws.close();
  }
}

/** Charts are rendered and proven in one place, so only what a lock says can be spread. */
function checkShards({ lock, publish, target }: EksCommand): void {
  if (lock === undefined || publish === true)
    throw new ReplicationError(
      'usage',
      `--shards goes ${lock === undefined ? 'with --lock only' : 'without --publish'}`,
      {
        remedy:
          'write shards with `eks --lock FILE --shards LOCATION`; when they are copied, `eks --lock FILE --publish` does the rest',
      },
    );
  refuseLayout(target);
}

/**
 * The helm that charts are rendered with. One that the user named has to be had; where none was named and none can be
 * had (a build without internet), the run goes on without rendering, and says so.
 */
async function helmOf(
  session: Session,
  settings: EksSettings,
  files: DataFileSet,
  command: EksCommand,
): Promise<Helm | undefined> {
  if (command.render === false || files.charts.size === 0) return undefined;
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
