import { setTimeout as sleep } from 'node:timers/promises';
import type { Aws } from '../../aws/clients.ts';
import {
  describeExecution,
  type Execution,
  executionArn,
  type ExecutionDetail,
  type Executions,
  listExecutions,
  machineOf,
  startAgain,
} from '../../fleet/executions.ts';
import { readData, type RunFolder, type S3Address } from '../../fleet/run-folder.ts';
import { Planning, ShardList } from '../../fleet/shard.ts';
import { isReplicationError, ReplicationError } from '../../model/errors.ts';
import { counted, formatDuration } from '../../report/format.ts';
import { openAws } from '../aws-session.ts';
import { variable } from '../environment.ts';
import { withRunFolder } from '../fleet/folder.ts';
import { type FolderState, folderState, stateLines } from '../fleet/run-state.ts';
import { consoleOf } from '../fleet/worker-place.ts';
import type { JobResult, Session } from '../session.ts';

export interface RunsOptions {
  /** Name or ARN of an execution. */
  readonly run?: string | undefined;
  readonly stateMachine?: string | undefined;
  /** Folder of a run that no state machine runs. */
  readonly shards?: string | undefined;
  readonly redrive?: boolean | undefined;
  readonly watch?: boolean | undefined;
  /** Seconds between two looks. */
  readonly every: number;
}

/** Shows executions, one of them, or the folder of a run; starts what failed again. */
export async function runRuns(session: Session, options: RunsOptions): Promise<JobResult> {
  if (options.shards !== undefined) {
    if (options.redrive === true || options.run !== undefined)
      throw new ReplicationError('usage', '--shards shows the folder of a run, and no execution', {
        remedy: 'leave out --shards, or --redrive and the name of the run',
      });
    await withRunFolder(session, options.shards, (folder) => showFolder(session, folder, options));
    return { failures: [], totals: undefined };
  }
  const machine = options.stateMachine ?? variable(session.env, 'IMAGE_REPLICATION_STATE_MACHINE');
  const { run } = options;
  if (run === undefined) {
    if (machine === undefined || options.redrive === true)
      throw new ReplicationError(
        'usage',
        machine === undefined ? 'no state machine is named' : '--redrive names no run',
        {
          remedy: 'pass --state-machine ARN and, for one run, its name; or --shards LOCATION for a run on Kubernetes',
        },
      );
    await withClient(session, machine, (client) => showAll(session, client, machine, options));
    return { failures: [], totals: undefined };
  }
  const arn = executionArn(machine, run);
  await withClient(session, arn, async (client) => {
    const shown = options.redrive === true ? await redrive(session, client, arn) : arn;
    if (options.redrive !== true || options.watch === true) await showOne(session, client, shown, options);
  });
  return { failures: [], totals: undefined };
}

/** A part of the ARN: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html The run folders are in it, too. */
function regionOf(arn: string): string {
  return arn.split(':')[3] ?? '';
}

async function withClient(session: Session, arn: string, work: (client: Executions) => Promise<void>): Promise<void> {
  if (!/^arn:[^:]+:states:/.test(arn))
    throw new ReplicationError('usage', `${arn} is no ARN of Step Functions`, {
      remedy: 'write arn:aws:states:REGION:ACCOUNT:stateMachine:NAME',
    });
  const aws: Aws = openAws(session, regionOf(arn));
  try {
    await work(await aws.sfn());
  } finally {
    await aws.close();
  }
}

/** Calls again and again until it says that the end is reached, or the program is told to stop. */
async function watching(session: Session, { watch, every }: RunsOptions, look: () => Promise<'ended' | 'goes on'>) {
  while ((await look()) === 'goes on' && watch === true && !session.admission.aborted)
    await sleep(every * 1000, undefined, { signal: session.admission }).catch(() => undefined);
}

function say(session: Session, lines: readonly string[]): void {
  for (const message of lines) session.reporter.emit({ type: 'notice', level: 'info', message });
}

async function showAll(session: Session, client: Executions, machine: string, options: RunsOptions): Promise<void> {
  let before = '';
  await watching(session, options, async () => {
    const found = await listExecutions(client, machine, session.signal);
    const lines = found.map(({ name, status, started, ended }) =>
      [name, status.toLowerCase(), `from ${started}`, ...(ended === undefined ? [] : [lasted(started, ended)])].join(
        '  ',
      ),
    );
    const text = lines.join('\n');
    // A log would fill with what has not changed.
    if (text !== before) say(session, lines.length === 0 ? [`${machine} has not run yet`] : lines);
    before = text;
    return found.some(({ status }) => status === 'RUNNING') ? 'goes on' : 'ended';
  });
}

function lasted(started: string, ended: string): string {
  return `in ${formatDuration((Date.parse(ended) - Date.parse(started)) / 1000)}`;
}

async function showOne(session: Session, client: Executions, arn: string, options: RunsOptions): Promise<void> {
  let before = '';
  await watching(session, options, async () => {
    const execution = await describeExecution(client, arn, session.signal);
    const state =
      execution.location === undefined ? undefined : await stateAt(session, execution.location, regionOf(arn));
    const lines = [...executionLines(execution), ...(state === undefined ? [] : stateLines(state))];
    const text = lines.join('\n');
    if (text !== before) say(session, lines);
    before = text;
    return execution.status === 'RUNNING' ? 'goes on' : 'ended';
  });
}

