import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DelayLine, type DelayLineOptions } from './delay-line.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => void vi.useRealTimers());

function line(options: Partial<DelayLineOptions> = {}) {
  const start = performance.now();
  const arrived: (readonly [ms: number, bytes: number])[] = [];
  const events: string[] = [];
  let accept = true;
  const delayLine = new DelayLine({
    delayMs: 0,
    bytesPerSecond: undefined,
    firstByteMs: 0,
    deliver: (bytes) => (arrived.push([Math.round(performance.now() - start), bytes.length]), accept),
    roomAgain: () => void events.push('room'),
    ended: () => void events.push(`ended ${Math.round(performance.now() - start)}`),
    late: () => undefined,
    ...options,
  });
  return { delayLine, arrived, events, refuse: () => (accept = false), accept: () => (accept = true) };
}

describe('a delay line', () => {
  it('without delay hands on at once', () => {
    const { delayLine, arrived } = line();
    delayLine.push(Buffer.alloc(5));
    expect(arrived).toEqual([[0, 5]]);
  });

  it('delivers after the delay, in order, and ends after the last byte', () => {
    const { delayLine, arrived, events } = line({ delayMs: 20 });
    delayLine.push(Buffer.alloc(1));
    vi.advanceTimersByTime(5);
    delayLine.push(Buffer.alloc(2));
    delayLine.end();
    vi.advanceTimersByTime(100);
    expect(arrived).toEqual([
      [20, 1],
      [25, 2],
    ]);
    expect(events).toEqual(['ended 25']);
  });

  it('lets the first byte wait for the handshake, and only that', () => {
    const { delayLine, arrived } = line({ delayMs: 10, firstByteMs: 40 });
    delayLine.push(Buffer.alloc(1));
    vi.advanceTimersByTime(100);
    delayLine.push(Buffer.alloc(2));
    vi.advanceTimersByTime(100);
    expect(arrived).toEqual([
      [50, 1],
      [110, 2],
    ]);
  });

  it('keeps to the bandwidth whatever the pieces, and does not save up what was not used', () => {
    const { delayLine, arrived } = line({ delayMs: 10, bytesPerSecond: 1_000_000 });
    for (let piece = 0; piece < 10; piece += 1) delayLine.push(Buffer.alloc(10_000));
    vi.advanceTimersByTime(500);
    delayLine.push(Buffer.alloc(10_000));
    vi.advanceTimersByTime(100);
    expect(arrived.map(([ms]) => ms)).toEqual([20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 520]);
  });

  it('slows the sender when much is under way, and lets it go on', () => {
    const { delayLine, events } = line({ delayMs: 10, bytesPerSecond: 10_000_000 });
    for (let sent = 0; !delayLine.full; sent += 1) {
      expect(sent).toBeLessThan(100);
      delayLine.push(Buffer.alloc(65_536));
    }
    vi.advanceTimersByTime(30);
    expect(events).toEqual([]);
    vi.advanceTimersByTime(100);
    expect(events).toEqual(['room']);
    expect(delayLine.full).toBe(false);
  });

  it('holds what the receiver does not want yet', () => {
    const { delayLine, arrived, events, refuse, accept } = line({ delayMs: 10 });
    refuse();
    for (const bytes of [1, 2, 3]) delayLine.push(Buffer.alloc(bytes));
    delayLine.end();
    vi.advanceTimersByTime(100);
    expect(arrived).toEqual([[10, 1]]);
    accept();
    delayLine.resume();
    expect(arrived).toEqual([
      [10, 1],
      [100, 2],
      [100, 3],
    ]);
    expect(events).toEqual(['ended 100']);
  });
});
