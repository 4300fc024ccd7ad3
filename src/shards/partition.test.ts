import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { usualCost } from './cost.ts';
import { describeShards } from './describe.ts';
import { type Partition, partition } from './partition.ts';
import type { ShardInput } from './work.ts';

const host = 'docker.io';
const image = (index: number, blobs: Readonly<Record<string, number>>, manifests = 1): ShardInput => ({
  index,
  manifests,
  blobs: Object.entries(blobs).map(([digest, size]) => ({ digest, size })),
  host,
});
const membersOf = ({ shards }: Partition): readonly (readonly number[])[] => shards.map(({ indexes }) => indexes);

/** Images with own blobs and some of a few that many have; sizes from nothing to gigabytes. */
const size = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 5_000 }), fc.integer({ min: 1e6, max: 5e9 }));
const plans = fc
  .record({
    common: fc.array(size, { maxLength: 8 }),
    images: fc.array(
      fc.record({
        own: fc.array(size, { maxLength: 3 }),
        has: fc.array(fc.nat(7), { maxLength: 6 }),
        manifests: fc.integer({ min: 0, max: 6 }),
        slow: fc.boolean(),
      }),
      { maxLength: 40 },
    ),
  })
  .map(({ common, images }) =>
    images.map(({ own, has, manifests, slow }, at): ShardInput => ({
      // Indexes of a plan may have gaps.
      index: 3 * at,
      manifests,
      blobs: [
        ...has.flatMap((which) => {
          const bytes = common[which];
          return bytes === undefined ? [] : [{ digest: `common ${which}`, size: bytes }];
        }),
        ...own.map((bytes, which) => ({ digest: `own ${at} ${which}`, size: bytes })),
      ],
      host: slow ? 'slow.example' : host,
    })),
  );
const counts = fc.oneof(
  fc.integer({ min: 1, max: 12 }),
  fc.integer({ min: 30, max: 60 }),
  fc.constant('auto' as const),
);
const cost = { ...usualCost, hosts: { 'slow.example': 5e6 } };

describe('a split of any plan', () => {
  it('has every artifact in exactly one shard, no empty shard, and as many shards as were asked for', () => {
    fc.assert(
      fc.property(plans, counts, (inputs, count) => {
        const { shards } = partition(inputs, { count, cost });
        expect(shards.flatMap(({ indexes }) => indexes).sort((a, b) => a - b)).toEqual(
          inputs.map(({ index }) => index),
        );
        expect(shards.every(({ indexes }) => indexes.length > 0)).toBe(true);
        if (count === 'auto') expect(shards.length).toBeLessThanOrEqual(inputs.length);
        else expect(shards).toHaveLength(Math.min(count, inputs.length));
      }),
      { seed: 1 },
    );
  });

  it('is the same whatever the order of artifacts and of their blobs', () => {
    const shuffled = plans.chain((inputs) =>
      fc.tuple(
        fc.constant(inputs),
        fc.shuffledSubarray(inputs, { minLength: inputs.length, maxLength: inputs.length }),
      ),
    );
    fc.assert(
      fc.property(shuffled, counts, ([inputs, others], count) => {
        const turned = others.map((input) => ({ ...input, blobs: [...input.blobs, ...input.blobs].reverse() }));
        expect(partition(turned, { count, cost })).toEqual(partition(inputs, { count, cost }));
      }),
      { seed: 2 },
    );
  });

  it('tells what each shard takes, and no less than what is possible', () => {
    fc.assert(
      fc.property(plans, counts, (inputs, count) => {
        const found = partition(inputs, { count });
        const blobs = new Map(inputs.flatMap((each) => each.blobs.map((blob) => [blob.digest, blob.size] as const)));
        const unique = [...blobs.values()].reduce((sum, bytes) => sum + bytes, 0);
        const manifests = inputs.reduce((sum, each) => sum + each.manifests, 0);
        const moved = found.shards.reduce((sum, { bytes }) => sum + bytes, 0);
        expect(found).toMatchObject({ bytes: unique, manifests, bytesFactor: unique === 0 ? 1 : moved / unique });
        expect(found.bytesFactor).toBeGreaterThanOrEqual(1);
        expect(found.seconds).toBeGreaterThanOrEqual(found.lowerBound * (1 - 1e-9));
        for (const { bytes, manifests: many, seconds } of found.shards)
          expect(seconds).toBeCloseTo(bytes / usualCost.bytesPerSecond + many * usualCost.secondsPerManifest, 6);
        expect(found.shards.map(({ seconds }) => seconds)).toEqual(
          found.shards.map(({ seconds }) => seconds).sort((a, b) => b - a),
        );
      }),
      { seed: 3 },
    );
  });

  it('is beaten by none that is dealt out by chance: fewer bytes take longer, and a shorter run moves more', () => {
    let [ours, theirs] = [0, 0];
    fc.assert(
      fc.property(plans, fc.integer({ min: 1, max: 12 }), (inputs, count) => {
        const found = partition(inputs, { count });
        fc.pre(found.bytes > 0);
        for (const step of [41, 43, 47, 53, 59, 61, 67, 71]) {
          const other = dealt(inputs, count, step);
          const price = other.bytes / found.bytes + other.seconds / found.lowerBound;
          expect(found.bytesFactor + found.seconds / found.lowerBound).toBeLessThanOrEqual(price * 1.03);
          ours += found.bytesFactor - 1;
          theirs += other.bytes / found.bytes - 1;
        }
      }),
      { seed: 4, numRuns: 100, endOnFailure: true },
    );
    // Of what is moved more often than once, over all plans.
    expect(ours).toBeLessThan(theirs);
  });
});

