import { describe, expect, it } from 'vitest';
import { dueSections, dueTime, type SectionState, stateAfter } from './schedule.ts';
import { section } from './test-support.ts';

const minute = 60_000;
const hour = 60 * minute;
const start = Date.UTC(2026, 0, 1);
const done = { kind: 'done' } as const;
const failed = { kind: 'failed', error: 'no' } as const;
const attempt = { now: start, target: 'ecr', random: 0 };
const how = { target: 'ecr', retryFailed: false };

describe('the schedule', () => {
  it('does a new section, and one that says something else or goes elsewhere, at once', () => {
    const one = section('a');
    const state = stateAfter(one, undefined, done, attempt);
    expect(dueTime(one, undefined, how)).toBe(0);
    expect(dueTime(one, state, how)).toBe(start + hour);
    expect(dueTime({ ...one, line: 9 }, state, how)).toBe(start + hour);
    expect(dueTime({ ...one, tags: { kind: 'listed', tags: ['2'] } }, state, how)).toBe(0);
    expect(dueTime({ ...one, platforms: [{ os: 'linux', architecture: 'amd64' }] }, state, how)).toBe(0);
    expect(dueTime(one, state, { ...how, target: 'elsewhere' })).toBe(0);
  });

  it('refreshes after the interval, a little later at random, and takes a changed interval at once', () => {
    const one = section('a');
    const late = stateAfter(one, undefined, done, { ...attempt, random: 1 });
    expect(late.next).toBe(start + hour + 6 * minute);
    expect(dueTime({ ...one, refreshSeconds: 60 }, late, how)).toBe(start + minute + 6_000);
    expect(dueTime({ ...one, refreshSeconds: 7_200 }, late, how)).toBe(start + 2 * hour);
    const weekly = stateAfter(section('a', { refreshSeconds: 604_800 }), undefined, done, { ...attempt, random: 1 });
    expect(weekly.next).toBe(start + 7 * 24 * hour + 10 * minute);
  });

  it('never refreshes what says 0, but tries again until it was there once', () => {
    const never = section('a', { refreshSeconds: undefined });
    const state = stateAfter(never, undefined, done, attempt);
    expect([state.next, dueTime(never, state, how)]).toEqual([undefined, undefined]);
    expect(dueTime(section('a'), state, how)).toBe(start + hour);
    const bad = stateAfter(never, undefined, failed, attempt);
    expect(dueTime(never, bad, how)).toBe(start + 30_000);
  });

  it('backs off after failures, up to an hour or the interval, and forgets them after a success', () => {
    const pauses: number[] = [];
    let state: SectionState | undefined;
    for (let times = 0; times < 9; times += 1) {
      state = stateAfter(section('a', { refreshSeconds: 604_800 }), state, failed, attempt);
      pauses.push(((state.next ?? 0) - start) / 1000);
    }
    expect(pauses).toEqual([30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
    expect(state).toMatchObject({ failures: 9, error: 'no' });
    const often = section('a', { refreshSeconds: 60 });
    expect(stateAfter(often, state, failed, { ...attempt, random: 1 }).next).toBe(start + 30_000);
    expect(stateAfter(often, state, done, attempt)).toMatchObject({ failures: 0, error: undefined });
  });

  it('lets a run by hand try again what has failed', () => {
    const [good, bad] = [section('good'), section('bad')];
    const states = new Map([
      ['good', stateAfter(good, undefined, done, attempt)],
      ['bad', stateAfter(bad, undefined, failed, attempt)],
    ]);
    const due = (retryFailed: boolean, now = start) =>
      dueSections([good, bad, section('new')], states, { now, target: 'ecr', retryFailed }).map(({ name }) => name);
    expect(due(false)).toEqual(['new']);
    expect(due(true)).toEqual(['bad', 'new']);
    expect(due(false, start + hour)).toEqual(['good', 'bad', 'new']);
  });
});
