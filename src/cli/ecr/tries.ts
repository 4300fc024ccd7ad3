import { type CopyRequest, placeName } from '../../copy/request.ts';
import { pause } from '../../aws/pause.ts';
import type { Failure, Outcome, Totals } from '../../model/result.ts';
import type { Reporter } from '../../report/events.ts';
import { addTotals, replicate } from '../replicate.ts';
import type { Session } from '../session.ts';

export interface TriedReplication {
  readonly outcomes: readonly Outcome[];
  readonly failures: readonly Failure[];
  readonly notices: readonly string[];
  readonly totals: Totals | undefined;
}

export interface TryOptions {
  /** How often an image is tried, at least once. */
  readonly tries: number;
  /** Have the target prove that it holds all of it. */
  readonly verify: boolean;
  /** Told of every try that has ended. */
  readonly onTry: (outcome: Outcome, attempt: number) => void;
}

/** Another try changes nothing about these: they are answers, or orders to stop. */
const answers: readonly Failure['code'][] = [
  'usage',
  'configuration',
  'not-found',
  'denied',
  'conflict',
  'unsupported',
  'refused',
  'cancelled',
  'deadline',
];

/** Milliseconds between two tries, times the number of the try. What is behind it has been repeated by the transport already. */
const betweenTriesMs = 1_000;

/** Copies, and copies again what failed for a reason that may pass. The report hears of an image's last try only. */
export async function replicateWithTries(
  session: Session,
  requests: readonly CopyRequest[],
  options: TryOptions,
): Promise<TriedReplication> {
  const done = new Map<string, Outcome>();
  const notices: string[] = [];
  const mismatches: Failure[] = [];
  let totals: Totals | undefined;
  let left = requests;
  for (let attempt = 1; left.length > 0; attempt += 1) {
    const again = (outcome: Outcome): boolean =>
      outcome.kind === 'failed' &&
      attempt < options.tries &&
      !session.admission.aborted &&
      outcome.failures.every(({ code }) => !answers.includes(code));
    const round = await replicate(withReporter(session, retelling(session.reporter, attempt, options, again)), {
      images: left,
      charts: [],
      verify: options.verify,
    });
    for (const outcome of round.outcomes) done.set(keyOf(outcome.targets), outcome);
    notices.push(...round.notices);
    const failedOnes = new Set(round.outcomes.flatMap((each) => (each.kind === 'failed' ? each.failures : [])));
    mismatches.push(...round.failures.filter((failure) => !failedOnes.has(failure)));
    totals = totals === undefined ? round.totals : addTotals(totals, round.totals);
    const failed = new Set(round.outcomes.filter(again).map(({ targets }) => keyOf(targets)));
    left = left.filter((request) => failed.has(keyOf(request.targets.map(placeName))));
    if (left.length > 0) await pause(betweenTriesMs * attempt, session.admission).catch(() => undefined);
  }
  const outcomes = [...done.values()];
  return {
    outcomes,
    failures: [...outcomes.flatMap((each) => (each.kind === 'failed' ? each.failures : [])), ...mismatches],
    notices: [...new Set(notices)],
    totals,
  };
}

function keyOf(targets: readonly string[]): string {
  return targets.join('\n');
}

function withReporter(session: Session, reporter: Reporter): Session {
  return { ...session, reporter, copyOptions: () => ({ ...session.copyOptions(), reporter }) };
}

/** Passes everything on, but for images that are tried again: these become warnings. */
function retelling(
  reporter: Reporter,
  attempt: number,
  { tries, onTry }: TryOptions,
  again: (outcome: Outcome) => boolean,
): Reporter {
  return {
    emit(event) {
      if (event.type === 'artifact-finished') onTry(event.outcome, attempt);
      if (event.type !== 'artifact-finished' || event.outcome.kind !== 'failed' || !again(event.outcome)) {
        reporter.emit(event);
        return;
      }
      const cause = event.outcome.failures[0]?.cause ?? 'failed';
      const message = `${event.outcome.artifact}: try ${attempt} of ${tries} failed: ${cause}`;
      reporter.emit({ type: 'notice', level: 'warning', message });
    },
  };
}