/** Every split of a few images into so many shards, none empty: the sum of makespan (in lower bounds) and bytes factor. */
function leastPrice(inputs: readonly ShardInput[], count: number, bound: number, unique: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let code = 0; code < count ** (inputs.length - 1); code += 1) {
    const shards: number[][] = Array.from({ length: count }, () => []);
    for (const [at, { index }] of inputs.entries())
      shards[at === 0 ? 0 : Math.floor(code / count ** (at - 1)) % count]?.push(index);
    if (shards.some((members) => members.length === 0)) continue;
    const described = describeShards(inputs, shards, usualCost);
    const bytes = described.reduce((sum, each) => sum + each.bytes, 0);
    least = Math.min(least, (described[0]?.seconds ?? 0) / bound + bytes / unique);
  }
  return least;
}

describe('a split of a few images, compared with every other', () => {
  const chain = (own: readonly number[]): readonly ShardInput[] =>
    own.map((bytes, at) => image(at, { [`link ${at}`]: 1e9, [`link ${at + 1}`]: 1e9, [`own ${at}`]: bytes }));

  const plain = (gigabytes: readonly number[]): readonly ShardInput[] =>
    gigabytes.map((size, at) => image(at, { [`own ${at}`]: size * 1e9 }));

  it.each([
    { what: 'of two sizes', inputs: plain([2, 2, 2, 2, 3, 3, 3]), count: 3 },
    { what: 'that cannot be moved, only swapped', inputs: plain([5, 5, 4, 4, 3, 3, 3]), count: 3 },
    { what: 'in a chain', inputs: chain([0, 0, 0, 0, 0, 0, 0, 0]), count: 3 },
    { what: 'in a chain, of different sizes', inputs: chain([8e8, 1e6, 3e8, 5e7, 9e8, 2e7, 4e8]), count: 3 },
    { what: 'in a chain, two of them large', inputs: chain([1e6, 2e9, 1e6, 1e6, 2e9, 1e6, 1e6]), count: 2 },
  ])('$what: none is better by more than 3 %', ({ inputs, count }) => {
    const found = partition(inputs, { count });
    const ours = found.seconds / found.lowerBound + found.bytesFactor;
    expect(ours).toBeLessThanOrEqual(leastPrice(inputs, count, found.lowerBound, found.bytes) * 1.03);
  });
});

/** Artifacts dealt out in a fixed permutation: multiples of a prime that does not divide their number. */
function dealt(inputs: readonly ShardInput[], count: number, step: number) {
  const shards: number[][] = Array.from({ length: Math.min(count, inputs.length) }, () => []);
  for (const [at] of inputs.entries())
    shards[at % shards.length]?.push(inputs[(at * step) % inputs.length]?.index ?? -1);
  const described = describeShards(inputs, shards, usualCost);
  return { bytes: described.reduce((sum, { bytes }) => sum + bytes, 0), seconds: described[0]?.seconds ?? 0 };
}

