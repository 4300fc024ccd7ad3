import { setTimeout as sleep } from 'node:timers/promises';
import type { Aws } from '../../aws/clients.ts';
import {
  describeExecution,
  executionArn,
  type ExecutionDetail,
  type Executions,
  listExecutions,
  machineOf,
  startAgain,
} from '../../fleet/executions.ts';
import type { RunFolder } from '../../fleet/run-folder.ts';
import { readData } from '../../fleet/run-folder.ts';
import { ShardList } from '../../fleet/shard.ts';
import { isReplicationError, ReplicationError } from '../../model/errors.ts';
import { formatDuration } from '../../report/format.ts';
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

async function withClient(session: Session, arn: string, work: (client: Executions) => Promise<void>): Promise<void> {
  // The region is a part of the ARN: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
  const region = arn.split(':')[3] ?? '';
  if (!/^arn:[^:]+:states:/.test(arn))
    throw new ReplicationError('usage', `${arn} is no ARN of Step Functions`, {
      remedy: 'write arn:aws:states:REGION:ACCOUNT:stateMachine:NAME',
    });
  const aws: Aws = openAws(session, region);
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
    const state = execution.location === undefined ? undefined : await stateAt(session, execution.location);
    const lines = [...executionLines(execution), ...(state === undefined ? [] : stateLines(state))];
    const text = lines.join('\n');
    if (text !== before) say(session, lines);
    before = text;
    return execution.status === 'RUNNING' ? 'goes on' : 'ended';
  });
}

/** The folder may be out of this user's reach; what Step Functions knows is shown all the same. */
async function stateAt(session: Session, location: string): Promise<FolderState | undefined> {
  try {
    return await withRunFolder(session, location, (folder) => folderState(folder, session.signal));
  } catch (error) {
    if (!isReplicationError(error, 'denied', 'configuration', 'not-found', 'unreachable')) throw error;
    // Without a plan in it, it will have one in a moment.
    if (error.code !== 'configuration')
      session.reporter.emit({ type: 'notice', level: 'warning', message: error.message });
    return undefined;
  }
}

function executionLines({
  arn,
  name,
  status,
  started,
  ended,
  shards,
  error,
  cause,
}: ExecutionDetail): readonly string[] {
  const region = arn.split(':')[3] ?? '';
  const time = ended === undefined ? '' : ` ${lasted(started, ended)}`;
  return [
    `${name}: ${status.toLowerCase()}${time}, from ${started}`,
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
    return state.open === 0 ? 'ended' : 'goes on';
  });
}

/** Starts the failed shards of a run again. @returns ARN of the new execution */
async function redrive(session: Session, client: Executions, arn: string): Promise<string> {
  const { status, location, name } = await describeExecution(client, arn, session.signal);
  if (status === 'RUNNING')
    throw new ReplicationError('usage', `${name} is still running`, { remedy: 'wait for its end: runs --watch' });
  if (location === undefined)
    throw new ReplicationError('usage', `${name} has planned nothing that could be done again`, {
      remedy: 'start a new run of the state machine',
    });
  return withRunFolder(session, location, async (folder) => {
    const failed = await readData(folder, 'failed.json', ShardList, session.signal);
    if (failed === undefined || folder.s3 === undefined)
      throw new ReplicationError('usage', `there is no ${folder.address('failed.json')}`, {
        reference: folder.address('failed.json'),
        remedy: `write it with: image-replication summary --shards ${location}`,
      });
    if (failed.length === 0)
      throw new ReplicationError('usage', `no shard of ${name} has failed`, {
        remedy: 'what is missing was not planned: start a new run of the state machine',
      });
    const { bucket, key } = folder.s3;
    const input = { location, bucket, key: `${key}/failed.json` };
    const started = await startAgain(client, machineOf(arn), input, session.signal);
    say(session, [`${failed.length} shards of ${name} are done again by ${started}`]);
    return started;
  });
}
