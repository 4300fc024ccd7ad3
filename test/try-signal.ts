import { beforeEach } from 'vitest';

/**
 * Call it where tests are declared; in a test, the result gives a signal that is aborted when this try of it has ended, also
 * by a timeout: what a try waits for must not go on in the world of the next one. The signal of vitest's own context is one
 * for all tries of a test, so that after a timeout every further try finds it aborted.
 */
export function signalOfTry(): () => AbortSignal {
  let current = new AbortController();
  beforeEach(() => {
    const own = new AbortController();
    current = own;
    return () => own.abort();
  });
  return () => current.signal;
}
