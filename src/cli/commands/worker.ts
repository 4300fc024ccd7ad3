import { parseShardAddress, readData, type RunFolder, shardName } from '../../fleet/run-folder.ts';
import { checkPlace, readResult } from '../../fleet/shard-files.ts';
import { type Attempt, resultOf } from '../../fleet/results.ts';
import { Shard, type ShardResult } from '../../fleet/shard.ts';
import { ReplicationError, ReplicationErrors, toReplicationError } from '../../model/errors.ts';
import { type Failure, failureOf, type Outcome } from '../../model/result.ts';
import { jsonText } from '../../publish/files.ts';
import { patientStatus } from '../../status/patient-status.ts';
import { parseStatusLocation } from '../../status/status-location.ts';
import type { StatusStore } from '../../status/status.ts';
import { openStatus } from '../ecr/open-status.ts';
import { awsPool, type Surroundings } from '../ecr/sides.ts';
import { statusRecorder } from '../ecr/status-recorder.ts';
import { announceRequests } from '../announce.ts';
import { imageRequest } from '../copy-requests.ts';
import { type EnvironmentVariables, variable } from '../environment.ts';
import { withRunFolder } from '../fleet/folder.ts';
import { graceful } from '../fleet/graceful.ts';
import { openPlaces } from '../fleet/places.ts';
import { plannedRun } from '../fleet/planned.ts';
import { brokenFile, keepProgress } from '../fleet/progress.ts';
import { ownRegion } from '../fleet/s3-client.ts';
import { workerPlace } from '../fleet/worker-place.ts';
import { addTotals } from '../one-try.ts';
import { type Replication, replicate } from '../replicate.ts';
import type { JobResult, Session } from '../session.ts';
import type { TaskHook } from '../task-hook.ts';

export interface WorkerOptions {
  /** Address of the shard. */
  readonly shard?: string | undefined;
  /** Folder of the run, instead. */
  readonly shards?: string | undefined;
  readonly index?: number | undefined;
  readonly concurrency?: number | undefined;
  readonly tries?: number | undefined;
  readonly spoolBytes?: number | undefined;
}

/** What the process that runs the worker has to do with it. */
export interface WorkerSurroundings {
  readonly task: TaskHook | undefined;
  /** Takes hosts that the shard allows to be spoken to in plain HTTP. */
  readonly insecureHosts: string[];
}

/** Copies one shard of a run as the job itself would, keeps the status, and leaves the result in the run's folder. */
export async function runWorker(
  session: Session,
  options: WorkerOptions,
  { task, insecureHosts }: WorkerSurroundings,
): Promise<JobResult> {
  const { location, index } = placeOf(options, session.env);
  return withRunFolder(session, location, async (folder) => {
    const shard = await readShard(folder, index, session.signal);
    insecureHosts.push(...(shard.insecureHosts ?? []));
    const name = `results/${shardName(index)}`;
    const before = await readResult(folder, shard, session.signal, brokenFile(session));
    const place = await workerPlace(session.env);
    const progress = await keepProgress(session, folder, shard, { place, result: before });
    const startedAt = new Date().toISOString();
    const { replication, failures, error } = await attempt(session, shard, options, {
      lost: () => task?.lost === true,
      finished: (outcome) => progress.finished(outcome),
    });
    await progress.stop();
    const done: Attempt = {
      attempt: progress.attempt,
      startedAt,
      finishedAt: new Date().toISOString(),
      outcomes: replication?.outcomes ?? [],
      failures,
      notices: replication?.notices ?? [],
      totals: replication?.totals,
      killed: progress.killed,
    };
    const result = resultOf(shard, done, before, addTotals);
    // Another attempt writes it now, or has done so while Step Functions was out of this one's reach.
    if (task?.lost !== true) await leaveResult(session, folder, result);
    if (error !== undefined) throw error;
    return {
      failures,
      totals: replication?.totals,
      files: [folder.address(name)],
      task:
        failures.length > 0 ? undefined : { ...result.counts, bytes: result.totals?.bytesWritten ?? 0, shard: index },
    };
  });
}

