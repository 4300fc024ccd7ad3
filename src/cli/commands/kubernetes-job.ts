import { type JobObject, type JobsApi, openJobsApi, serviceAccountFolder } from '../../fleet/kubernetes-api.ts';
import { patiently, progressOf, type Submission, submitJob, waitForJob } from '../../fleet/kubernetes-job.ts';
import { type Owner, readJobTemplate } from '../../fleet/kubernetes-template.ts';
import { readData } from '../../fleet/run-folder.ts';
import { ShardList } from '../../fleet/shard.ts';
import { ReplicationError } from '../../model/errors.ts';
import { counted } from '../../report/format.ts';
import { variable } from '../environment.ts';
import { withRunFolder } from '../fleet/folder.ts';
import type { JobResult, Session } from '../session.ts';

export interface KubernetesJobOptions {
  readonly out: string;
  /** Run folder with the plan's shards. */
  readonly shards: string;
  /** The Job that the chart has rendered. */
  readonly template: string;
  /** The Job whose pod this is. */
  readonly owner?: Owner;
  /** Seconds between two looks at the Job. */
  readonly interval: number;
  /** Fail where an earlier run still goes on. */
  readonly mustRun?: boolean;
  /** Where Kubernetes has mounted the pod's token. */
  readonly serviceAccount?: string;
}

/**
 * Has the shards of a plan copied by an Indexed Job of the cluster that this pod runs in: starts it, waits for its end, and
 * sums up. Nothing is started while the Job of an earlier run goes on.
 */
export async function runKubernetesJob(session: Session, options: KubernetesJobOptions): Promise<JobResult> {
  const location = await copied(session, options);
  if (location === undefined) return { failures: [], totals: undefined };
  const { runSummary } = await import('./summary.ts');
  return runSummary(session, { out: options.out, shards: location });
}

/** @returns the folder of the run whose workers have ended; `undefined` when an earlier run goes on */
async function copied(session: Session, options: KubernetesJobOptions): Promise<string | undefined> {
  const template = await readJobTemplate(options.template);
  const { name } = template.metadata;
  const run = { location: options.shards, shards: await shardsIn(session, options.shards), owner: options.owner };
  // Whoever is told to stop stops waiting at once.
  const signal = session.admission;
  const api = await openJobsApi({ ...cluster(session, options), signal, secret: (token) => session.mask.add(token) });
  try {
    const pauseMs = options.interval * 1000;
    const watching = { reporter: session.reporter, signal, pauseMs };
    const submission = await patiently(() => submitJob(api, template, run, watching), watching);
    tellStart(session, api, name, submission, options);
    if (submission.kind === 'busy') return undefined;
    if (submission.kind !== 'nothing') await ended(session, api, submission.job, pauseMs);
    return submission.location;
  } finally {
    await api.close();
  }
}

function tellStart(
  session: Session,
  api: JobsApi,
  name: string,
  found: Submission,
  options: KubernetesJobOptions,
): void {
  const where = `in namespace ${api.namespace}`;
  if (found.kind === 'nothing') say(session, 'the plan has no shards: there is nothing to start');
  else if (found.kind === 'started')
    say(session, `started the Job ${name} ${where} with ${counted(found.job.spec.completions ?? 0, 'shard')}`);
  else if (found.kind === 'found')
    say(session, `the Job ${name} is there ${where}: this run has started it before, for ${found.location}`);
  else {
    const told = `the Job ${name} of an earlier run goes on ${where} (${progressOf(found.job)}; ${found.location}): nothing is started`;
    const remedy = 'run again when it has ended';
    if (options.mustRun === true)
      throw new ReplicationError('conflict', told, { reference: name, host: api.host, remedy });
    say(session, told);
  }
}

async function shardsIn(session: Session, location: string): Promise<number> {
  return withRunFolder(session, location, async (folder) => {
    const items = await readData(folder, 'shards.json', ShardList, session.signal);
    if (items !== undefined) return items.length;
    const missing = folder.address('shards.json');
    throw new ReplicationError('configuration', `there is no ${missing}: nothing is planned in this folder`, {
      reference: missing,
      remedy: 'plan first: image-replication ecr|images|mirror|eks … --shards LOCATION',
    });
  });
}

/** Every pod has these variables: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ */
function cluster({ env }: Session, { serviceAccount }: KubernetesJobOptions) {
  const host = variable(env, 'KUBERNETES_SERVICE_HOST');
  const port = variable(env, 'KUBERNETES_SERVICE_PORT_HTTPS', 'KUBERNETES_SERVICE_PORT') ?? '443';
  if (host !== undefined) return { host, port, folder: serviceAccount ?? serviceAccountFolder };
  throw new ReplicationError('configuration', 'this is no pod of Kubernetes: KUBERNETES_SERVICE_HOST is not set', {
    remedy:
      'install the chart in deploy/chart, or run the shards by yourself: image-replication worker --shards LOCATION --index N',
  });
}

/** Waits for the Job's end. How it ended, the summary tells shard by shard. */
async function ended(session: Session, api: JobsApi, job: JobObject, pauseMs: number): Promise<void> {
  const { reporter, admission: signal } = session;
  const { name } = job.metadata;
  try {
    const end = await waitForJob(api, job, { reporter, signal, pauseMs });
    if (end.kind === 'failed') say(session, `the Job ${name} has failed: ${end.reason}`, 'warning');
    if (end.kind === 'gone') say(session, `the Job ${name} was deleted before its end`, 'warning');
  } catch (error) {
    say(session, `nobody waits for the Job ${name} any more; it goes on by itself`, 'warning');
    throw error;
  }
}

function say({ reporter }: Session, message: string, level: 'info' | 'warning' = 'info'): void {
  reporter.emit({ type: 'notice', level, message });
}
