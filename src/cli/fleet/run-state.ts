import * as z from 'zod';
import { readData, type RunFolder, shardName } from '../../fleet/run-folder.ts';
import { unfinished } from '../../fleet/results.ts';
import type { Planning, ShardItem, ShardProgress, ShardResult } from '../../fleet/shard.ts';
import { readProgress, readResult } from '../../fleet/shard-files.ts';
import type { Failure } from '../../model/result.ts';
import { counted, formatBytes, shortened } from '../../report/format.ts';
import { readPlanned } from './planned.ts';

/** A run as its folder shows it, while it goes on and afterwards. */
export interface FolderState {
  readonly location: string;
  readonly planning: Planning;
  readonly shards: readonly ShardState[];
  /** Shards without a result. */
  readonly open: number;
  /** All have one, or the run was summed up without it and no worker has been seen since. */
  readonly ended: boolean;
}

export interface ShardState {
  readonly item: ShardItem;
  readonly progress: ShardProgress | undefined;
  readonly result: ShardResult | undefined;
  /** Why a file of it that is there counts as none. */
  readonly broken: readonly string[];
}

/** Shards that are read at the same time. */
const atOnce = 16;

/** @throws ReplicationError `configuration` when there is no planned run */
export async function folderState(folder: RunFolder, signal: AbortSignal): Promise<FolderState> {
  const { planning, items } = await readPlanned(folder, signal);
  const [summed, begun, done] = await Promise.all([
    readData(folder, 'summary.json', Summed, signal),
    folder.list('progress', signal),
    folder.list('results', signal),
  ]);
  const [progress, results] = [new Set(begun), new Set(done)];
  const shards: ShardState[] = [];
  const read = async (item: ShardItem): Promise<ShardState> => {
    const name = shardName(item.index);
    const place = { run: planning.run, index: item.index };
    const broken: string[] = [];
    const note = ({ message }: Error): void => void broken.push(message);
    return {
      item,
      progress: progress.has(name) ? await readProgress(folder, place, signal, note) : undefined,
      result: results.has(name) ? await readResult(folder, place, signal, note) : undefined,
      broken,
    };
  };
  for (let start = 0; start < items.length; start += atOnce)
    shards.push(...(await Promise.all(items.slice(start, start + atOnce).map(read))));
  const open = shards.filter(isOpen);
  const since = summed?.summedUpAt ?? '';
  const ended = open.every(({ progress }) => since !== '' && (progress?.updatedAt ?? '') <= since);
  return { location: folder.location, planning, shards, open: open.length, ended };
}

/** ISO 8601 in UTC, as progress has it. */
const Summed = z.looseObject({ summedUpAt: z.string().optional() });

/** A later attempt that has begun makes the result of the one before an old one. */
function isOpen({ progress, result }: ShardState): boolean {
  return result === undefined || (progress !== undefined && progress.attempt > result.attempts);
}

/** Lines of shards and of failures that are shown. */
const most = 100;

/** @param now for workers that have gone silent */
export function stateLines(state: FolderState, now: Date): readonly string[] {
  const { location, planning, shards, open } = state;
  const results = shards.flatMap(({ result }) => result ?? []);
  const failures = [...planning.failures, ...results.flatMap((each) => each.failures)];
  const { copied, bytes, unchanged, failed } = workOf(state);
  return [
    `${location}: ${counted(planning.images, 'image')} in ${counted(shards.length, 'shard')}, ${open} of them open`,
    `${copied} copied (${formatBytes(bytes)}), ${unchanged} unchanged, ${failed} failed`,
    ...shortened(
      shards.map((shard) => shardLine(shard, now)),
      most,
    ),
    ...shortened(failures.map(failureText), most),
  ];
}

function failureText({ artifact, cause, remedy }: Failure): string {
  return `failed ${artifact}: ${cause}${remedy === undefined ? '' : `\nwhat to do: ${remedy}`}`;
}

/** By results, and by the notes of what has none yet. */
export function workOf({ planning, shards }: FolderState) {
  let [copied, bytes, unchanged, failed] = [0, 0, planning.unchanged, planning.failures.length];
  for (const { progress, result } of shards) {
    const since = unfinished(progress, result);
    copied += (result?.counts.copied ?? 0) + (since?.copied.length ?? 0);
    bytes += (result?.totals?.bytesWritten ?? 0) + (since?.bytesWritten ?? 0);
    unchanged += result?.counts.unchanged ?? 0;
    failed += result?.counts.failed ?? 0;
  }
  return { copied, bytes, unchanged, failed };
}

/** A worker that says nothing for so long was killed, in all likelihood: it notes how far it is every 15 s. */
const silentMs = 60_000;

function shardLine(shard: ShardState, now: Date): string {
  return [stateLine(shard, now), ...shard.broken].join('; ');
}

/** What a shard is doing, or has come to. */
export function phaseOf(shard: ShardState): 'waiting' | 'running' | 'done' | 'failed' {
  const { progress, result } = shard;
  if (result === undefined || isOpen(shard)) return progress === undefined ? 'waiting' : 'running';
  return result.counts.failed + result.failures.length > 0 ? 'failed' : 'done';
}

function stateLine(shard: ShardState, now: Date): string {
  const { item, progress, result } = shard;
  const name = `shard ${shardName(item.index).replace('.json', '')}`;
  const tried = (attempts: number): string => (attempts === 1 ? '' : `, attempt ${attempts}`);
  if (result !== undefined && !isOpen(shard)) {
    const { copied, unchanged, failed } = result.counts;
    const phase = phaseOf(shard);
    const where = phase === 'failed' && progress?.log !== undefined ? `, log ${progress.log}` : '';
    return `${name}: ${phase}, ${copied} copied, ${unchanged} unchanged, ${failed} failed${tried(result.attempts)}${where}`;
  }
  if (progress === undefined) return `${name}: waiting, ${counted(item.images, 'image')}, ${formatBytes(item.bytes)}`;
  const { done, images, bytesWritten, worker, log, attempt, updatedAt } = progress;
  const silent = now.getTime() - Date.parse(updatedAt);
  const seen = silent < silentMs ? `seen ${updatedAt}` : `silent for ${Math.floor(silent / 60_000)} min`;
  return `${name}: running, ${done} of ${counted(images, 'image')}, ${formatBytes(bytesWritten)} written${tried(attempt)}, ${seen}, ${log === undefined ? `on ${worker}` : `log ${log}`}`;
}
