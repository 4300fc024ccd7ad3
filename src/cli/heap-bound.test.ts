import { describe, expect, it } from 'vitest';
import { collectWhenDue } from './heap-bound.ts';

const megabyte = 1 << 20;

/** A heap of so many live bytes and so many that are garbage. */
function heap(live: number, garbage: number) {
  const state = { live, garbage, collections: 0 };
  return {
    state,
    used: () => state.live + state.garbage,
    collect: () => {
      state.garbage = 0;
      state.collections += 1;
    },
  };
}

describe('the heap', () => {
  it('of a small run is left to V8', () => {
    const small = heap(10 * megabyte, 50 * megabyte);
    expect(collectWhenDue(small, 0)).toBe(0);
    expect(small.state.collections).toBe(0);
  });

  it('is collected when garbage has piled up over what was live the last time, and not before', () => {
    const large = heap(70 * megabyte, 10 * megabyte);
    const left = collectWhenDue(large, 0);
    expect([left, large.state.collections]).toEqual([70 * megabyte, 1]);
    large.state.garbage = 20 * megabyte;
    expect(collectWhenDue(large, left)).toBe(left);
    large.state.live += 10 * megabyte;
    expect(collectWhenDue(large, left)).toBe(80 * megabyte);
    expect(large.state.collections).toBe(2);
  });
});
