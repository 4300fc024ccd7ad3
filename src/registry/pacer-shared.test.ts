import { describe, expect, it } from 'vitest';
import { manualClock } from '../testing/manual-clock.ts';
import { Pacer, type Ticket } from './pacer.ts';
import type { Reservation, SharedRate } from './pacer-shared.ts';

/** A pacer whose rate is handed out by whatever the test says; each answer takes 10 ms. */
function setUp(answer: (count: number) => Reservation, rateAfterRefusal = 10) {
  const clock = manualClock();
  const asked: number[] = [];
  const refusals: number[] = [];
  const shared: SharedRate = {
    known: { perSecond: 10, burst: 10 },
    alone: { perSecond: 1, burst: 1 },
    async reserve(count) {
      asked.push(count);
      await clock.pass(10);
      return answer(count);
    },
    async refused(agoMs) {
      refusals.push(agoMs);
      return rateAfterRefusal;
    },
  };
  const pacer = new Pacer({ concurrency: 32, baseMs: 100, maxMs: 1_000, clock, shared });
  const admitted: { readonly ticket: Ticket; readonly at: number }[] = [];
  const { signal } = new AbortController();
  const ask = (): void =>
    void Promise.resolve(pacer.admit(signal)).then((ticket) => admitted.push({ ticket, at: clock.now() }));
  const times = (): readonly number[] => admitted.map(({ at }) => Math.round(at));
  return { clock, pacer, asked, refusals, admitted, ask, times };
}

const places = (...dueMs: readonly number[]): Reservation => ({ kind: 'places', dueMs, perSecond: 10 });
const evenly = (count: number, first = 0): Reservation =>
  places(...Array.from({ length: count }, (_, n) => first + n * 100));

describe('a rate that is shared', () => {
  it('is asked for together by requests that come together, a few at a time, and before the last place is used', async () => {
    const { clock, asked, ask, times } = setUp((count) => evenly(count, 100));
    for (let n = 0; n < 8; n += 1) ask();
    await clock.advance(13);
    expect([asked, times()]).toEqual([[5], []]);
    await clock.advance(310);
    // Two places are left: the next are asked for.
    expect(times()).toEqual([114, 214, 314]);
    expect(asked).toEqual([5, 3]);
    await clock.advance(2_000);
    expect(times()).toHaveLength(8);
  });

  it('is asked for a little more while there is enough, so that the next request goes at once', async () => {
    const { clock, pacer, asked, ask, times } = setUp((count) => places(...Array<number>(count).fill(0)));
    ask();
    await clock.advance(20);
    ask();
    await clock.advance(20);
    expect([asked, times()]).toEqual([
      [1, 3],
      [14, 34],
    ]);
    expect(pacer.admit(new AbortController().signal)).not.toBeInstanceOf(Promise);
    expect(asked).toEqual([1, 3]);
  });

  it('loses a place that is not used in time', async () => {
    const { clock, asked, ask, times } = setUp((count) => places(...Array<number>(count).fill(0)));
    for (let n = 0; n < 2; n += 1) {
      ask();
      await clock.advance(1_000);
    }
    // Two spare places were left of the second answer, which are too old now.
    ask();
    await clock.advance(1_000);
    expect(asked).toEqual([1, 3, 3]);
    expect(times()).toEqual([14, 1014, 2014]);
  });

  it('is left to itself for as long as it cannot be had, at the rate for one alone', async () => {
    let away = true;
    const { clock, pacer, asked, ask, times } = setUp((count) =>
      away ? { kind: 'alone', forMs: 5_000 } : evenly(count),
    );
    for (let n = 0; n < 10; n += 1) ask();
    await clock.advance(3_500);
    expect(times().map((ms) => Math.round(ms / 1000))).toEqual([0, 1, 2, 3]);
    expect(pacer.rate).toBeCloseTo(0.99);
    away = false;
    await clock.advance(3_000);
    expect(asked).toEqual([5, 4]);
    expect(times()).toHaveLength(10);
    expect(pacer.rate).toBe(10);
  });

  it('hears of refusals, and gives up its places when the rate falls', async () => {
    const { clock, pacer, refusals, asked, admitted, ask } = setUp((count) => evenly(count), 3);
    for (let n = 0; n < 5; n += 1) ask();
    await clock.advance(20);
    const [first] = admitted;
    if (first === undefined) throw new Error('none was admitted');
    pacer.throttled(first.ticket, undefined);
    pacer.release(first.ticket);
    await clock.advance(0);
    expect(refusals).toEqual([6]);
    expect(pacer.rate).toBe(3);
    expect(admitted).toHaveLength(1);
    await clock.advance(5_000);
    expect(asked.slice(0, 2)).toEqual([5, 1]);
  });
});
