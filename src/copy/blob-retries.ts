import { setTimeout as sleep } from 'node:timers/promises';
import { isReplicationError, ReplicationError, toReplicationError } from '../model/errors.ts';
import type { BlobNeed } from './blob-state.ts';

export interface BlobRetriesOptions {
  readonly signal: AbortSignal;
  /** Tries per blob and repository. Default 6. */
  readonly attempts?: number;
  readonly onRetry: (host: string, what: string, reason: string, delaySeconds: number, attempt: number) => void;
}

/** Repeats what can be repeated while blobs move; each try opens the source and the upload anew (ECR cannot resume one). */
export class BlobRetries {
  readonly #options: BlobRetriesOptions;
  readonly #spent = new WeakSet<Error>();
  readonly #withNewToken = new WeakSet<Error>();
  readonly #refusals = new WeakMap<BlobNeed, number>();

  constructor(options: BlobRetriesOptions) {
    this.#options = options;
  }

  /** @throws ReplicationError what the last try failed with; `cancelled` when told to stop between two */
  async run<T>(need: BlobNeed, work: () => Promise<T>): Promise<T> {
    const { signal, onRetry } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await work();
      } catch (caught) {
        const error = toReplicationError(caught, { digest: need.descriptor.digest });
        if (signal.aborted || attempt >= this.#limit(error) || !this.#repeatable(caught, error)) throw error;
        const delay = Math.min(8, 0.1 * 2 ** attempt) * (0.5 + Math.random() / 2);
        onRetry(error.host ?? need.store.name, `blob ${need.descriptor.digest}`, error.message, delay, attempt);
        await sleep(delay * 1000, undefined, { signal }).catch(() => {
          throw new ReplicationError('cancelled', 'stopped while waiting to repeat a blob', { side: 'module' });
        });
      }
    }
  }

  /** A read that several wait for has been tried often enough: nobody of them repeats it. */
  spent(error: unknown): void {
    if (error instanceof Error && !isReplicationError(error, 'storage')) this.#spent.add(error);
  }

  /**
   * The registry refused a stream, which cannot be sent again with the new token that the refusal brought: the next try
   * uses it. Uploads share a token, and what goes wrong with one (a server that does not know it yet, or no more) may go
   * wrong with the next; a 403 is about rights, or an expired token at ECR: once.
   */
  refusedStream(need: BlobNeed, error: ReplicationError): void {
    const most = isReplicationError(error, 'unauthorized') ? 3 : isReplicationError(error, 'denied') ? 1 : 0;
    const refusals = (this.#refusals.get(need) ?? 0) + 1;
    this.#refusals.set(need, refusals);
    if (refusals <= most) this.#withNewToken.add(error);
  }

  /** The transport already waits for the host's shared back-off, so being throttled costs patience, not tries. */
  #limit(error: ReplicationError): number {
    const attempts = this.#options.attempts ?? 6;
    return error.code === 'throttled' ? attempts * 3 : attempts;
  }

  #repeatable(caught: unknown, error: ReplicationError): boolean {
    if (error.final || (caught instanceof Error && this.#spent.has(caught))) return false;
    return passing(error) || (caught instanceof Error && this.#withNewToken.delete(caught));
  }
}

function passing(error: ReplicationError): boolean {
  return isReplicationError(error, 'unreachable', 'unavailable', 'throttled', 'corrupt', 'blob-unknown', 'storage');
}
