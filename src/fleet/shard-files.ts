import type * as z from 'zod';
import { isReplicationError, ReplicationError } from '../model/errors.ts';
import { readData, type RunFolder, shardName } from './run-folder.ts';
import { ShardProgress, ShardResult } from './shard.ts';

/** Which shard of which run a file has to be of. */
export interface ShardPlace {
  readonly run: string;
  readonly index: number;
}

/** Told of a file that cannot be used: `corrupt`, or `storage` for one that cannot be read. May throw it. */
export type OnUnsound = (error: ReplicationError) => void;

/** The result of a shard. One that is broken, or another shard's, counts as none and is told: one file must not end a run. */
export function readResult(
  folder: RunFolder,
  place: ShardPlace,
  signal: AbortSignal,
  onUnsound: OnUnsound,
): Promise<ShardResult | undefined> {
  return readOwn(folder, { name: `results/${shardName(place.index)}`, schema: ShardResult, place }, signal, onUnsound);
}

/** The last note of how far a worker is. One that is broken, or another shard's, counts as none and is told. */
export function readProgress(
  folder: RunFolder,
  place: ShardPlace,
  signal: AbortSignal,
  onUnsound: OnUnsound,
): Promise<ShardProgress | undefined> {
  const name = `progress/${shardName(place.index)}`;
  return readOwn(folder, { name, schema: ShardProgress, place }, signal, onUnsound);
}

interface Wanted<T> {
  readonly name: string;
  readonly schema: z.ZodType<T>;
  readonly place: ShardPlace;
}

async function readOwn<T extends ShardPlace>(
  folder: RunFolder,
  { name, schema, place }: Wanted<T>,
  signal: AbortSignal,
  onUnsound: OnUnsound,
): Promise<T | undefined> {
  try {
    const found = await readData(folder, name, schema, signal);
    if (found !== undefined) checkPlace(folder.address(name), found, place);
    return found;
  } catch (error) {
    if (!isReplicationError(error, 'corrupt', 'storage')) throw error;
    onUnsound(error);
    return undefined;
  }
}

/** @throws ReplicationError `corrupt` for what is of another shard, or of another run */
export function checkPlace(address: string, found: ShardPlace, { run, index }: ShardPlace): void {
  const remedy = 'plan the run anew, into a folder of its own';
  if (found.index !== index)
    throw new ReplicationError('corrupt', `${address} holds shard ${found.index}`, { reference: address, remedy });
  if (found.run !== run)
    throw new ReplicationError('corrupt', `${address} is of the run ${found.run}, and this folder is of ${run}`, {
      reference: address,
      remedy,
    });
}
