import type { Outcome } from '../model/result.ts';
import type { RunEvent } from './events.ts';
import { countRetry, reasonOf, type RetryCount } from './record.ts';

/** What a renderer remembers of a run. */
export class Tally {
  phase: string | undefined;
  readonly outcomes = new Map<string, Outcome>();
  readonly underWay = new Set<string>();
  readonly retries = new Map<string, RetryCount>();
  /** The last reason for a repetition, by host. */
  readonly reasons = new Map<string, string>();

  add(event: RunEvent): void {
    switch (event.type) {
      case 'phase':
        this.phase = event.phase;
        break;
      case 'artifact-started':
        this.underWay.add(event.artifact);
        break;
      case 'artifact-finished':
        this.underWay.delete(event.outcome.artifact);
        this.outcomes.set([event.outcome.artifact, ...event.outcome.targets].join('\n'), event.outcome);
        break;
      case 'retry':
        countRetry(this.retries, event);
        this.reasons.set(event.host, reasonOf(event));
        break;
      default:
    }
  }

  /** Artifacts that ended in one way. */
  ofKind(kind: Outcome['kind']): readonly string[] {
    return [...this.outcomes.values()].filter((outcome) => outcome.kind === kind).map((outcome) => outcome.artifact);
  }
}
