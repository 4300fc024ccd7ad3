import {
  describeExecution,
  executionArn,
  executionAtWork,
  executionOutcome,
  type Executions,
  executionsSince,
  isAtWork,
  machineOf,
  startAgain,
} from '../../fleet/executions.ts';
import { readData, type RunFolder, type S3Address } from '../../fleet/run-folder.ts';
import { Planning, ShardList } from '../../fleet/shard.ts';
import { isReplicationError, ReplicationError } from '../../model/errors.ts';
import { counted } from '../../report/format.ts';
import type { Session } from '../session.ts';
import { withRunFolder } from './folder.ts';
import { runNameOf } from './run-lines.ts';

/**
 * Starts the failed shards of a run again.
 * @param region of the folder
 * @returns ARN of the new execution
 * @throws ReplicationError `usage` where it would do nothing, or harm
 */
export async function redrive(session: Session, client: Executions, arn: string, region: string): Promise<string> {
  const { signal } = session;
  const found = await describeExecution(client, arn, signal);
  const { location, name, skippedFor } = found;
  const machine = machineOf(arn);
  const atWork = await executionAtWork(client, machine, signal);
  if (isAtWork(found) || atWork?.arn === arn)
    throw new ReplicationError('usage', `${name} is still running`, {
      remedy: `wait for its end: runs ${name} --watch`,
    });
  if (skippedFor !== undefined)
    throw new ReplicationError('usage', `${name} was skipped: it has planned nothing that could be done again`, {
      remedy: `see what was at work instead: runs ${runNameOf(skippedFor)}`,
    });
  if (location === undefined)
    throw new ReplicationError('usage', `${name} has planned nothing that could be done again`, {
      remedy: 'start a new run of the state machine',
    });
  if (atWork !== undefined)
    throw new ReplicationError('usage', `${atWork.name} is at work: a redrive of ${name} would be skipped`, {
      remedy: `wait for its end: runs ${atWork.name} --watch`,
    });
  const work = async (folder: RunFolder): Promise<string> => {
    const failed = await failedShards(folder, name, signal);
    await refuseOldPlan(session, client, { name, machine, folder, region });
    const input = { location, bucket: failed.bucket, key: `${failed.key}/failed.json` };
    const started = await startAgain(client, machine, redriveName(folder.run, new Date()), input, signal);
    const again = `${counted(failed.shards, 'shard')} of ${name} ${failed.shards === 1 ? 'is' : 'are'} done again`;
    session.reporter.emit({ type: 'notice', level: 'info', message: `${again} by ${runNameOf(started)}: ${started}` });
    return started;
  };
  return withRunFolder(session, location, work, region);
}

/** https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html: at most 80 characters. */
export function redriveName(run: string, now: Date): string {
  const time = now.toISOString().replace(/[-:]|\.\d+/g, '');
  return `${run.slice(0, 80 - '-redrive-'.length - time.length)}-redrive-${time}`;
}

async function failedShards(
  folder: RunFolder,
  name: string,
  signal: AbortSignal,
): Promise<S3Address & { readonly shards: number }> {
  const failed = await readData(folder, 'failed.json', ShardList, signal);
  if (folder.s3 === undefined || (failed === undefined && (await folder.read('shards.json', signal)) === undefined))
    throw new ReplicationError('usage', `${name} has planned nothing that could be done again`, {
      reference: folder.location,
      remedy: 'start a new run of the state machine',
    });
  if (failed === undefined)
    throw new ReplicationError('usage', `${name} was not summed up: there is no ${folder.address('failed.json')}`, {
      reference: folder.address('failed.json'),
      remedy: `write it with: image-replication summary --shards ${folder.location}`,
    });
  if (failed.length === 0)
    throw new ReplicationError('usage', `no shard of ${name} has failed`, {
      remedy: 'what is missing was not planned: start a new run of the state machine',
    });
  return { ...folder.s3, shards: failed.length };
}

interface OldRun {
  readonly name: string;
  readonly machine: string;
  readonly folder: RunFolder;
  readonly region: string;
}

/**
 * Shards name images by digest. Where a later run has planned, a tag that has moved in between would be taken back to what it
 * was; and what failed then was planned by that one, too.
 */
async function refuseOldPlan(session: Session, client: Executions, run: OldRun): Promise<void> {
  const { signal } = session;
  for (const { arn, started } of await executionsSince(
    client,
    run.machine,
    await beginOf(run, client, signal),
    signal,
  )) {
    const { name, location } = await describeExecution(client, arn, signal);
    if (location === undefined || location === run.folder.location) continue;
    const own = async (folder: RunFolder): Promise<boolean> =>
      folder.run === name && (await folder.read('shards.json', signal)) !== undefined;
    if (!(await withRunFolder(session, location, own, run.region))) continue;
    throw new ReplicationError(
      'usage',
      `${name} has planned anew on ${started}: a redrive of ${run.name} would bring back tags that have moved since`,
      { remedy: `run again what ${name} has left, or start a new run of the state machine` },
    );
  }
}

/** When the execution began that has planned the folder, by Step Functions' clock: a task's own may be wrong. */
async function beginOf({ machine, folder }: OldRun, client: Executions, signal: AbortSignal): Promise<number> {
  try {
    return Date.parse((await executionOutcome(client, executionArn(machine, folder.run), signal)).started);
  } catch (error) {
    // It was planned by hand, or is forgotten.
    if (!isReplicationError(error, 'usage')) throw error;
    const planned = await readData(folder, 'planning.json', Planning, signal);
    return Date.parse(planned?.plannedAt ?? '');
  }
}
