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
  /** Tells what these will need, before any of them starts. */
  readonly announce: (works: readonly T[]) => void;
  /** Copies one. `moved` is called when its bytes are there, and others may take its place; calling it again does nothing. */
  readonly start: (work: T, moved: () => void) => Promise<Outcome>;
  /** All is known, or as much as anybody waits for: what will be needed of each blob is settled. */
  readonly settled: () => void;
}

/** So many are known before the smaller half of them starts, while the others' lookups still run. */
const enoughToBegin = 8;
/**
 * So many start before all needs are known, no more: what they bring is kept for those who may still need it, which costs
 * processor time for large blobs. Their manifests are what ECR's limit takes at once and in the first second.
 */
const mostEarly = 8;
/** Artifacts whose bytes move at the same time: what is under way takes memory, so thousands must not be. */
const mostMoving = 256;

interface Waiting<T extends Ready> {
  readonly work: T;
  readonly begin: (outcome: Promise<Outcome>) => void;
}

/**
 * Starts artifacts in an order that keeps the target's limit on manifests busy: small ones first, so that their manifests
 * are written while the big ones still move; and the first small ones before all lookups are done. A source that takes
 * longer to answer than the others' patience holds nobody up: what is known by then starts, and the rest as it becomes known.
 * @returns outcomes in the order of the lookups
 */
export async function startInOrder<T extends Ready>(
  lookups: readonly Promise<T | Outcome>[],
  { patienceMs, announce, start, settled }: StartOrderOptions<T>,
): Promise<readonly Outcome[]> {
  let waiting: Waiting<T>[] = [];
  let moving = 0;
  let early = 0;
  let over = false;

  const begin = ({ work, begin: began }: Waiting<T>): void => {
    moving += 1;
    let counted = true;
    const moved = (): void => {
      if (!counted) return;
      counted = false;
      moving -= 1;
      startSome();
    };
    began(start(work, moved).finally(moved));
  };

  const startSome = (): void => {
    if (!over && (waiting.length < enoughToBegin || early >= mostEarly)) return;
    const count = over ? Math.min(waiting.length, mostMoving - moving) : enoughToBegin / 2;
    if (count <= 0) return;
    waiting.sort((a, b) => a.work.bytes - b.work.bytes);
    const chosen = waiting.slice(0, count);
    waiting = waiting.slice(count);
    if (!over) {
      early += count;
      announce(chosen.map(({ work }) => work));
    }
    chosen.forEach(begin);
  };

  const outcomes = lookups.map(async (lookup) => {
    const found = await lookup;
    if (found.kind !== 'work') return found;
    return new Promise<Outcome>((resolve) => {
      if (over) announce([found]);
      waiting.push({ work: found, begin: resolve });
      startSome();
    });
  });

  const timer = new AbortController();
  const patience = sleep(patienceMs, undefined, { signal: timer.signal }).catch(() => undefined);
  await Promise.race([Promise.allSettled(lookups), patience]);
  timer.abort();
  over = true;
  announce(waiting.map(({ work }) => work));
  settled();
  startSome();
  return Promise.all(outcomes);
}
