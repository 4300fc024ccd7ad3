import * as z from 'zod';
import { readData, type RunFolder } from '../../fleet/run-folder.ts';
import { Planning, ShardList } from '../../fleet/shard.ts';
import { isReplicationError, ReplicationError } from '../../model/errors.ts';
import { counted } from '../../report/format.ts';

/**
 * What was planned in a folder.
 * @throws ReplicationError `configuration` when nothing was; `corrupt` when the list of shards is of another plan, as after planning
 *   into the folder anew that broke off: what is in no shard of the list would be missing without a word
 */
export async function readPlanned(
  folder: RunFolder,
  signal: AbortSignal,
): Promise<{ readonly planning: Planning; readonly items: ShardList }> {
  const [planning, items] = await Promise.all([
    readData(folder, 'planning.json', Planning, signal),
    readData(folder, 'shards.json', ShardList, signal),
  ]);
  if (planning !== undefined && items !== undefined) {
    const images = items.reduce((sum, item) => sum + item.images, 0);
    if (items.length === planning.shards && images === planning.images) return { planning, items };
    const [list, planned] = [items.length, planning.shards].map((count) => counted(count, 'shard'));
    throw new ReplicationError(
      'corrupt',
      `${folder.address('shards.json')} lists ${list} with ${images} images, and ${planned} with ${planning.images} were planned`,
      { reference: folder.location, remedy: 'plan the run anew, into a folder of its own' },
    );
  }
  throw new ReplicationError('configuration', `there is no planned run in ${folder.location}`, {
    reference: folder.location,
    remedy: 'correct the location; a job writes one with --shards',
  });
}

const Named = z.looseObject({ run: z.string(), plannedAt: z.string().optional() });

/**
 * The run that was planned in a folder, which may lie elsewhere by now, and when; `undefined` where that cannot be told: a
 * worker needs nothing but its shard.
 */
export async function plannedRun(folder: RunFolder, signal: AbortSignal): Promise<z.infer<typeof Named> | undefined> {
  try {
    return await readData(folder, 'planning.json', Named, signal);
  } catch (error) {
    if (!isReplicationError(error, 'corrupt', 'denied')) throw error;
    return undefined;
  }
}
