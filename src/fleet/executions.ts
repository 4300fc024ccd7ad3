import type { DescribeExecutionOutput, ExecutionListItem, MapRunItemCounts, SFN } from '@aws-sdk/client-sfn';
import * as z from 'zod';
import { isReplicationError, ReplicationError } from '../model/errors.ts';

/** A run, as Step Functions tells it. Times are ISO 8601 in UTC. */
export interface Execution {
  readonly arn: string;
  readonly name: string;
  /** `RUNNING`, `SUCCEEDED`, `FAILED`, `TIMED_OUT`, `ABORTED`, `PENDING_REDRIVE`. */
  readonly status: string;
  readonly started: string;
  readonly ended: string | undefined;
}

/** What its input and output say of one that has ended. */
export interface ExecutionOutcome extends Execution {
  /** The execution whose turn it was: this one has ended without doing anything. */
  readonly skippedFor: string | undefined;
  /** Folder of the run whose failed shards it does again. */
  readonly redriveOf: string | undefined;
  readonly counts: Readonly<z.infer<typeof Counts>> | undefined;
  /** Why it failed. */
  readonly error: string | undefined;
  readonly cause: string | undefined;
}

/** What more is known of one of them. */
export interface ExecutionDetail extends ExecutionOutcome {
  /** Folder of the run, once it was planned; that of another one where this is a redrive. */
  readonly location: string | undefined;
  /** Shards by what became of them, once they are begun with. */
  readonly shards: ShardCounts | undefined;
}

export interface ShardCounts {
  readonly total: number;
  readonly pending: number;
  readonly running: number;
  readonly succeeded: number;
  readonly failed: number;
}

/** The calls that are made: ListExecutions, DescribeExecution, GetExecutionHistory, ListMapRuns, DescribeMapRun, StartExecution. */
export type Executions = Pick<
  SFN,
  'listExecutions' | 'describeExecution' | 'getExecutionHistory' | 'listMapRuns' | 'describeMapRun' | 'startExecution'
>;

/** Executions that are shown. */
const newest = 20;

/** The newest executions of a state machine, newest first. */
export async function listExecutions(
  client: Executions,
  stateMachineArn: string,
  signal: AbortSignal,
): Promise<readonly Execution[]> {
  const { executions = [] } = await client.listExecutions(
    { stateMachineArn, maxResults: newest },
    { abortSignal: signal },
  );
  return executions.map(executionOf);
}

/** An execution that is at work, or is about to be. */
export async function executionAtWork(
  client: Executions,
  stateMachineArn: string,
  signal: AbortSignal,
): Promise<Execution | undefined> {
  // While one runs for days, those that were skipped meanwhile may be many.
  for (const statusFilter of ['RUNNING', 'PENDING_REDRIVE'] as const) {
    const request = { stateMachineArn, statusFilter, maxResults: 1 };
    const { executions = [] } = await client.listExecutions(request, { abortSignal: signal });
    if (executions[0] !== undefined) return executionOf(executions[0]);
  }
  return undefined;
}

/** Whether it goes on: one that Step Functions is about to redrive does, too. */
export function isAtWork({ status }: Execution): boolean {
  return status === 'RUNNING' || status === 'PENDING_REDRIVE';
}

/** Executions that began after a moment, newest first. @param since in milliseconds since the epoch, by Step Functions' clock */
export async function executionsSince(
  client: Executions,
  stateMachineArn: string,
  since: number,
  signal: AbortSignal,
): Promise<readonly Execution[]> {
  const found: Execution[] = [];
  let nextToken: string | undefined;
  do {
    const page = await client.listExecutions({ stateMachineArn, nextToken }, { abortSignal: signal });
    const later = (page.executions ?? []).map(executionOf).filter(({ started }) => Date.parse(started) > since);
    found.push(...later);
    // They come newest first: https://docs.aws.amazon.com/step-functions/latest/apireference/API_ListExecutions.html
    nextToken = later.length < (page.executions ?? []).length ? undefined : page.nextToken;
  } while (nextToken !== undefined);
  return found;
}

function executionOf(item: ExecutionListItem): Execution {
  return {
    arn: item.executionArn ?? '',
    name: item.name ?? '',
    status: item.status ?? '',
    started: item.startDate?.toISOString() ?? '',
    ended: item.stopDate?.toISOString(),
  };
}

/**
 * `arn:aws:states:R:A:stateMachine:M` and a run's name make the execution's ARN, which is taken as it is, too.
 * @throws ReplicationError `usage`
 */
export function executionArn(stateMachineArn: string | undefined, run: string): string {
  if (/^arn:[^:]+:states:[^:]+:\d{12}:execution:[^:]+:[^:]+$/.test(run)) return run;
  const [, start, name] = /^(arn:[^:]+:states:[^:]+:\d{12}):stateMachine:([^:]+)$/.exec(stateMachineArn ?? '') ?? [];
  if (start !== undefined && name !== undefined) return `${start}:execution:${name}:${run}`;
  throw new ReplicationError('usage', `which state machine has run ${run} is not said`, {
    remedy: 'pass --state-machine ARN, or the execution’s ARN',
  });
}

