import type { CopyRequest } from '../copy/request.ts';
import type { Failure, Outcome, Totals } from '../model/result.ts';
import type { Reporter } from '../report/events.ts';
import { addTotals, replicateOnce, type ReplicationWork } from './one-try.ts';
import type { Session } from './session.ts';

export interface Replication {
  readonly outcomes: readonly Outcome[];
  readonly failures: readonly Failure[];
  readonly notices: readonly string[];
  readonly totals: Totals;
}

/** Told of every try of an artifact that has ended; the first is 1. */
export type OnTry = (outcome: Outcome, attempt: number) => void;

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

/**
 * Copies what differs, has the target prove that it holds all of it, and copies again what failed for a reason that may pass,
 * until the session's tries are spent. The report hears of an artifact's last try only. The middle of every job.
 */
export async function replicate(session: Session, work: ReplicationWork, onTry?: OnTry): Promise<Replication> {
  const outcomes = new Map<CopyRequest, Outcome>();
  const notices: string[] = [];
  const mismatches: Failure[] = [];
  let totals: Totals | undefined;
  let left = work;
  for (let attempt = 1; ; attempt += 1) {
    const retold = new Set<Outcome>();
    const round = await replicateOnce(withReporter(session, retelling(session, attempt, retold, onTry)), left);
    for (const { request, outcome } of round.done) outcomes.set(request, outcome);
    notices.push(...round.notices);
    mismatches.push(...round.mismatches);
    totals = totals === undefined ? round.totals : addTotals(totals, round.totals);
    const again = new Set(round.done.filter(({ outcome }) => retold.has(outcome)).map(({ request }) => request));
    if (again.size === 0) break;
    left = {
      ...work,
      images: left.images.filter((image) => again.has(image)),
      charts: left.charts.filter(({ request }) => again.has(request)),
    };
    await session.pause(betweenTriesMs * attempt, session.admission).catch(() => undefined);
  }
  const all = [...outcomes.values()];
  return {
    outcomes: all,
    failures: [...all.flatMap((each) => (each.kind === 'failed' ? each.failures : [])), ...mismatches],
    notices: [...new Set(notices)],
    totals,
  };
}

function withReporter(session: Session, reporter: Reporter): Session {
  return { ...session, reporter, copyOptions: () => ({ ...session.copyOptions(), reporter }) };
}

/** Passes everything on, but for artifacts that are tried again: these become warnings. @param retold takes their outcomes */
function retelling(session: Session, attempt: number, retold: Set<Outcome>, onTry: OnTry | undefined): Reporter {
  const { reporter, tries, admission } = session;
  const again = ({ failures }: Extract<Outcome, { kind: 'failed' }>): boolean =>
    attempt < tries && !admission.aborted && failures.every(({ code }) => !answers.includes(code));
  return {
    emit(event) {
      if (event.type === 'artifact-finished') onTry?.(event.outcome, attempt);
      if (event.type !== 'artifact-finished' || event.outcome.kind !== 'failed' || !again(event.outcome)) {
        reporter.emit(event);
        return;
      }
      retold.add(event.outcome);
      const cause = event.outcome.failures[0]?.cause ?? 'failed';
      const message = `${event.outcome.artifact}: try ${attempt} of ${tries} failed: ${cause}`;
      reporter.emit({ type: 'notice', level: 'warning', message });
    },
  };
}
