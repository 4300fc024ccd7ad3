import type { Failure, Outcome, Totals } from '../model/result.ts';
import { SecretMask } from '../model/secrets.ts';
import type { Reporter, RunEvent } from './events.ts';
import { masked } from './json-lines.ts';

/** Version of the record's format. */
export const runRecordVersion = 1;

/** What a run did, for files and other programs. Times are ISO 8601 in UTC, bytes are bytes. Free of secrets. */
export interface RunRecord {
  readonly version: typeof runRecordVersion;
  readonly job: string | undefined;
  readonly target: string | undefined;
  readonly started: string;
  /** Absent while the run goes on, or when it ended without saying so. */
  readonly finished: string | undefined;
  readonly ok: boolean;
  /** Steps in order, each with the time it began. */
  readonly phases: readonly { readonly phase: string; readonly started: string }[];
  readonly planned: { readonly images: number; readonly charts: number; readonly targets: number } | undefined;
  /** The last word on each artifact, sorted by artifact. */
  readonly outcomes: readonly Outcome[];
  readonly failures: readonly Failure[];
  readonly notices: readonly { readonly level: 'info' | 'warning'; readonly message: string }[];
  /** What was repeated, counted by host and reason, most often first. */
  readonly retries: readonly { readonly host: string; readonly reason: string; readonly count: number }[];
  readonly totals: Totals | undefined;
  readonly files: readonly string[];
}

/** How a run ends. */
export type Ending = Pick<Extract<RunEvent, { type: 'run-finished' }>, 'ok' | 'totals' | 'failures' | 'files'>;

export interface RunRecorder extends Reporter {
  /**
   * The run so far.
   * @param ending the run as it is when it ends now, and like this: for a report that is published before the end
   */
  record(ending?: Ending): RunRecord;
}

/** Keeps what happens, for the run's record. The mask is applied, text by text, when the record is asked for. */
export function runRecorder(mask: SecretMask = new SecretMask(), now: () => Date = () => new Date()): RunRecorder {
  const started = now().toISOString();
  let head: Extract<RunEvent, { type: 'run-started' }> | undefined;
  let plan: Extract<RunEvent, { type: 'planned' }> | undefined;
  let end: { readonly event: Ending; readonly job: string; readonly time: string } | undefined;
  const phases: { phase: string; started: string }[] = [];
  const outcomes = new Map<string, Outcome>();
  const failures: Failure[] = [];
  const notices: { level: 'info' | 'warning'; message: string }[] = [];
  const retries = new Map<string, { host: string; reason: string; count: number }>();
  const emit = (event: RunEvent): void => {
    switch (event.type) {
      case 'run-started':
        head = event;
        break;
      case 'phase':
        phases.push({ phase: event.phase, started: now().toISOString() });
        break;
      case 'planned':
        plan = event;
        break;
      case 'notice':
        notices.push({ level: event.level, message: event.message });
        break;
      case 'artifact-started':
      case 'checked':
      case 'image-status':
        break;
      case 'artifact-finished':
        outcomes.set(outcomeKey(event.outcome), event.outcome);
        break;
      case 'retry':
        countRetry(retries, event);
        break;
      case 'failed':
        failures.push(event.failure);
        break;
      case 'run-finished':
        end = { event, job: event.job, time: now().toISOString() };
    }
  };
  return {
    emit,
    record: (ending) => {
      const { event, time } = ending === undefined ? (end ?? {}) : { event: ending, time: now().toISOString() };
      return masked(
        {
          version: runRecordVersion,
          job: head?.job ?? end?.job,
          target: head?.target,
          started,
          finished: time,
          ok: event?.ok ?? false,
          phases,
          planned: plan === undefined ? undefined : { images: plan.images, charts: plan.charts, targets: plan.targets },
          outcomes: [...outcomes].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, outcome]) => outcome),
          failures: event?.failures ?? [...[...outcomes.values()].flatMap(failuresOf), ...failures],
          notices,
          retries: [...retries.values()].sort((a, b) => b.count - a.count),
          totals: event?.totals,
          files: event?.files ?? [],
        },
        mask,
      );
    },
  };
}

/** One artifact may be asked for twice, for different targets. */
function outcomeKey(outcome: Outcome): string {
  return [outcome.artifact, ...outcome.targets].join('\n');
}

function failuresOf(outcome: Outcome): readonly Failure[] {
  return outcome.kind === 'failed' ? outcome.failures : [];
}

export interface RetryCount {
  readonly host: string;
  readonly reason: string;
  count: number;
}

type Retry = Extract<RunEvent, { type: 'retry' }>;

/** Why something is repeated, without the host and the thing that the cause names: many things have one reason. */
export function reasonOf({ host, what, reason }: Pick<Retry, 'host' | 'what' | 'reason'>): string {
  const start = `${host}: `;
  const end = ` (${what})`;
  const bare = reason.startsWith(start) ? reason.slice(start.length) : reason;
  return bare.endsWith(end) ? bare.slice(0, -end.length) : bare;
}

export function countRetry(counts: Map<string, RetryCount>, event: Pick<Retry, 'host' | 'what' | 'reason'>): void {
  const { host } = event;
  const reason = reasonOf(event);
  const key = `${host} ${reason}`;
  const known = counts.get(key);
  if (known === undefined) counts.set(key, { host, reason, count: 1 });
  else known.count += 1;
}
