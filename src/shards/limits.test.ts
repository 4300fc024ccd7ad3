import { describe, expect, it } from 'vitest';
import { exceededLimits, mapRunUses, needsResultWriter } from './limits.ts';

const items = (count: number, address = 's3://bucket/runs/2026-11-21') =>
  Array.from({ length: count }, (_, index) => ({
    shard: `${address}/shards/${String(index).padStart(4, '0')}.json`,
    index,
    images: 1000,
    manifests: 40_000,
    bytes: 20e12,
  }));
const exceeded = (...args: Parameters<typeof mapRunUses>): readonly string[] => exceededLimits(mapRunUses(...args));

describe('limits of a run on AWS', () => {
  it('hold for as many shards as there may be', () => {
    expect(exceeded(items(10_000))).toEqual([]);
    expect(exceeded([])).toEqual([]);
  });

  it('count every byte of shards.json and of its largest item', () => {
    const list = items(1000, 's3://büchse/läufe');
    const uses = new Map(mapRunUses(list).map(({ what, used }) => [what, used]));
    expect(uses.get('bytes of shards.json')).toBe(Buffer.byteLength(JSON.stringify(list)));
    expect(uses.get("bytes of a child's input")).toBeGreaterThan(Buffer.byteLength(JSON.stringify(list[0])));
  });

  it.each([
    ['children of the map: 10,001 of 10,000', items(10_001), {}],
    ["bytes of a child's input", items(1, `s3://bucket/${'x'.repeat(262_144)}`), {}],
    ["characters of a task's overrides", items(1, `s3://bucket/${'x'.repeat(5_200)}`), {}],
    ["characters of a task's overrides", items(1), { overrides: 8000 }],
    ["events in a child's history: 40,004 of 25,000", items(1), { attempts: 10_000 }],
    ["events in the run's history", items(1), { states: 2000 }],
  ])('tell of %s', (what, list, options) => {
    expect(exceeded(list, options).join('\n')).toContain(what);
  });

  it("say when a map's results are too many for a payload", () => {
    expect(needsResultWriter(10, 500)).toBe(false);
    expect(needsResultWriter(1000, 500)).toBe(true);
  });
});
