import { setTimeout as sleep } from 'node:timers/promises';
import { isReplicationError, ReplicationError } from '../model/errors.ts';
import type { Reporter } from '../report/events.ts';
import { counted } from '../report/format.ts';
import type { JobObject, JobsApi } from './kubernetes-api.ts';
import { jobOf, type JobTemplate, type RunOfShards, runOf } from './kubernetes-template.ts';

/** How submitting ended: our Job is there; or one that an earlier run has started goes on; or there is nothing to do. */
export type Submission =
  | { readonly kind: 'nothing'; readonly location: string }
  | { readonly kind: 'started' | 'found'; readonly job: JobObject; readonly location: string }
  | { readonly kind: 'busy'; readonly job: JobObject; readonly location: string };

/** How a Job ended. `gone`: it was deleted before. */
export type JobEnd =
  { readonly kind: 'completed' } | { readonly kind: 'failed'; readonly reason: string } | { readonly kind: 'gone' };

export interface Watching {
  readonly reporter: Reporter;
  /** Ends the waiting, not the Job. */
  readonly signal: AbortSignal;
  /** Milliseconds between two looks. */
  readonly pauseMs: number;
  /** Milliseconds for which the API may be away, or refuse us, while we wait; ten minutes unless told, an upgrade's worth. */
  readonly patienceMs?: number;
}

/** The API cannot be had at the moment. */
const away = ['unreachable', 'unavailable', 'throttled'] as const;
/**
 * What passes where the API has answered before: it is being replaced, or its token, its authority or the Role is being
 * exchanged (`helm upgrade` of the release).
 */
const passing = [...away, 'unauthorized', 'denied'] as const;

/** How often the name is waited for while an earlier Job goes away. */
const goingAway = 60;

/**
 * Starts the Job of a run. Its name is fixed, so that Kubernetes itself keeps two runs from overlapping: of two that
 * create it one gets 409. A finished Job of that name makes room; one that this same run has started before (its pod was
 * lost) is taken over.
 * @throws ReplicationError `denied` without the Role, `unauthorized`, `conflict` when the name belongs to something else
 */
export async function submitJob(
  api: JobsApi,
  template: JobTemplate,
  run: RunOfShards,
  { signal, pauseMs }: Pick<Watching, 'signal' | 'pauseMs'>,
): Promise<Submission> {
  const { name } = template.metadata;
  if (run.shards === 0) return findJob(api, name, run);
  const manifest = jobOf(template, run);
  for (let made = 1; made <= goingAway; made += 1) {
    const created = await api.create(name, manifest);
    if (created !== undefined) return { kind: 'started', job: created, location: run.location };
    const job = await api.get(name);
    if (job === undefined) continue;
    const theirs = runOf(job);
    if (theirs === undefined) throw foreign(api, name);
    if (job.metadata.deletionTimestamp === undefined) {
      if (sameRun(theirs, run)) return { kind: 'found', job, location: theirs.location };
      if (endOf(job) === undefined) return { kind: 'busy', job, location: theirs.location };
      await api.remove(name, job.metadata.uid);
      continue;
    }
    await sleep(pauseMs, undefined, { signal });
  }
  throw new ReplicationError(
    'conflict',
    `the Job ${name} of an earlier run in namespace ${api.namespace} does not go away`,
    {
      host: api.host,
      reference: name,
      remedy: `see what holds it: kubectl -n ${api.namespace} get job ${name} -o yaml (metadata.finalizers)`,
    },
  );
}

/** A run that was planned again may have nothing left to do, while its Job from before is still to be summed up. */
async function findJob(api: JobsApi, name: string, run: RunOfShards): Promise<Submission> {
  const job = await api.get(name);
  const theirs = job === undefined ? undefined : runOf(job);
  if (job === undefined || theirs === undefined || !sameRun(theirs, run))
    return { kind: 'nothing', location: run.location };
  return { kind: 'found', job, location: theirs.location };
}

