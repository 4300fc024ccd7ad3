import { type RunFolder, shardName } from '../../fleet/run-folder.ts';
import { type OnUnsound, readProgress } from '../../fleet/shard-files.ts';
import { unfinished } from '../../fleet/results.ts';
import type { CopiedImage, Shard, ShardProgress, ShardResult, Unfinished } from '../../fleet/shard.ts';
import { toReplicationError } from '../../model/errors.ts';
import type { Outcome } from '../../model/result.ts';
import { jsonText } from '../../publish/files.ts';
import type { Session } from '../session.ts';
import type { WorkerPlace } from './worker-place.ts';

export interface KeptProgress {
  /** Which attempt this is, from 1: those that were killed have left their progress, too. */
  readonly attempt: number;
  /** What those did, as far as their notes tell. */
  readonly killed: Unfinished | undefined;
  /** How an image ended, which the next note tells. */
  finished(outcome: Outcome): void;
  stop(): Promise<void>;
}

/** Milliseconds between two notes, and two notes that tell of more images: those of a killed worker are counted by them. */
const everyMs = 15_000;
const copiedEveryMs = 5_000;
/** How often it is looked whether one is due. */
const lookEveryMs = 1_000;

/**
 * Notes now, and now and then, how far a worker is. Losing a note loses no image.
 * @param result what earlier attempts that came to an end have left
 */
export async function keepProgress(
  session: Session,
  folder: RunFolder,
  shard: Shard,
  { place: { worker, log }, result }: { readonly place: WorkerPlace; readonly result: ShardResult | undefined },
): Promise<KeptProgress> {
  const { run, index, images } = shard;
  const { counters, signal } = session;
  const name = `progress/${shardName(index)}`;
  const before = await readProgress(folder, shard, signal, brokenFile(session));
  const attempt = Math.max(before?.attempt ?? 0, result?.attempts ?? 0) + 1;
  const killed = unfinished(before, result);
  const places = new Map(images.map(({ source, targets }, image) => [keyOf(source, targets), image]));
  const copied = new Map<number, CopiedImage>();
  const startedAt = new Date().toISOString();
  let [last, told] = [0, 0];
  const isDue = (): boolean => {
    const since = performance.now() - last;
    // The first image is told at once.
    return since >= everyMs || (copied.size > told && (told === 0 || since >= copiedEveryMs));
  };
  const note = async (): Promise<void> => {
    [last, told] = [performance.now(), copied.size];
    const now: ShardProgress = {
      run,
      index,
      attempt,
      startedAt,
      updatedAt: new Date().toISOString(),
      images: images.length,
      done: counters.artifactsDone,
      copied: [...copied.values()],
      bytesRead: counters.readBytes,
      bytesWritten: counters.writtenBytes,
      ...(killed === undefined ? {} : { killed }),
      worker,
      ...(log === undefined ? {} : { log }),
    };
    await folder.write(name, jsonText(now), signal);
  };
  await note();
  let writing: Promise<void> | undefined;
  const timer = setInterval(() => {
    // The shard may be another worker's by now, who notes its own.
    if (session.admission.aborted || !isDue()) return;
    writing ??= note()
      .catch((error: unknown) => {
        const message = `how far this worker is could not be noted: ${toReplicationError(error).message}`;
        session.reporter.emit({ type: 'notice', level: 'warning', message });
      })
      .finally(() => {
        writing = undefined;
      });
  }, lookEveryMs).unref();
  return {
    attempt,
    killed,
    finished(outcome) {
      const image = places.get(keyOf(outcome.artifact, outcome.targets));
      if (image === undefined || outcome.kind !== 'copied') return;
      const { digest, bytes, seconds } = outcome;
      copied.set(image, { image, digest, bytes, seconds });
    },
    async stop() {
      clearInterval(timer);
      await writing;
    },
  };
}

/**
 * What a worker does about a file of its shard that is broken: it is told, and written anew. One that this worker may not read
 * or write ends it, as there is nothing wrong with the file.
 */
export function brokenFile({ reporter }: Session): OnUnsound {
  return (error) => {
    if (error.code === 'storage') throw error;
    reporter.emit({ type: 'notice', level: 'warning', message: `${error.message}: it is written anew` });
  };
}

function keyOf(artifact: string, targets: readonly string[]): string {
  return [artifact, ...targets].join('\n');
}
