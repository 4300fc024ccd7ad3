import { setMaxListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { type ManualClock, manualClock } from '../testing/manual-clock.ts';
import { Pacer, type PacerOptions, type Ticket } from './pacer.ts';

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
    Promise.resolve(pacer.admit(by, again)).then((ticket) => void admitted.push({ name, ticket, at: clock.now() }));
  return { clock, pacer, waiting, admitted, ask };
}

function ticketOf(admitted: readonly { readonly ticket: Ticket }[], index: number): Ticket {
  const found = admitted[index];
  if (found === undefined) throw new Error(`only ${admitted.length} were admitted`);
  return found.ticket;
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
    pacer.release(ticketOf(admitted, 0));
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
    expect(admitted.map(({ at }) => Math.floor(at / 10))).toEqual([0, 0, 0, 10, 20, 30, 40, 50]);
    expect(Math.max(...waiting)).toBe(5);
    expect(waiting.at(-1)).toBe(0);
    expect(pacer.rate).toBeCloseTo(10, 0);
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
    pacer.succeeded(ticketOf(admitted, 0));
    pacer.release(ticketOf(admitted, 0));
    await clock.advance(10_000);
    expect(admitted.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  it('counts the refusals of one round once, and doubles the pause with each further round', async () => {
    const { pacer, clock } = setUp();
    const round = [await admitNow(pacer), await admitNow(pacer), await admitNow(pacer)];
    await clock.advance(10);
    const results = round.map((ticket) => pacer.throttled(ticket, undefined));
    expect(results.map(({ fresh }) => fresh)).toEqual([true, false, false]);
    expect(results[0]?.pauseMs).toBe(75); // three quarters of 100: the dice are fixed
    for (const ticket of round) pacer.release(ticket);
    const probe = Promise.resolve(pacer.admit(new AbortController().signal));
    await clock.advance(3_000);
    expect(pacer.throttled(await probe, undefined).pauseMs).toBe(150);
  });

  it('sends one probe alone, then a quarter as many as before, then one more with each success', async () => {
    const { pacer, admitted, ask, clock } = setUp({ concurrency: 8 });
    const before = await Promise.all(Array.from({ length: 8 }, () => admitNow(pacer)));
    for (const ticket of before) pacer.throttled(ticket, 1_000);
    for (const ticket of before) pacer.release(ticket);
    for (let index = 0; index < 20; index += 1) void ask(String(index));
    await clock.advance(2_000);
    expect(admitted).toHaveLength(1);
    const probe = ticketOf(admitted, 0);
    pacer.succeeded(probe);
    pacer.release(probe);
    await clock.advance(0);
    expect(admitted).toHaveLength(1 + 3);
    pacer.succeeded(ticketOf(admitted, 1));
    pacer.release(ticketOf(admitted, 1));
    await clock.advance(0);
    expect(admitted).toHaveLength(1 + 3 + 2);
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
    pacer.release(ticketOf(admitted, 0));
    await clock.advance(5_000);
    expect(admitted.map(({ name }) => name)).toEqual(['a', 'b']);
  });

  interface Host {
    readonly perSecond: number;
    readonly burst: number;
    /** Milliseconds to the host, and back. */
    readonly oneWay: number;
  }
  const ecr: Host = { perSecond: 10, burst: 10, oneWay: 10 };

  /** Writes at a host with a token bucket (ECR's PutImage: 10 a second, burst 10). `readyAt`: when each is there to be written. */
  async function writeAll(
    pacer: Pacer,
    clock: ManualClock,
    readyAt: readonly number[],
    host: Host = ecr,
  ): Promise<{ readonly seconds: number; readonly floor: number; readonly refusals: number }> {
    let tokens = host.burst;
    let filledAt = 0;
    let refusals = 0;
    let done = 0;
    let finishedAt = 0;
    const { signal } = new AbortController();
    setMaxListeners(0, signal);
    const pass = (ms: number): Promise<void> => clock.pass(ms);
    const write = async (again: boolean): Promise<void> => {
      const ticket = await pacer.admit(signal, again);
      await pass(host.oneWay);
      tokens = Math.min(host.burst, tokens + ((clock.now() - filledAt) * host.perSecond) / 1000);
      filledAt = clock.now();
      const taken = tokens >= 1;
      if (taken) tokens -= 1;
      await pass(host.oneWay);
      if (taken) {
        done += 1;
        finishedAt = clock.now();
        pacer.succeeded(ticket);
        pacer.release(ticket);
        return;
      }
      refusals += 1;
      pacer.throttled(ticket, undefined);
      pacer.release(ticket);
      return write(true);
    };
    const all = readyAt.map((at) => pass(at).then(() => write(false)));
    for (let step = 0; step < 5_000 && done < readyAt.length; step += 1) await clock.advance(100);
    await Promise.all(all);
    return { seconds: finishedAt / 1000, floor: floorOf(readyAt, host), refusals };
  }

  /** When a writer that knows everything would be done, in seconds. */
  function floorOf(readyAt: readonly number[], { perSecond, burst, oneWay }: Host): number {
    let tokens = burst;
    let now = 0;
    for (const at of [...readyAt].sort((a, b) => a - b)) {
      const start = Math.max(now, at);
      tokens = Math.min(burst, tokens + ((start - now) * perSecond) / 1000);
      const wait = tokens >= 1 ? 0 : ((1 - tokens) * 1000) / perSecond;
      tokens += (wait * perSecond) / 1000 - 1;
      now = start + wait;
    }
    return (now + 2 * oneWay) / 1000;
  }

  const supplies = {
    'all at once': (count: number) => Array.from({ length: count }, () => 0),
    'a flood after a few': (count: number) => Array.from({ length: count }, (_, n) => (n < 3 ? 400 : 900 + n)),
    'slowly first': (count: number) => Array.from({ length: count }, (_, n) => (n < count / 4 ? n * 180 : 5_500)),
    'in waves': (count: number) => Array.from({ length: count }, (_, n) => Math.floor(n / 30) * 2_500),
  };
  const hosts: readonly Host[] = [
    ecr,
    { perSecond: 10, burst: 10, oneWay: 2 },
    { perSecond: 10, burst: 10, oneWay: 120 },
    { perSecond: 10, burst: 1, oneWay: 20 },
    { perSecond: 100, burst: 100, oneWay: 10 },
    { perSecond: 3, burst: 5, oneWay: 20 },
    { perSecond: 50, burst: 10, oneWay: 40 },
  ];
  const cases = hosts.flatMap((host) => Object.entries(supplies).map(([supply, times]) => ({ host, supply, times })));

  it.each(cases)(
    'learns a limit of $host.perSecond a second (burst $host.burst, $host.oneWay ms away) with writes $supply',
    async ({ host, times }) => {
      const { pacer, clock } = setUp({ concurrency: 32, begin: 4, baseMs: 400, maxMs: 20_000 });
      const { seconds, floor, refusals } = await writeAll(pacer, clock, times(120), host);
      // A host that saves nothing up loses whatever it was not asked for in time: no writer can reach its floor.
      expect(seconds).toBeLessThan(host.burst === 1 ? floor * 1.7 : floor * 1.02 + 1.2);
      // Nine or ten of them are what it takes to learn; the rest were under way when the first was refused.
      expect(refusals).toBeLessThan(40);
    },
  );

  it('has few under way at first, and one more with every second success', async () => {
    const { pacer, admitted, ask, clock } = setUp({ concurrency: 6, begin: 2 });
    for (let asked = 0; asked < 12; asked += 1) void ask(String(asked));
    const numbers: number[] = [];
    for (let done = 0; done < 9; done += 1) {
      await clock.advance(0);
      numbers.push(admitted.length - done);
      const ticket = ticketOf(admitted, done);
      pacer.succeeded(ticket);
      pacer.release(ticket);
    }
    expect(numbers).toEqual([2, 2, 3, 3, 4, 4, 5, 5, 4]);
  });

  it('does not let requests that hang keep the others back where few may be under way', async () => {
    const { admitted, ask, clock } = setUp({ concurrency: 5, begin: 2, hangingMs: 10_000 });
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) void ask(name);
    await clock.advance(9_999);
    expect(admitted.map(({ name }) => name)).toEqual(['a', 'b']);
    await clock.advance(1);
    expect(admitted.map(({ name }) => name)).toEqual(['a', 'b', 'c', 'd']);
    // Never more than may be under way at all.
    await clock.advance(100_000);
    expect(admitted.map(({ name }) => name)).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('sends another probe when one hangs', async () => {
    const { pacer, admitted, ask, clock } = setUp({ hangingMs: 10_000 });
    const first = await admitNow(pacer);
    pacer.throttled(first, 100);
    pacer.release(first);
    for (const name of ['a', 'b', 'c']) void ask(name);
    await clock.advance(5_000);
    expect(admitted.map(({ name }) => name)).toEqual(['a']);
    await clock.advance(10_000);
    expect(admitted.map(({ name }) => name)).toEqual(['a', 'b']);
    // The first one's end lets no third go beside the second.
    pacer.release(ticketOf(admitted, 0));
    await clock.advance(5_000);
    expect(admitted.map(({ name }) => name)).toEqual(['a', 'b']);
    pacer.succeeded(ticketOf(admitted, 1));
    pacer.release(ticketOf(admitted, 1));
    await clock.advance(1);
    expect(admitted.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  it('waits for nothing any more once nobody waits for it: a program that is told to stop can end', async () => {
    const time = manualClock();
    let timers = 0;
    const clock: PacerOptions['clock'] = {
      ...time,
      after(ms, callback) {
        timers += 1;
        const cancel = time.after(ms, () => {
          timers -= 1;
          callback();
        });
        return () => {
          timers -= 1;
          cancel();
        };
      },
    };
    const { pacer } = setUp({ clock });
    const first = await admitNow(pacer);
    pacer.throttled(first, 60_000);
    pacer.release(first);
    const stop = new AbortController();
    const waiting = Promise.resolve(pacer.admit(stop.signal)).catch((error: unknown) => error);
    expect(timers).toBe(1);
    stop.abort();
    expect(await waiting).toMatchObject({ code: 'cancelled' });
    expect(timers).toBe(0);
  });

  it('is refused nothing when it knows the limit', async () => {
    const { pacer, clock } = setUp({ concurrency: 32, rate: { perSecond: 10, burst: 10 } });
    const { seconds, refusals } = await writeAll(pacer, clock, supplies['all at once'](120));
    expect(refusals).toBe(0);
    expect(seconds).toBeLessThan(11.2);
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
    expect(pacer.rate).toBe(9.9);
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
      pacer.release(ticketOf(admitted, index));
    }
    expect(admitted.map(({ name }) => name)).toEqual(['a', 'again', 'b']);
  });
});
