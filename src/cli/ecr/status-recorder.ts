import { type CopyRequest, placeName } from '../../copy/request.ts';
import { ReplicationError, toReplicationError } from '../../model/errors.ts';
import { type Failure, failureOf, type Outcome } from '../../model/result.ts';
import type { ImageStatus, StatusStore } from '../../status/status.ts';
import { batchedWrites } from './batched-writes.ts';
import type { AbsentImage } from './work.ts';

/** Keeps the status of each image up to date while a run goes on, in few writes. */
export interface StatusRecorder {
  /** The run begins with these. */
  begin(requests: readonly CopyRequest[]): Promise<void>;
  /** How a try ended; may be called again for the next one. */
  finished(outcome: Outcome, tries: number): void;
  /** Statuses that no try ends: found unchanged, or deleted. Those that are known already are not written. */
  note(statuses: readonly ImageStatus[]): void;
  /** Writes what is left. @returns what went wrong with the status, which stopped no image */
  end(): Promise<readonly Failure[]>;
  /** Writes nothing any more: the images are somebody else's now. */
  abandon(): void;
}

/** @param targets all that it will be told of, where that is known: others are not read then */
export async function statusRecorder(
  store: StatusStore,
  now: () => Date,
  signal: AbortSignal,
  targets?: readonly string[],
): Promise<StatusRecorder> {
  const known = new Map((await store.list({ targets }, signal)).map((status) => [status.target, status]));
  const writes = batchedWrites(store, known, signal);
  const put = (status: ImageStatus): void => {
    known.set(status.target, status);
    writes.add(status);
  };

  return {
    async begin(requests) {
      const started = now().toISOString();
      for (const { artifact: source, targets } of requests)
        for (const target of targets.map(placeName)) {
          const digest = known.get(target)?.digest ?? null;
          put({ target, source, digest, state: 'pending', tries: 0, started, finished: null, error: null });
        }
      await writes.flush();
    },
    finished(outcome, tries) {
      const finished = now().toISOString();
      for (const target of outcome.targets) {
        const before = known.get(target);
        put({
          target,
          source: before?.source ?? outcome.artifact,
          digest: outcome.kind === 'failed' ? (before?.digest ?? null) : outcome.digest,
          state: outcome.kind,
          tries: outcome.kind === 'unchanged' ? 0 : tries,
          started: before?.started ?? finished,
          finished,
          error: outcome.kind === 'failed' ? outcome.failures.map(({ cause }) => cause).join('; ') : null,
        });
      }
    },
    note(statuses) {
      for (const status of statuses) if (!saysTheSame(known.get(status.target), status)) put(status);
    },
    async end() {
      const trouble = await writes.end();
      return trouble === undefined ? [] : [failureOf(`status in ${store.name}`, lost(store, trouble))];
    },
    abandon: () => writes.abandon(),
  };
}

/** An image that was copied and is unchanged since is both times the same image at the same place. */
function saysTheSame(before: ImageStatus | undefined, after: ImageStatus): boolean {
  if (before?.digest !== after.digest) return false;
  return before.state === after.state || (before.state === 'copied' && after.state === 'unchanged');
}

function lost(store: StatusStore, error: unknown): ReplicationError {
  const cause = toReplicationError(error);
  return new ReplicationError(cause.code, `the status could not be kept in ${store.name}: ${cause.message}`, {
    side: 'module',
    remedy: cause.remedy ?? 'the images themselves are not affected; run again once the store can be written',
    cause,
  });
}

/** An image that was asked for and is not at the source. */
export function absentStatus({ source, target, failure }: AbsentImage, when: string): ImageStatus {
  const error = failure.cause;
  return { target, source, digest: null, state: 'failed', tries: 1, started: when, finished: when, error };
}

/** An image that both listings show alike. */
export function unchangedStatus({ artifact, source, targets: [place] }: CopyRequest, when: string): ImageStatus {
  return {
    target: place === undefined ? artifact : placeName(place),
    source: artifact,
    digest: source.reference,
    state: 'unchanged',
    tries: 0,
    started: when,
    finished: when,
    error: null,
  };
}
