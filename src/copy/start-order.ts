import { setTimeout as sleep } from 'node:timers/promises';
import type { Outcome } from '../model/result.ts';

/** An artifact of which all is known that has to be known before its bytes move. */
export interface Ready {
  readonly kind: 'work';
  /** Bytes that the targets lack. */
  readonly bytes: number;
}

export interface StartOrderOptions<T extends Ready> {
  /** Milliseconds after which nobody waits for lookups any more. */
  readonly patienceMs: number;
  /** Copies these, in this order of importance. @returns their outcomes, in the same order */
  readonly start: (works: readonly T[]) => Promise<readonly Outcome[]>;
  /** All is known, or as much as anybody waits for: what will be needed of each blob is settled. */
  readonly settled: () => void;
}

/** So many are known before the smaller half of them starts, while the others' lookups still run. */
const enoughToBegin = 8;

/**
 * Starts artifacts in an order that keeps the target's limit on manifests busy: small ones first, so that their manifests
 * are written while the big ones still move; and the first small ones before all lookups are done. A source that takes
 * longer to answer than the others' patience holds nobody up: what is known by then starts, and the rest as it becomes known.
 * @returns outcomes in the order of the lookups
 */
export async function startInOrder<T extends Ready>(
  lookups: readonly Promise<T | Outcome>[],
  { patienceMs, start, settled }: StartOrderOptions<T>,
): Promise<readonly Outcome[]> {
  let waiting: { readonly work: T; readonly begin: (outcome: Promise<Outcome>) => void }[] = [];
  let over = false;

  const startSmallest = (count: number): void => {
    waiting.sort((a, b) => a.work.bytes - b.work.bytes);
    const chosen = waiting.slice(0, count);
    waiting = waiting.slice(count);
    if (chosen.length === 0) return;
    const outcomes = start(chosen.map(({ work }) => work));
    chosen.forEach(({ begin }, position) => begin(outcomes.then((all) => outcomeAt(all, position))));
  };

  const outcomes = lookups.map(async (lookup) => {
    const found = await lookup;
    if (found.kind !== 'work') return found;
    return new Promise<Outcome>((begin) => {
      waiting.push({ work: found, begin });
      if (over) startSmallest(waiting.length);
      else if (waiting.length >= enoughToBegin) startSmallest(enoughToBegin / 2);
    });
  });

  const timer = new AbortController();
  const patience = sleep(patienceMs, undefined, { signal: timer.signal }).catch(() => undefined);
  await Promise.race([Promise.allSettled(lookups), patience]);
  timer.abort();
  over = true;
  startSmallest(waiting.length);
  settled();
  return Promise.all(outcomes);
}

function outcomeAt(outcomes: readonly Outcome[], position: number): Outcome {
  const outcome = outcomes[position];
  if (outcome === undefined) throw new Error('an artifact has no outcome');
  return outcome;
}
