import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { graceful } from './graceful.ts';

describe('the last write of a worker', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it('has its time, though the worker was told to stop before', () => {
    const left = graceful(AbortSignal.abort(new Error('stopped')), 15_000);
    vi.advanceTimersByTime(14_999);
    expect(left.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(left.reason).toEqual(new Error('stopped'));
  });

  it('has its time, when the worker is told to stop meanwhile', () => {
    const stop = new AbortController();
    const left = graceful(stop.signal, 15_000);
    vi.advanceTimersByTime(10_000);
    stop.abort();
    expect(left.aborted).toBe(false);
    vi.advanceTimersByTime(5_000);
    expect(left.aborted).toBe(true);
  });

  it('goes on for as long as nobody says stop: what S3 refuses for a while is written in the end', () => {
    const stop = new AbortController();
    const left = graceful(stop.signal, 15_000);
    vi.advanceTimersByTime(100_000);
    expect(left.aborted).toBe(false);
    stop.abort();
    expect(left.aborted).toBe(true);
  });
});
