import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { Aws } from '../../aws/clients.ts';
import {
  describeExecution,
  type Execution,
  executionArn,
  type ExecutionOutcome,
  executionOutcome,
  type Executions,
  isAtWork,
  listExecutions,
} from '../../fleet/executions.ts';
import type { RunFolder } from '../../fleet/run-folder.ts';
import { isReplicationError, ReplicationError } from '../../model/errors.ts';
import { masked } from '../../report/json-lines.ts';
import { lineWriter } from '../../report/line-writer.ts';
import { openAws } from '../aws-session.ts';
import { variable } from '../environment.ts';
import { withRunFolder } from '../fleet/folder.ts';
import { redrive } from '../fleet/redrive.ts';
import { executionDatum, folderData, type RunDatum } from '../fleet/run-data.ts';
import { executionLines, listLines, regionOf } from '../fleet/run-lines.ts';
import { type FolderState, folderState, stateLines } from '../fleet/run-state.ts';
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
  /** Takes data, a JSON object a line; without it there is text. */
  readonly json?: Writable | undefined;
}

/** What a look has shown, for people and for programs. */
interface Shown {
  readonly lines: readonly string[];
  readonly data: readonly RunDatum[];
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
    const shown = options.redrive === true ? await redrive(session, client, arn, regionOf(arn)) : arn;
    if (options.redrive === true)
      changes(session, options)({ lines: [], data: [{ type: 'redrive', arn: shown, of: arn }] });
    if (options.redrive !== true || options.watch === true) await showOne(session, client, shown, options);
  });
  return { failures: [], totals: undefined };
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

/** What passes: a look that fails so is no reason to stop watching, in milliseconds since the last good one. */
const passing = ['throttled', 'unavailable', 'unreachable'] as const;
const patienceMs = 600_000;

/** Calls again and again until it says that the end is reached, or the program is told to stop. */
async function watching(session: Session, { watch, every }: RunsOptions, look: () => Promise<'ended' | 'goes on'>) {
  const { admission, reporter } = session;
  let seen: number | undefined;
  let blind = false;
  do {
    try {
      if ((await look()) === 'ended') return;
      [seen, blind] = [performance.now(), false];
    } catch (error) {
      const over = seen === undefined || performance.now() - seen > patienceMs;
      if (over || !isReplicationError(error, ...passing)) throw error;
      if (!blind) reporter.emit({ type: 'notice', level: 'warning', message: `${error.message}: looking again` });
      blind = true;
    }
    if (watch === true) await sleep(every * 1000, undefined, { signal: admission }).catch(() => undefined);
  } while (watch === true && !admission.aborted);
}

/** Says what was not said at the look before: a log would fill with what has not changed. */
function changes({ reporter, mask }: Session, { json }: RunsOptions): (shown: Shown) => void {
  let before: ReadonlySet<string> = new Set();
  const write = json === undefined ? undefined : lineWriter(json);
  const say = (line: string): void => {
    if (write === undefined) reporter.emit({ type: 'notice', level: 'info', message: line });
    // As the events have it: the time first.
    else write(`{"time":${JSON.stringify(new Date().toISOString())},${line.slice(1)}`);
  };
  return ({ lines, data }) => {
    const now = write === undefined ? lines : data.map((each) => JSON.stringify(masked(each, mask)));
    now.filter((line) => !before.has(line)).forEach(say);
    before = new Set(now);
  };
}

/** Calls to Step Functions at the same time. */
const atOnce = 5;

async function showAll(session: Session, client: Executions, machine: string, options: RunsOptions): Promise<void> {
  const say = changes(session, options);
  const limit = pLimit(atOnce);
  /** What has ended does not change any more; only Step Functions' own redrive changes it. */
  const ended = new Map<string, ExecutionOutcome>();
  await watching(session, options, async () => {
    const found = await listExecutions(client, machine, session.signal);
    const outcome = async (each: Execution): Promise<ExecutionOutcome> => {
      const known = ended.get(each.arn);
      if (known !== undefined && known.ended === each.ended) return known;
      const detail = await executionOutcome(client, each.arn, session.signal);
      if (!isAtWork(detail)) ended.set(each.arn, detail);
      return detail;
    };
    const all = await Promise.all(found.map((each) => limit(() => outcome(each))));
    const lines = all.length === 0 ? [`${machine} has not run yet`] : listLines(all);
    say({ lines, data: all.map(executionDatum) });
    return all.some(isAtWork) ? 'goes on' : 'ended';
  });
}

async function showOne(session: Session, client: Executions, arn: string, options: RunsOptions): Promise<void> {
  const say = changes(session, options);
  await watching(session, options, async () => {
    const execution = await describeExecution(client, arn, session.signal);
    const state =
      execution.location === undefined ? undefined : await stateAt(session, execution.location, regionOf(arn));
    say({
      lines: [...executionLines(execution), ...(state === undefined ? [] : stateLines(state, new Date()))],
      data: [executionDatum(execution), ...(state === undefined ? [] : folderData(state))],
    });
    return isAtWork(execution) ? 'goes on' : 'ended';
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

async function showFolder(session: Session, folder: RunFolder, options: RunsOptions): Promise<void> {
  const say = changes(session, options);
  await watching(session, options, async () => {
    const state = await folderState(folder, session.signal);
    say({ lines: stateLines(state, new Date()), data: folderData(state) });
    return state.ended ? 'ended' : 'goes on';
  });
}