/** The folder may be out of this user's reach; what Step Functions knows is shown all the same. */
async function stateAt(session: Session, location: string, region: string): Promise<FolderState | undefined> {
  try {
    return await withRunFolder(session, location, (folder) => folderState(folder, session.signal), region);
  } catch (error) {
    if (!isReplicationError(error, 'denied', 'configuration', 'not-found', 'unreachable')) throw error;
    // Without a plan in it, it will have one in a moment.
    if (error.code !== 'configuration')
      session.reporter.emit({ type: 'notice', level: 'warning', message: error.message });
    return undefined;
  }
}

function executionLines(execution: ExecutionDetail): readonly string[] {
  const { arn, name, status, started, ended, shards, error, cause, skippedFor } = execution;
  const region = regionOf(arn);
  const time = ended === undefined ? '' : ` ${lasted(started, ended)}`;
  return [
    `${name}: ${skippedFor === undefined ? status.toLowerCase() : 'skipped'}${time}, from ${started}`,
    ...(skippedFor === undefined ? [] : [`it has done nothing: ${skippedFor} was at work`]),
    ...(shards === undefined
      ? []
      : [
          `shards: ${shards.succeeded} of ${shards.total} done, ${shards.failed} failed, ${shards.running} running, ${shards.pending} waiting`,
        ]),
    ...(error === undefined ? [] : [`${error}: ${cause ?? ''}`]),
    `${consoleOf(region)}/states/home?region=${region}#/v2/executions/details/${arn}`,
  ];
}

async function showFolder(session: Session, folder: RunFolder, options: RunsOptions): Promise<void> {
  let before = '';
  await watching(session, options, async () => {
    const state = await folderState(folder, session.signal);
    const lines = stateLines(state);
    const text = lines.join('\n');
    if (text !== before) say(session, lines);
    before = text;
    return state.ended ? 'ended' : 'goes on';
  });
}

/** Starts the failed shards of a run again. @returns ARN of the new execution */
async function redrive(session: Session, client: Executions, arn: string): Promise<string> {
  const { signal } = session;
  const { status, location, name } = await describeExecution(client, arn, signal);
  if (status === 'RUNNING')
    throw new ReplicationError('usage', `${name} is still running`, { remedy: 'wait for its end: runs --watch' });
  if (location === undefined)
    throw new ReplicationError('usage', `${name} has planned nothing that could be done again`, {
      remedy: 'start a new run of the state machine',
    });
  const others = await listExecutions(client, machineOf(arn), signal);
  const running = others.find((each) => each.status === 'RUNNING');
  if (running !== undefined)
    throw new ReplicationError('usage', `${running.name} is at work: a redrive of ${name} would be skipped`, {
      remedy: 'wait for its end: runs --watch',
    });
  const work = async (folder: RunFolder): Promise<string> => {
    const failed = await failedShards(folder, name, signal);
    await refuseOldPlan(session, client, { name, folder, others });
    const input = { location, bucket: failed.bucket, key: `${failed.key}/failed.json` };
    const started = await startAgain(client, machineOf(arn), input, signal);
    say(session, [
      `${counted(failed.shards, 'shard')} of ${name} ${failed.shards === 1 ? 'is' : 'are'} done again by ${started}`,
    ]);
    return started;
  };
  return withRunFolder(session, location, work, regionOf(arn));
}

async function failedShards(
  folder: RunFolder,
  name: string,
  signal: AbortSignal,
): Promise<S3Address & { readonly shards: number }> {
  const failed = await readData(folder, 'failed.json', ShardList, signal);
  if (failed === undefined || folder.s3 === undefined)
    throw new ReplicationError('usage', `there is no ${folder.address('failed.json')}`, {
      reference: folder.address('failed.json'),
      remedy: `write it with: image-replication summary --shards ${folder.location}`,
    });
  if (failed.length === 0)
    throw new ReplicationError('usage', `no shard of ${name} has failed`, {
      remedy: 'what is missing was not planned: start a new run of the state machine',
    });
  return { ...folder.s3, shards: failed.length };
}

/**
 * Shards name images by digest. Where a later run has planned, a tag that has moved in between would be taken back to what it
 * was; and what failed then was planned by that one, too.
 */
async function refuseOldPlan(
  session: Session,
  client: Executions,
  run: { readonly name: string; readonly folder: RunFolder; readonly others: readonly Execution[] },
): Promise<void> {
  const { signal } = session;
  const planned = await readData(run.folder, 'planning.json', Planning, signal);
  const since = Date.parse(planned?.plannedAt ?? '');
  for (const { arn, started } of run.others.filter((each) => Date.parse(each.started) > since)) {
    const { name, location, skippedFor } = await describeExecution(client, arn, signal);
    if (location === undefined || skippedFor !== undefined || location === run.folder.location) continue;
    const own = async (folder: RunFolder): Promise<boolean> =>
      folder.run === name && (await folder.read('shards.json', signal)) !== undefined;
    if (!(await withRunFolder(session, location, own, regionOf(arn)))) continue;
    throw new ReplicationError(
      'usage',
      `${name} has planned anew on ${started}: a redrive of ${run.name} would bring back tags that have moved since`,
      { remedy: `run again what ${name} has left, or start a new run of the state machine` },
    );
  }
}