describe('images that share blobs', () => {
  it('stay together where that saves bytes, and the rest balances them', () => {
    const families = ['a', 'b', 'c'].flatMap((family, at) =>
      [0, 1, 2, 3].map((which) => image(at + 3 * which, { [family]: 2e9, [`${family}${which}`]: 1e8 })),
    );
    const found = partition(families, { count: 3 });
    expect(found.bytesFactor).toBe(1);
    expect(membersOf(found)).toEqual([
      [0, 3, 6, 9],
      [1, 4, 7, 10],
      [2, 5, 8, 11],
    ]);
  });

  it('are torn apart at the layer that costs least', () => {
    // All on one small base, two families on a large one of their own each.
    const images = [0, 1, 2, 3, 4, 5].map((at) =>
      image(at, { base: 1e6, [`family ${at % 2}`]: 3e9, [`own ${at}`]: 1e9 }),
    );
    const found = partition(images, { count: 2 });
    expect(membersOf(found)).toEqual([
      [0, 2, 4],
      [1, 3, 5],
    ]);
    expect(found.bytes * found.bytesFactor).toBeCloseTo(found.bytes + 1e6, 0);
  });

  it('stay together though a shard takes a little longer, when parting them would cost much more', () => {
    const family = Array.from({ length: 20 }, (_, at) => image(at, { family: 10e9, [`own ${at}`]: 1e8 }));
    const others = Array.from({ length: 10 }, (_, at) => image(20 + at, { [`other ${at}`]: 1e8 }));
    const found = partition([...family, ...others], { count: 2 });
    expect(found.bytesFactor).toBe(1);
    expect(found.seconds).toBeCloseTo(122, 6);
  });

  it('that are all the same blob: each shard has it once, and manifests are balanced', () => {
    const found = partition(
      Array.from({ length: 100 }, (_, at) => image(at, { same: 1e9 })),
      { count: 4 },
    );
    expect(found.shards.map(({ bytes, manifests }) => [bytes, manifests])).toEqual(
      Array.from({ length: 4 }, () => [1e9, 25]),
    );
    expect(found.bytesFactor).toBe(4);
  });
});

