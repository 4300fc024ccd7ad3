import { describe, expect, it } from 'vitest';
import { BusyTime } from './busy-time.ts';

describe('busy time', () => {
  it('counts overlapping things once', () => {
    const busy = new BusyTime();
    busy.begin(100);
    busy.begin(150);
    busy.end(200);
    expect(busy.total(210)).toBe(110);
    busy.end(250);
    expect(busy.total(400)).toBe(150);
    busy.begin(500);
    busy.end(510);
    expect(busy.total(600)).toBe(160);
  });

  it('follows a state that is told again and again', () => {
    const busy = new BusyTime();
    busy.set(false, 0);
    busy.set(true, 10);
    busy.set(true, 20);
    busy.set(false, 30);
    busy.set(false, 40);
    expect(busy.total(100)).toBe(20);
  });
});
