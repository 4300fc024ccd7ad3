import { BusyTime } from './busy-time.ts';
import type { LockFinding } from '../model/lock.ts';
import type { Failure, Outcome, Totals } from '../model/result.ts';

/** What happens in a run, as data. Rooms emit these; renderers (console, JSON lines, files) decide what to print. */
export type RunEvent =
  | { readonly type: 'run-started'; readonly job: string; readonly target: string }
  /** A step of the way: `plan`, `copy`, `verify`, `publish`, … */
  | { readonly type: 'phase'; readonly phase: string }
  | { readonly type: 'notice'; readonly level: 'info' | 'warning'; readonly message: string }
  | {
      readonly type: 'planned';
      readonly images: number;
      readonly charts: number;
      readonly targets: number;
      readonly sources: readonly string[];
    }
  | { readonly type: 'artifact-started'; readonly artifact: string }
  | { readonly type: 'artifact-finished'; readonly outcome: Outcome }
  /** Something is repeated, with the reason: throttled, connection lost, … */
  | {
      readonly type: 'retry';
      readonly host: string;
      readonly what: string;
      readonly reason: string;
      readonly delaySeconds: number;
      readonly attempt: number;
    }
  | { readonly type: 'failed'; readonly failure: Failure }
  /** A target, and the sources, were compared with a lock. */
  | {
      readonly type: 'checked';
      /** Path of the lock. */
      readonly lock: string;
      readonly images: number;
      readonly charts: number;
      /** What is not as locked; empty when all is well. */
      readonly findings: readonly LockFinding[];
    }
  /** What a status store has of an image: for programs, people get a table. */
  | {
      readonly type: 'image-status';
      readonly target: string;
      readonly source: string;
      readonly digest: string | null;
      readonly state: string;
      readonly tries: number;
      readonly started: string;
      readonly finished: string | null;
      readonly error: string | null;
    }
  | {
      readonly type: 'run-finished';
      readonly job: string;
      readonly ok: boolean;
      readonly totals: Totals | undefined;
      readonly failures: readonly Failure[];
      /** Where the run left its files, as a reader may open them. */
      readonly files?: readonly string[] | undefined;
    };

/** Takes events; must not throw and must not wait. */
export interface Reporter {
  emit(event: RunEvent): void;
}

export const silentReporter: Reporter = { emit: () => undefined };

/**
 * Counters that change with every chunk, polled by renderers instead of being sent as events. All bytes.
 * `expectedBytes` grows while manifests become known.
 */
export interface ProgressCounters {
  expectedBytes: number;
  readBytes: number;
  writtenBytes: number;
  artifactsDone: number;
  artifactsTotal: number;
  /** Requests that wait for a rate limit now, by host. */
  readonly throttled: Map<string, number>;
  /** When blobs came in, when blobs and manifests went out, and when requests waited for a rate limit (by host). */
  readonly busy: { readonly reading: BusyTime; readonly writing: BusyTime; readonly limited: Map<string, BusyTime> };
}

export function newProgressCounters(): ProgressCounters {
  return {
    expectedBytes: 0,
    readBytes: 0,
    writtenBytes: 0,
    artifactsDone: 0,
    artifactsTotal: 0,
    throttled: new Map(),
    busy: { reading: new BusyTime(), writing: new BusyTime(), limited: new Map() },
  };
}