/** How long writing the result may take, at least, when the worker was told to stop, in milliseconds. */
const lastWriteMs = 15_000;

/** The result of a later attempt knows more, and stays. */
async function leaveResult(session: Session, folder: RunFolder, result: ShardResult): Promise<void> {
  const signal = graceful(session.signal, lastWriteMs);
  const there = await readResult(folder, result, signal, brokenFile(session));
  if (there !== undefined && there.attempts > result.attempts) return;
  await folder.write(`results/${shardName(result.index)}`, session.mask.mask(jsonText(result)), signal);
}

/** Where the shard lies. Without --index it is the one of the Kubernetes Job's pod. */
function placeOf(
  { shard, shards, index }: WorkerOptions,
  env: EnvironmentVariables,
): { readonly location: string; readonly index: number } {
  if (shard !== undefined && shards !== undefined)
    throw new ReplicationError('usage', '--shard and --shards are both given', { remedy: 'pass one of them' });
  if (shard !== undefined) return parseShardAddress(shard);
  if (shards === undefined)
    throw new ReplicationError('usage', 'no shard is named', {
      remedy: 'pass --shard LOCATION/shards/0000.json, or --shards LOCATION --index N',
    });
  // https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode
  const given = variable(env, 'JOB_COMPLETION_INDEX');
  const found = index ?? (given === undefined ? undefined : Number(given));
  if (found !== undefined && Number.isInteger(found) && found >= 0) return { location: shards, index: found };
  throw new ReplicationError('usage', `which shard is meant is not said${given === undefined ? '' : ` ("${given}")`}`, {
    remedy: 'pass --index N, or set JOB_COMPLETION_INDEX',
  });
}

async function readShard(folder: RunFolder, index: number, signal: AbortSignal): Promise<Shard> {
  const name = `shards/${shardName(index)}`;
  const [shard, planned] = await Promise.all([readData(folder, name, Shard, signal), plannedRun(folder, signal)]);
  if (shard !== undefined) {
    checkPlace(folder.address(name), shard, { run: planned?.run ?? shard.run, index });
    const { plannedAt = shard.plannedAt } = planned ?? {};
    if (shard.plannedAt === undefined || shard.plannedAt === plannedAt) return shard;
    throw new ReplicationError(
      'corrupt',
      `${folder.address(name)} was planned at ${shard.plannedAt}, and this run at ${String(plannedAt)}`,
      { reference: folder.address(name), remedy: 'plan the run anew, into a folder of its own' },
    );
  }
  throw new ReplicationError('configuration', `there is no ${folder.address(name)}`, {
    reference: folder.address(name),
    remedy: 'correct the location or the number of the shard; a job writes them with --shards',
  });
}

interface Attempted {
  readonly replication: Replication | undefined;
  readonly failures: readonly Failure[];
  /** What ended the attempt as a whole. */
  readonly error: ReplicationError | ReplicationErrors | undefined;
}

/** What goes on around the copying. */
interface Watch {
  /** Whether the shard belongs to another worker by now. */
  readonly lost: () => boolean;
  readonly finished: (outcome: Outcome) => void;
}

async function attempt(session: Session, shard: Shard, options: WorkerOptions, watch: Watch): Promise<Attempted> {
  const pool = awsPool(session);
  try {
    const around = { session, pool, home: pool.open(shard.region ?? ownRegion(session)) };
    const replication = await copyShard(around, shard, options, watch);
    for (const message of replication.notices) session.reporter.emit({ type: 'notice', level: 'warning', message });
    const stopped =
      session.admission.aborted &&
      replication.failures.length === 0 &&
      replication.outcomes.length < shard.images.length;
    const failures = stopped
      ? [failureOf(`shard ${shard.index}`, toReplicationError(session.admission.reason))]
      : replication.failures;
    return { replication, failures, error: undefined };
  } catch (error) {
    const known = error instanceof ReplicationErrors ? error : toReplicationError(error);
    const errors = known instanceof ReplicationErrors ? known.errors : [known];
    const failures = errors.map((each) => failureOf(each.reference ?? `shard ${shard.index}`, each));
    return { replication: undefined, failures, error: known };
  } finally {
    await pool.close();
  }
}