/**
 * Does something again while the API is away: between two looks at a Job that runs, what refuses us passes as well.
 * @throws whatever it throws when that is final, or when patience has ended
 */
export async function patiently<T>(task: () => Promise<T>, watching: Watching, running = false): Promise<T> {
  const { reporter, signal, pauseMs, patienceMs = 600_000 } = watching;
  const began = Date.now();
  for (;;) {
    try {
      return await task();
    } catch (error) {
      if (!isReplicationError(error, ...(running ? passing : away)) || (error.final && !running)) throw error;
      if (Date.now() - began > patienceMs) throw error;
      const message = `${error.message}; ${running ? 'the Job goes on, ' : ''}asking again`;
      reporter.emit({ type: 'notice', level: 'warning', message });
      await pause(pauseMs, signal);
    }
  }
}

async function pause(pauseMs: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(pauseMs, undefined, { signal });
  } catch {
    signal.throwIfAborted();
  }
}

/** Waits until a Job has ended, and tells how far it is whenever that changes. @throws ReplicationError `cancelled`, … */
export async function waitForJob(api: JobsApi, job: JobObject, watching: Watching): Promise<JobEnd> {
  const { reporter, signal, pauseMs } = watching;
  const { name, uid } = job.metadata;
  const look = (): Promise<JobObject | undefined> => patiently(() => api.get(name), watching, true);
  let told = '';
  for (let now: JobObject | undefined = job; ; now = await look()) {
    if (now?.metadata.uid !== uid) return { kind: 'gone' };
    const progress = progressOf(now);
    if (progress !== told) reporter.emit({ type: 'notice', level: 'info', message: `${name}: ${progress}` });
    told = progress;
    const end = endOf(now);
    if (end !== undefined) return end;
    await pause(pauseMs, signal);
  }
}

/** `12 of 40 shards done, 10 under way (2 of them not started)`. */
export function progressOf({ spec, status = {} }: JobObject): string {
  const all = spec.completions ?? 0;
  const { succeeded = 0, active = 0, ready = active, failed = 0, failedIndexes = '' } = status;
  const parts = [`${succeeded} of ${counted(all, 'shard')} done`];
  // A pod whose image cannot be pulled, or that has no node, is active too.
  const idle =
    ready >= active ? '' : ` (${ready === 0 ? 'none' : active - ready} of them ${ready === 0 ? '' : 'not '}started)`;
  if (active > 0) parts.push(`${active} under way${idle}`);
  if (failedIndexes !== '') parts.push(`given up: ${failedIndexes}`);
  // Pods, not shards: each may be tried again.
  if (failed > 0) parts.push(`${counted(failed, 'attempt')} failed`);
  return parts.join(', ');
}

/** https://kubernetes.io/docs/concepts/workloads/controllers/job/#terminal-job-conditions */
function endOf({ status }: JobObject): JobEnd | undefined {
  for (const { type, status: state, reason = '', message = '' } of status?.conditions ?? []) {
    if (state !== 'True') continue;
    if (type === 'Complete') return { kind: 'completed' };
    if (type === 'Failed')
      return { kind: 'failed', reason: [reason, message].filter((each) => each !== '').join(': ') };
  }
  return undefined;
}

/** The same folder, or the same owner: a pod of a Job that is repeated has planned into a folder of its own. */
function sameRun(theirs: RunOfShards, ours: RunOfShards): boolean {
  if (theirs.location === ours.location) return true;
  return ours.owner !== undefined && theirs.owner?.uid === ours.owner.uid;
}

function foreign(api: JobsApi, name: string): ReplicationError {
  return new ReplicationError('conflict', `namespace ${api.namespace} has a Job ${name} that no run has made`, {
    host: api.host,
    reference: name,
    remedy: 'rename or remove it, or install the chart under another name (fullnameOverride)',
  });
}
