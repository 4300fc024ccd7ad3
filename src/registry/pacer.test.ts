import { describe, expect, it } from 'vitest';
import { Pacer, type PacerClock, type PacerOptions, type Ticket } from './pacer.ts';

/** A clock that moves only when it is told to. */
function manualClock(): PacerClock & { advance(ms: number): Promise<void> } {
  let now = 0;
  const timers = new Set<{ at: number; callback: () => void }>();
  const settle = async (): Promise<void> => {
    for (let turns = 0; turns < 5; turns += 1) await Promise.resolve();
  };
  return {
    now: () => now,
    random: () => 0.5,
    after(ms, callback) {
      const timer = { at: now + ms, callback };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    async advance(ms) {
      const end = now + ms;
      for (;;) {
        const next = [...timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
        if (next === undefined) break;
        now = Math.max(now, next.at);
        timers.delete(next);
        next.callback();
        await settle();
      }
      now = end;
      await settle();
    },
  };
}

function setUp(options: Partial<PacerOptions> = {}) {
  const clock = manualClock();
  const waiting: number[] = [];
  const pacer = new Pacer({
    concurrency: 4,
    baseMs: 100,
    maxMs: 10_000,
    clock,
    onWaiting: (count) => waiting.push(count),
    ...options,
  });
  const admitted: { name: string; ticket: Ticket; at: number }[] = [];
  const { signal } = new AbortController();
  const ask = (name: string, again = false, by = signal): Promise<void> =>
    Promise.resolve(pacer.admit(by, again)).then(
      (ticket) => void admitted.push({ name, ticket, at: ticket.admittedAt }),
    );
  return { clock, pacer, waiting, admitted, ask };
}

async function admitNow(pacer: Pacer): Promise<Ticket> {
  return pacer.admit(new AbortController().signal);
}

describe('pacer', () => {
  it('lets so many go at once, the next when one ends, in the order of asking', async () => {
    const { pacer, admitted, ask, clock } = setUp({ concurrency: 2 });
    for (const name of ['a', 'b', 'c', 'd']) void ask(name);
    await clock.advance(0);
    expect(admitted.map(({ name }) => name)).toEqual(['a', 'b']);
    pacer.release(admitted[0]!.ticket);
    await clock.advance(0);
    expect(admitted.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  it('answers at once, without a promise, when nothing stands against it', () => {
    const { pacer } = setUp();
    expect(pacer.admit(new AbortController().signal)).not.toBeInstanceOf(Promise);
  });

  it('keeps to a known rate: the burst at once, then evenly', async () => {
    const { pacer, admitted, ask, clock, waiting } = setUp({ concurrency: 100, rate: { perSecond: 10, burst: 3 } });
    for (let index = 0; index < 8; index += 1) void ask(String(index));
    await clock.advance(1_000);
    expect(admitted.map(({ at }) => at)).toEqual([0, 0, 0, 100, 200, 300, 400, 500]);
    expect(Math.max(...waiting)).toBe(5);
    expect(waiting.at(-1)).toBe(0);
    expect(pacer.rate).toBe(10);
  });

  it('pauses for Retry-After, then sends one probe, then the others', async () => {
    const { pacer, admitted, ask, clock } = setUp();
    const first = await admitNow(pacer);
    expect(pacer.throttled(first, 2_000).fresh).toBe(true);
    pacer.release(first);
    for (const name of ['a', 'b', 'c']) void ask(name);
    await clock.advance(1_999);
    expect(admitted).toEqual([]);
    await clock.advance(2_000);
    expect(admitted.map(({ name }) => name)).toEqual(['a']);
    pacer.succeeded(admitted[0]!.ticket);
    pacer.release(admitted[0]!.ticket);
    await clock.advance(10_000);
    expect(admitted.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  it('counts the refusals of one round once, and doubles the pause with each further round', async () => {
    const { pacer, clock } = setUp();
    const round = [await admitNow(pacer), await admitNow(pacer), await admitNow(pacer)];
    await clock.advance(10);
    const results = round.map((ticket) => pacer.throttled(ticket, undefined));
    expect(results.map(({ fresh }) => fresh)).toEqual([true, false, false]);
    expect(results[0]!.pauseMs).toBe(50); // half of 100: the dice are fixed
    for (const ticket of round) pacer.release(ticket);
    const probe = Promise.resolve(pacer.admit(new AbortController().signal));
    await clock.advance(3_000);
    expect(pacer.throttled(await probe, undefined).pauseMs).toBe(100);
  });

  it('lets another probe go when one fails without an answer', async () => {
    const { pacer, admitted, ask, clock } = setUp();
    const first = await admitNow(pacer);
    pacer.throttled(first, 100);
    pacer.release(first);
    void ask('a');
    void ask('b');
    await clock.advance(5_000);
    expect(admitted.map(({ name }) => name)).toEqual(['a']);
    pacer.release(admitted[0]!.ticket);
    await clock.advance(5_000);
    expect(admitted.map(({ name }) => name)).toEqual(['a', 'b']);
  });

  it('learns a rate from refusals and finds back up', async () => {
    const { pacer, clock } = setUp({ concurrency: 1_000 });
    const tickets = await Promise.all(Array.from({ length: 40 }, () => admitNow(pacer)));
    await clock.advance(100);
    for (const ticket of tickets.slice(0, 20)) pacer.succeeded(ticket);
    for (const ticket of tickets.slice(20)) pacer.throttled(ticket, undefined);
    for (const ticket of tickets) pacer.release(ticket);
    expect(pacer.rate).toBe(14);
    let served = 0;
    for (let second = 0; second < 20; second += 1) {
      const wanted = Array.from({ length: 100 }, () => {
        const stop = new AbortController();
        void Promise.resolve(pacer.admit(stop.signal)).then(
          (ticket) => {
            served += 1;
            pacer.succeeded(ticket);
            pacer.release(ticket);
          },
          () => undefined,
        );
        return stop;
      });
      await clock.advance(1_000);
      for (const stop of wanted) stop.abort();
    }
    expect(pacer.rate).toBeGreaterThan(19);
    expect(served).toBeGreaterThan(14 * 15);
  });

  it('never goes beyond a known rate', async () => {
    const { pacer, clock } = setUp({ rate: { perSecond: 10, burst: 10 } });
    const ticket = await admitNow(pacer);
    pacer.throttled(ticket, undefined);
    pacer.release(ticket);
    for (let second = 0; second < 60; second += 1) {
      const next = Promise.resolve(pacer.admit(new AbortController().signal));
      await clock.advance(3_000);
      const admittedTicket = await next;
      pacer.succeeded(admittedTicket);
      pacer.release(admittedTicket);
    }
    expect(pacer.rate).toBe(10);
  });

  it('forgets whoever is told to stop, and lets those go first who try again', async () => {
    const { pacer, admitted, ask, clock } = setUp({ concurrency: 1 });
    const stop = new AbortController();
    void ask('a');
    const gone = ask('gone', false, stop.signal).catch((error: unknown) => error);
    void ask('b');
    void ask('again', true);
    stop.abort();
    expect(await gone).toMatchObject({ code: 'cancelled' });
    for (let index = 0; index < 3; index += 1) {
      await clock.advance(0);
      pacer.release(admitted[index]!.ticket);
    }
    expect(admitted.map(({ name }) => name)).toEqual(['a', 'again', 'b']);
  });
});