async function copyShard(
  around: Surroundings,
  shard: Shard,
  options: WorkerOptions,
  watch: Watch,
): Promise<Replication> {
  const { session } = around;
  if (shard.budget !== undefined) await shareWrites(around, shard, shard.budget);
  const places = await openPlaces(around, shard);
  try {
    const requests = shard.images.map((image) => imageRequest(image, places.source, places.target));
    const targets = new Set(requests.flatMap((request) => request.targets.map(({ store }) => store.name)));
    session.reporter.emit({ type: 'run-started', job: shard.job, target: [...targets].sort().join(', ') });
    announceRequests(session.reporter, requests);
    const store = shard.status === undefined ? undefined : statusOf(around, shard.status);
    try {
      const names = shard.images.flatMap((image) => image.targets);
      const recorder = store && (await statusRecorder(store, () => new Date(), session.signal, names));
      await recorder?.begin(requests);
      const work = { images: requests, charts: [], verify: shard.verify };
      const copied = await replicate(shardSession(session, shard, options), work, (outcome, tried) => {
        watch.finished(outcome);
        // What ends because the shard is another worker's says nothing of the image, which that one may have copied.
        if (outcome.kind !== 'failed' || !watch.lost()) recorder?.finished(outcome, tried);
      });
      // What this one has not written yet the other worker writes, who may have done so already. One that is cut off from
      // Step Functions alone does not hear of it and writes on: a condition, which BatchWriteItem does not have, would cost a
      // request and a right more for each image, for what the next run puts right (docs/fleet.md).
      if (watch.lost()) recorder?.abandon();
      const unkept = (await recorder?.end()) ?? [];
      return { ...copied, failures: [...copied.failures, ...unkept] };
    } finally {
      await store?.close();
    }
  } finally {
    await places.close();
  }
}

/** Images do not wait for a store that cannot be had: their statuses do, until it can. */
function statusOf({ session, home }: Surroundings, place: string): StatusStore {
  const { reporter, signal } = session;
  const open = { aws: () => home, readOnly: false, createTable: false, signal };
  return patientStatus(
    place,
    () => openStatus(parseStatusLocation(place), open),
    ({ message }) => {
      const now = `the status in ${place} cannot be had; going on, it is written later (${message})`;
      reporter.emit({ type: 'notice', level: 'warning', message: now });
    },
  );
}

/** From now on this worker asks for places in the budget of writes that it shares with the others. */
async function shareWrites({ session, home }: Surroundings, { workers, of }: Shard, place: string): Promise<void> {
  const { writeBudgets } = await import('../../fleet/budget.ts');
  const { reporter, signal } = session;
  const atOnce = Math.min(workers ?? of, of);
  session.transport.shareRates(writeBudgets({ aws: () => home, place, workers: atOnce, reporter, signal }));
}

/** Copies as the job that wrote the shard would, but for what this worker's own command line says. */
function shardSession(session: Session, shard: Shard, options: WorkerOptions): Session {
  const { referrers, concurrency, tries } = shard;
  const transfers = options.concurrency === undefined ? concurrency : undefined;
  const spoolBytes = options.spoolBytes ?? shard.spoolBytes;
  return {
    ...session,
    tries: options.tries ?? tries,
    copyOptions: () => ({
      ...session.copyOptions(),
      referrers,
      ...(spoolBytes === undefined ? {} : { spoolBytes }),
      ...(transfers === undefined ? {} : { transfers, transfersPerHost: transfers }),
    }),
  };
}
