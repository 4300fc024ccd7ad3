import { describe, expect, it } from 'vitest';
import { againByHand, isByHand, nextSteps } from './by-hand.ts';

const place = 's3://runs/daily/2026-11-21';
const worker = (index: number): string => `image-replication worker --shards ${place} --index ${index}`;
const summary = `image-replication summary --shards ${place}`;

describe('what to type', () => {
  it('after a plan: every shard, then the summary', () => {
    expect(nextSteps(place, 42, undefined).split('\n')).toEqual([
      'next, on any machines that may read and write there, at the same time or one after another:',
      `${worker(0)}   # and 1 to 41`,
      'and when all of them have ended:',
      summary,
    ]);
    expect(nextSteps(place, 2, 'dynamodb:images')).toContain(`${worker(0)}   # and 1\n`);
    expect(nextSteps(place, 1, undefined).split('\n')).toEqual(['next:', worker(0), summary]);
    expect(nextSteps(place, 0, undefined)).toBe(`nothing is to be copied; for the report: ${summary}`);
  });

  it('where shards have failed: the first of them by name', () => {
    expect(againByHand(place, [7])).toBe(['by hand:', worker(7), summary].join('\n'));
    const many = Array.from({ length: 40 }, (_, index) => index + 3);
    expect(againByHand(place, many)).toContain(
      `${worker(3)}   # and 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, … and 29 more\n`,
    );
  });

  it('in a form that a shell takes', () => {
    expect(againByHand("/my runs/it's", [0])).toContain(String.raw`--shards '/my runs/it'\''s' --index 0`);
  });

  it('is said where somebody types', () => {
    expect(isByHand({ env: { TASK_TOKEN: '' } })).toBe(true);
    expect(isByHand({ env: { TASK_TOKEN: 'a' } })).toBe(false);
    expect(isByHand({ env: { KUBERNETES_SERVICE_HOST: '10.0.0.1' } })).toBe(false);
  });
});
