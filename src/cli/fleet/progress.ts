import { readData, type RunFolder, shardName } from '../../fleet/run-folder.ts';
import { type Shard, ShardProgress } from '../../fleet/shard.ts';
import { toReplicationError } from '../../model/errors.ts';
import { jsonText } from '../../publish/files.ts';
import type { Session } from '../session.ts';
import type { WorkerPlace } from './worker-place.ts';

export interface KeptProgress {
  /** Which attempt this is, from 1: those that were killed have left their progress, too. */
  readonly attempt: number;
  stop(): Promise<void>;
}

/** Milliseconds between two notes. */
const everyMs = 15_000;

/** Notes now, and now and then, how far a worker is. Losing a note loses nothing. */
export async function keepProgress(
  session: Session,
  folder: RunFolder,
  { run, index, images }: Shard,
  { worker, log }: WorkerPlace,
): Promise<KeptProgress> {
  const { counters, signal } = session;
  const name = `progress/${shardName(index)}`;
  const before = await readData(folder, name, ShardProgress, signal);
  const attempt = (before?.attempt ?? 0) + 1;
  const startedAt = new Date().toISOString();
  const note = async (): Promise<void> => {
    const now: ShardProgress = {
      run,
      index,
      attempt,
      startedAt,
      updatedAt: new Date().toISOString(),
      images: images.length,
      done: counters.artifactsDone,
      bytesWritten: counters.writtenBytes,
      worker,
      ...(log === undefined ? {} : { log }),
    };
    await folder.write(name, jsonText(now), signal);
  };
  await note();
  let writing: Promise<void> | undefined;
  const timer = setInterval(() => {
    writing ??= note()
      .catch((error: unknown) => {
        const message = `how far this worker is could not be noted: ${toReplicationError(error).message}`;
        session.reporter.emit({ type: 'notice', level: 'warning', message });
      })
      .finally(() => {
        writing = undefined;
      });
  }, everyMs).unref();
  return {
    attempt,
    async stop() {
      clearInterval(timer);
      await writing;
    },
  };
}
