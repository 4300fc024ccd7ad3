import { describe, expect, it } from 'vitest';
import { digestOf } from '../model/digest.ts';
import type { Failure, Outcome, Totals } from '../model/result.ts';
import { type Attempt, resultOf } from './results.ts';
import type { Shard } from './shard.ts';

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
});
