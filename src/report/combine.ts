import type { Reporter } from './events.ts';

/** Hands every event to each reporter, in the order given. */
export function combineReporters(...reporters: readonly Reporter[]): Reporter {
  return {
    emit(event) {
      for (const reporter of reporters) reporter.emit(event);
    },
  };
}