describe('shards', () => {
  it('are balanced by manifests where there are no blobs', () => {
    const images = Array.from({ length: 30 }, (_, at) => image(at, {}, 1 + (at % 3)));
    const found = partition(images, { count: 6 });
    expect(found.shards.map(({ manifests }) => manifests)).toEqual([10, 10, 10, 10, 10, 10]);
    expect(found).toMatchObject({ bytes: 0, bytesFactor: 1 });
  });

  it('are balanced by bytes and manifests together: who has many bytes has few manifests', () => {
    const large = [0, 1].map((at) => image(at, { [`large ${at}`]: 10e9 }));
    const small = Array.from({ length: 2000 }, (_, at) => image(2 + at, {}, 1));
    const found = partition([...large, ...small], { count: 4 });
    expect(found.seconds / found.lowerBound).toBeLessThan(1.01);
    expect(found.bytesFactor).toBe(1);
    expect(found.shards.filter(({ bytes }) => bytes === 0).every(({ manifests }) => manifests > 700)).toBe(true);
  });

  it('beside a giant image share the rest, and end before it', () => {
    const found = partition(
      [image(0, { giant: 500e9 }), ...Array.from({ length: 90 }, (_, at) => image(1 + at, { [`small ${at}`]: 1e9 }))],
      { count: 10 },
    );
    expect(found.shards[0]).toMatchObject({ indexes: [0], bytes: 500e9 });
    expect(found.seconds).toBe(found.lowerBound);
  });

  it('of versions whose layers change little by little are runs of neighbours', () => {
    // 40 layers, of which every version changes the next four: no group of images stands out.
    const versions = Array.from({ length: 200 }, (_, version) =>
      image(
        version,
        Object.fromEntries(
          Array.from({ length: 40 }, (_, layer) => [
            `${layer} since ${Math.floor((10 * (version + 10) - layer * 2.5) / 100)} ${Math.floor((version + (layer % 10)) / 10)}`,
            1e7 * (1 + ((layer * 7) % 11)),
          ]),
        ),
        20,
      ),
    );
    const runs = Array.from({ length: 5 }, (_, run) => Array.from({ length: 40 }, (_, at) => 40 * run + at));
    const cut = describeShards(versions, runs, usualCost);
    const found = partition(versions, { count: 5 });
    expect(found.seconds).toBeLessThanOrEqual((cut[0]?.seconds ?? 0) * 1.001);
    expect(found.bytesFactor * found.bytes).toBeLessThanOrEqual(cut.reduce((sum, { bytes }) => sum + bytes, 0) * 1.01);
  });

  it('share images that take nothing but a question', () => {
    const images = Array.from({ length: 60 }, (_, at) => ({ ...image(at, {}, 0), seconds: 0.05 }));
    const found = partition([...images, image(60, { large: 1e7 })], { count: 4 });
    expect(found.shards.map(({ indexes }) => indexes.length).sort()).toEqual([13, 16, 16, 16]);
  });

  it('have less of a source that is slow', () => {
    const images = Array.from({ length: 40 }, (_, at) => ({
      ...image(at, { [`own ${at}`]: 1e9 }),
      host: at < 4 ? 'slow.example' : host,
    }));
    const found = partition(images, { count: 4, cost: { ...usualCost, hosts: { 'slow.example': 1e7 } } });
    expect(found.shards.map(({ indexes }) => indexes.filter((index) => index < 4).length)).toEqual([1, 1, 1, 1]);
    expect(found.shards[0]?.hosts).toEqual([host, 'slow.example']);
  });

  it.each([
    ['no artifacts', [], 5, []],
    ['no artifacts, as many as are worth it', [], 'auto', []],
    ['one worker', [image(0, { a: 1 }), image(1, { b: 1 })], 1, [[0, 1]]],
    ['more shards than images', [image(0, { a: 2 }), image(1, { a: 2 })], 7, [[0], [1]]],
  ] as const)('%s', (_, inputs, count, expected) => {
    expect(membersOf(partition(inputs, { count }))).toEqual(expected);
  });

  it.each([
    [{ count: 0 }, '0 is no number of shards'],
    [{ count: 2.5 }, '2.5 is no number'],
    [{ count: 10_001 }, '10001 is no number'],
    [{ count: 'auto', workers: 0 }, '0 is no number'],
    [{ count: 1, cost: { bytesPerSecond: 0, secondsPerManifest: 1 } }, '0 bytes a second is no rate'],
    [{ count: 1, cost: { bytesPerSecond: 1, secondsPerManifest: Number.NaN } }, 'NaN seconds is no time'],
  ] as const)('are not made for %j', (options, why) => {
    expect(() => partition([], options)).toThrow(why);
  });

  it('are not made of two artifacts with the same index', () => {
    expect(() => partition([image(1, {}), image(1, {})], { count: 1 })).toThrow('same index');
  });
});

describe('as many shards as are worth a worker', () => {
  const images = (count: number, bytes: number): readonly ShardInput[] =>
    Array.from({ length: count }, (_, at) => image(at, { [`own ${at}`]: bytes }));

  it.each([
    ['little is for one worker', images(50, 10e6), undefined, 1],
    ['bytes: 200 GB, 18 GB each', images(200, 1e9), undefined, 12],
    ['manifests: 18,000 of them, 1,800 each', images(18_000, 0), undefined, 10],
    ['at most 1,000', images(2000, 100e9), undefined, 1000],
    [
      'no more than shorten the run: an image is not divided',
      [image(0, { giant: 1e12 }), ...images(101, 20e9).slice(1)],
      undefined,
      4,
    ],
    ['whole rounds of workers', images(300, 1e9), 10, 10],
    ['fewer than workers, when that is what it is worth', images(100, 1e9), 10, 6],
  ])('%s', (_, inputs, workers, expected) => {
    expect(partition(inputs, { count: 'auto', workers }).shards).toHaveLength(expected);
  });

  it('tears nothing apart that belongs together', () => {
    const family = Array.from({ length: 1000 }, (_, at) => image(at, { base: 100e9, [`own ${at}`]: 1e8 }));
    const found = partition(family, { count: 'auto' });
    expect(found.bytesFactor).toBeLessThanOrEqual(1.1);
  });
});
