/** A signal that follows another one, but not within so many milliseconds from now: for what is to be done even then. */
export function graceful(signal: AbortSignal, leastMs: number): AbortSignal {
  const controller = new AbortController();
  const follow = (): void => controller.abort(signal.reason);
  setTimeout(() => {
    if (signal.aborted) follow();
    else signal.addEventListener('abort', follow, { once: true });
  }, leastMs).unref();
  return controller.signal;
}