/** State machine of an execution. */
export function machineOf(execution: string): string {
  return execution.replace(/:execution:([^:]+):[^:]+$/, ':stateMachine:$1');
}

const Located = z.looseObject({ location: z.string() });
const Skipped = z.looseObject({ state: z.literal('Skipped'), running: z.string() });
const Counts = z.looseObject({ copied: z.number(), unchanged: z.number(), failed: z.number() });

/** @throws ReplicationError `usage` when there is no such execution */
export async function executionOutcome(
  client: Executions,
  arn: string,
  signal: AbortSignal,
): Promise<ExecutionOutcome> {
  return outcomeOf(arn, await describe(client, arn, signal));
}

function outcomeOf(arn: string, found: DescribeExecutionOutput): ExecutionOutcome {
  return {
    arn,
    name: found.name ?? '',
    status: found.status ?? '',
    started: found.startDate?.toISOString() ?? '',
    ended: found.stopDate?.toISOString(),
    skippedFor: read(Skipped, found.output)?.running,
    redriveOf: locationIn(found.input),
    counts: read(Counts, found.output),
    error: found.error,
    cause: found.cause,
  };
}

/** @throws ReplicationError `usage` when there is no such execution */
export async function describeExecution(
  client: Executions,
  arn: string,
  signal: AbortSignal,
): Promise<ExecutionDetail> {
  const found = await describe(client, arn, signal);
  const outcome = outcomeOf(arn, found);
  if (outcome.skippedFor !== undefined) return { ...outcome, location: undefined, shards: undefined };
  const location = locationIn(found.output) ?? outcome.redriveOf ?? (await locationInHistory(client, arn, signal));
  return { ...outcome, location, shards: await shardCounts(client, arn, signal) };
}

async function describe(client: Executions, arn: string, signal: AbortSignal) {
  try {
    return await client.describeExecution({ executionArn: arn }, { abortSignal: signal });
  } catch (error) {
    if (!isReplicationError(error) || !(error.cause instanceof Error)) throw error;
    if (error.cause.name !== 'ExecutionDoesNotExist') throw error;
    throw new ReplicationError('usage', `there is no execution ${arn}`, {
      reference: arn,
      remedy: 'see their names with `image-replication runs`; Step Functions forgets them after 90 days',
      cause: error,
    });
  }
}

function locationIn(text: string | undefined): string | undefined {
  return read(Located, text)?.location;
}

function read<T>(schema: z.ZodType<T>, text: string | undefined): T | undefined {
  if (text === undefined) return undefined;
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** Pages of the history that are looked at: the folder is named within the first events. */
const mostPages = 5;

/** A run that goes on, or has failed, has no output: the state that names its folder is in its history. */
async function locationInHistory(client: Executions, arn: string, signal: AbortSignal): Promise<string | undefined> {
  let nextToken: string | undefined;
  for (let page = 0; page < mostPages; page += 1) {
    const answer = await client.getExecutionHistory({ executionArn: arn, nextToken }, { abortSignal: signal });
    for (const event of answer.events ?? []) {
      const { stateExitedEventDetails: exited, taskSucceededEventDetails: succeeded } = event;
      const found = locationIn(exited?.output) ?? locationIn(succeeded?.output);
      if (found !== undefined) return found;
    }
    nextToken = answer.nextToken;
    if (nextToken === undefined) return undefined;
  }
  return undefined;
}

async function shardCounts(client: Executions, arn: string, signal: AbortSignal): Promise<ShardCounts | undefined> {
  const { mapRuns = [] } = await client.listMapRuns({ executionArn: arn }, { abortSignal: signal });
  const mapRunArn = mapRuns[0]?.mapRunArn;
  if (mapRunArn === undefined) return undefined;
  const { itemCounts } = await client.describeMapRun({ mapRunArn }, { abortSignal: signal });
  return itemCounts === undefined ? undefined : countsOf(itemCounts);
}

function countsOf(counts: MapRunItemCounts): ShardCounts {
  const { total = 0, pending = 0, running = 0, succeeded = 0, failed = 0, timedOut = 0, aborted = 0 } = counts;
  return { total, pending, running, succeeded, failed: failed + timedOut + aborted };
}

/**
 * Starts an execution that does the shards of a list again, without planning.
 * @param name of the execution: at most 80 characters, and none that there was within 90 days
 * @returns its ARN
 */
export async function startAgain(
  client: Executions,
  stateMachineArn: string,
  name: string,
  input: { readonly location: string; readonly bucket: string; readonly key: string },
  signal: AbortSignal,
): Promise<string> {
  const { executionArn: arn = '' } = await client.startExecution(
    { stateMachineArn, name, input: JSON.stringify(input) },
    { abortSignal: signal },
  );
  return arn;
}
