import * as z from 'zod';
import { readData, type RunFolder } from '../../fleet/run-folder.ts';
import { Planning, ShardList } from '../../fleet/shard.ts';
import { isReplicationError, ReplicationError } from '../../model/errors.ts';

/** What was planned in a folder. @throws ReplicationError `configuration` when nothing was */
export async function readPlanned(
  folder: RunFolder,
  signal: AbortSignal,
): Promise<{ readonly planning: Planning; readonly items: ShardList }> {
  const [planning, items] = await Promise.all([
    readData(folder, 'planning.json', Planning, signal),
    readData(folder, 'shards.json', ShardList, signal),
  ]);
  if (planning !== undefined && items !== undefined) return { planning, items };
  throw new ReplicationError('configuration', `there is no planned run in ${folder.location}`, {
    reference: folder.location,
    remedy: 'correct the location; a job writes one with --shards',
  });
}

const Named = z.looseObject({ run: z.string() });

/**
 * Name of the run that was planned in a folder, which may lie elsewhere by now; `undefined` where that cannot be told: a
 * worker needs nothing but its shard.
 */
export async function plannedRun(folder: RunFolder, signal: AbortSignal): Promise<string | undefined> {
  try {
    return (await readData(folder, 'planning.json', Named, signal))?.run;
  } catch (error) {
    if (!isReplicationError(error, 'corrupt', 'denied')) throw error;
    return undefined;
  }
}
