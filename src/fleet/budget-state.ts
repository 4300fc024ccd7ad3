import * as z from 'zod';
import type { KnownRate } from '../registry/pacer-bucket.ts';

/**
 * What the workers know together of a host's rate: one item of the coordination table. Times in milliseconds since the
 * epoch. Places in time are handed out by the generic cell rate algorithm (virtual scheduling, ITU-T I.371 annex A):
 * each place is one interval after the one before, and may be used by some intervals earlier (`toleranceMs`), which is
 * how what was saved up is spent.
 */
export const BudgetState = z.object({
  /** The next free place. */
  nextAt: z.number(),
  /** Counts the changes of the rate: places are reserved at a rate that their worker knows. */
  rateEpoch: z.number(),
  /** Requests per second that the host seemed to take when it refused last; 0 when it never did. */
  slowedTo: z.number(),
  slowedAt: z.number(),
  /** Places handed out, and requests refused, ever. */
  places: z.number(),
  refused: z.number(),
  /** A moment when the host's bucket was empty (0 when it has been full since), and what it had accepted until then. */
  emptyAt: z.number(),
  acceptedThen: z.number(),
});
export type BudgetState = Readonly<z.infer<typeof BudgetState>>;

export function newBudget(now: number): BudgetState {
  return { nextAt: now, rateEpoch: 0, slowedTo: 0, slowedAt: 0, places: 0, refused: 0, emptyAt: 0, acceptedThen: 0 };
}

/** One hundredth below what is known, as in `LearnedRate`. */
const caution = 0.99;
/** The slowed rate stays for so long, then grows by one hundredth a second, and by twice as much every `doublingMs`. */
const growth = { afterMs: 15_000, perSecond: 0.01, doublingMs: 10_000 };
/** Two refusals closer to each other than this are one; in milliseconds. */
export const sameRefusalMs = 500;
/** How far back a host's behaviour is looked at, in milliseconds: its limit may change. */
const horizonMs = 15_000;
/** So many requests may have been on their way, and counted on the wrong side of a moment. */
const uncertain = 1.5;

/** Requests per second that all workers together may send now. */
export function rateAt(state: BudgetState, now: number, known: KnownRate): number {
  const most = known.perSecond * caution;
  if (state.slowedTo === 0) return most;
  const grown = Math.min(Math.max(0, now - state.slowedAt - growth.afterMs), 100_000);
  const { perSecond, doublingMs } = growth;
  const exponent = (perSecond * doublingMs * (2 ** (grown / doublingMs) - 1)) / (1000 * Math.LN2);
  return Math.min(most, state.slowedTo * Math.exp(Math.min(exponent, 20)));
}

/**
 * By how much a place may be used before its time: a whole burst but a fifth, because requests of several workers do not
 * arrive in the order of their places. The same at every rate, so that a change of the rate moves no place.
 */
export function toleranceMs({ perSecond, burst }: KnownRate): number {
  const allowed = Math.max(1, burst - Math.max(1, Math.ceil(burst / 5)));
  return ((allowed - 1) * 1000) / perSecond;
}

/**
 * What a refusal at `now` makes of it: the host's bucket is empty, so nobody goes before it has filled by one; and the
 * rate is what refusals show. @param pauseMs what the host asked for
 */
export function slowed(state: BudgetState, now: number, known: KnownRate, pauseMs: number): BudgetState {
  const rate = rateAt(state, now, known);
  const ahead = Math.max(0, ((state.nextAt - toleranceMs(known) - now) * rate) / 1000);
  const accepted = state.places - ahead - state.refused;
  const measuring = state.emptyAt > 0 && now - state.emptyAt <= horizonMs;
  const slowedTo = measuring ? slowerRate(state, now, rate, accepted) : state.slowedTo === 0 ? 0 : rate;
  return {
    ...state,
    ...(measuring ? {} : { emptyAt: now, acceptedThen: accepted }),
    slowedTo,
    slowedAt: now,
    rateEpoch: state.rateEpoch + 1,
    nextAt: Math.max(state.nextAt, now + toleranceMs(known) + pauseMs) + 1000 / (slowedTo || rate),
  };
}

/**
 * The bucket was empty at `emptyAt` and is empty now: what was accepted in between is what flowed in. After a sudden
 * change that is too much, by the places that workers have given up, so the rate comes down in steps.
 */
function slowerRate({ emptyAt, acceptedThen }: BudgetState, now: number, rate: number, accepted: number): number {
  const measured = ((accepted - acceptedThen + uncertain) * 1000) / (now - emptyAt);
  return Math.min(rate, Math.max(measured * caution, rate / 2));
}
