import { ReplicationError } from '../model/errors.ts';

/** What an aborted signal means to callers: its own reason where that is ours (`deadline`, `cancelled`), else `cancelled`. */
export function cancellation(signal: AbortSignal): ReplicationError {
  const reason: unknown = signal.reason;
  return reason instanceof ReplicationError
    ? reason
    : new ReplicationError('cancelled', 'told to stop', { cause: reason });
}

/** Waits for a promise that others share, but not longer than the signal lets us. */
export function orCancelled<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(cancellation(signal));
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(cancellation(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
