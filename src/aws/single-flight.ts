import { isReplicationError } from '../model/errors.ts';

/**
 * One run of `work` at a time for all who wait. The value is kept; a failure is not: the next caller starts again. A
 * caller that merely joined does not share the fate of the one who started it and was told to stop.
 */
export function sharedOnce<T>(work: (signal: AbortSignal) => Promise<T>): (signal: AbortSignal) => Promise<T> {
  let flight: Promise<T> | undefined;
  return async function join(signal: AbortSignal): Promise<T> {
    const joined = flight !== undefined;
    flight ??= work(signal).catch((error: unknown) => {
      flight = undefined;
      throw error;
    });
    try {
      return await flight;
    } catch (error) {
      if (joined && !signal.aborted && isReplicationError(error, 'cancelled')) return join(signal);
      throw error;
    }
  };
}
