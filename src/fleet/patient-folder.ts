import { pause } from '../aws/pause.ts';
import { isReplicationError, type ReplicationError } from '../model/errors.ts';
import type { RunFolder } from './run-folder.ts';

/** How long it is asked again, and the pauses in between, in milliseconds. */
const mostMs = 120_000;
const pauses = { firstMs: 1_000, mostMs: 15_000 } as const;

/** Replaced in tests. */
export interface Waiting {
  readonly wait: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  readonly now: () => number;
}

const usual: Waiting = { wait: pause, now: () => performance.now() };

/**
 * A folder that is asked again for two minutes where S3 has to slow down or is out of order: many workers begin and end at the
 * same time, and S3 answers 503 until it has split the prefix, which takes longer than the SDK's own tries.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html
 * @param onTrouble told of the first refusal of each request
 */
export function patientFolder(
  folder: RunFolder,
  onTrouble: (error: ReplicationError) => void,
  { wait, now }: Waiting = usual,
): RunFolder {
  const patiently = async <T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> => {
    const until = now() + mostMs;
    for (let again = 0; ; again += 1)
      try {
        return await ask();
      } catch (error) {
        const most = Math.min(pauses.mostMs, pauses.firstMs * 2 ** again);
        // Those that were refused together do not come back together.
        const pauseMs = most * (0.5 + Math.random() / 2);
        if (!isReplicationError(error, 'throttled', 'unavailable') || now() + pauseMs > until) throw error;
        if (again === 0) onTrouble(error);
        await wait(pauseMs, signal);
      }
  };
  return {
    ...folder,
    read: (name, signal) => patiently(signal, () => folder.read(name, signal)),
    write: (name, text, signal) => patiently(signal, () => folder.write(name, text, signal)),
    list: (name, signal) => patiently(signal, () => folder.list(name, signal)),
  };
}
