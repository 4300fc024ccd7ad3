import { describe, expect, it } from 'vitest';
import { digestOf } from '../model/digest.ts';
import type { Failure, Outcome, Totals } from '../model/result.ts';
import { type Attempt, resultOf, unfinished } from './results.ts';
import type { Shard, ShardProgress } from './shard.ts';

const digest = digestOf('a');
const names = ['a', 'b'] as const;
const shard: Shard = {
  version: 1,
  run: 'daily',
  job: 'images',
  access: {},
  targets: {},
  tries: 3,
  verify: false,
  referrers: true,
  index: 0,
  of: 1,
  images: names.map((name) => ({
    kind: 'image',
    source: `r/${name}:1`,
    platforms: 'all',
    targets: [`t/${name}:1`],
    origins: [],
  })),
};
const place = (name: string) => ({ artifact: `r/${name}:1`, targets: [`t/${name}:1`] });
const copied = (name: string): Outcome => ({ kind: 'copied', ...place(name), digest, bytes: 10, seconds: 1 });
const unchanged = (name: string): Outcome => ({ kind: 'unchanged', ...place(name), digest });
const failed = (name: string, code: Failure['code']): Outcome => ({
  kind: 'failed',
  ...place(name),
  failures: [failure(code)],
});

function failure(code: Failure['code']): Failure {
  const nothing = { reference: undefined, digest: undefined, host: undefined, remedy: undefined };
  return { artifact: 'x', side: 'module', code, cause: 'because', ...nothing };
}

function attempt(number: number, outcomes: readonly Outcome[], failures: readonly Failure[] = []): Attempt {
  const time = `2026-11-21T10:0${number}:00Z`;
  return { attempt: number, startedAt: time, finishedAt: time, outcomes, failures, notices: [], totals: undefined };
}

const add = (a: Totals): Totals => a;

describe('the result of a shard over several attempts', () => {
  const first = resultOf(
    shard,
    attempt(1, [copied('a'), failed('b', 'storage')], [failure('storage')]),
    undefined,
    add,
  );

  it('keeps what an earlier attempt has copied, whatever ended the one in between', () => {
    const ends = {
      'before any image': [],
      'when it was told to stop': [failed('a', 'cancelled'), failed('b', 'deadline')],
    };
    for (const [when, outcomes] of Object.entries(ends)) {
      const second = resultOf(shard, attempt(2, outcomes, [failure('unavailable')]), first, add);
      expect(second, when).toMatchObject({ counts: { copied: 1, unchanged: 0, failed: 1 }, attempts: 2 });
      const third = resultOf(shard, attempt(3, [unchanged('a'), copied('b')]), second, add);
      expect(third, when).toMatchObject({ counts: { copied: 2, unchanged: 0, failed: 0 }, failures: [] });
    }
  });

  it('believes the later attempt about an image that it has looked at', () => {
    const second = resultOf(shard, attempt(2, [failed('a', 'not-found'), copied('b')]), first, add);
    expect(second.counts).toEqual({ copied: 1, unchanged: 0, failed: 1 });
    expect(second.outcomes.map(({ kind }) => kind)).toEqual(['failed', 'copied']);
  });

  describe('of which some were killed', () => {
    const note = (number: number, image: number, more: Partial<ShardProgress> = {}): ShardProgress => ({
      ...{
        run: 'daily',
        index: 0,
        attempt: number,
        images: 2,
        done: 1,
        worker: 'pod',
        bytesRead: 40,
        bytesWritten: 50,
      },
      ...{ startedAt: `2026-11-21T10:0${number}:00Z`, updatedAt: `2026-11-21T10:0${number}:30Z` },
      ...{ copied: [{ image, digest, bytes: 10, seconds: 1 }], ...more },
    });
    const bytes = (a: Totals, b: Totals): Totals => ({ ...a, bytesWritten: a.bytesWritten + b.bytesWritten });

    it('counts what they had copied, and their bytes, once', () => {
      const killed = unfinished(note(2, 1, { killed: unfinished(note(1, 0), undefined) }), undefined);
      expect(killed).toMatchObject({ startedAt: '2026-11-21T10:01:00Z', bytesRead: 80, bytesWritten: 100 });
      const third = resultOf(shard, { ...attempt(3, [unchanged('a'), unchanged('b')]), killed }, undefined, bytes);
      expect(third).toMatchObject({ counts: { copied: 2, unchanged: 0, failed: 0 }, totals: { bytesWritten: 100 } });
      expect(third).toMatchObject({ attempts: 3, startedAt: '2026-11-21T10:01:00Z' });
      expect(third.outcomes).toEqual([copied('a'), copied('b')]);
      // The note of an attempt that has left a result tells nothing new.
      expect(unfinished(note(3, 0), third)).toBeUndefined();
      const fourth = resultOf(shard, attempt(4, [unchanged('a'), unchanged('b')]), third, bytes);
      expect(fourth).toMatchObject({ counts: third.counts, totals: { bytesWritten: 100 } });
    });

    it('believes their notes as far as the next attempt, which was stopped, has not come', () => {
      const killed = unfinished(note(1, 0), undefined);
      const stopped = { ...attempt(2, [failed('a', 'cancelled')], [failure('cancelled')]), killed };
      expect(resultOf(shard, stopped, undefined, bytes).counts).toEqual({ copied: 1, unchanged: 0, failed: 1 });
    });

    it('reads notes without images, as they were written before', () => {
      const old = note(1, 0, { copied: undefined, bytesRead: undefined });
      const again = { ...attempt(2, [unchanged('a'), copied('b')]), killed: unfinished(old, undefined) };
      const result = resultOf(shard, again, undefined, bytes);
      expect(result).toMatchObject({ counts: { copied: 1, unchanged: 1, failed: 0 }, totals: { bytesWritten: 50 } });
    });
  });
});
