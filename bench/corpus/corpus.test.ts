import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { blobBytes, layerBytes } from './layer-bytes.ts';
import { type CorpusPlan, type LayerPlan, planCorpus, type PlatformPlan } from './plan.ts';

const full = { scale: 1, seed: 'test' };

function layersOf(plan: CorpusPlan, version: 'first' | 'moved' = 'first'): readonly LayerPlan[] {
  return plan.images.flatMap((image) => (image[version] ?? []).flatMap(({ layers }) => layers));
}

function unique(layers: readonly LayerPlan[]): readonly LayerPlan[] {
  return [...new Map(layers.map((layer) => [layer.content, layer])).values()];
}

function total(layers: readonly LayerPlan[]): number {
  return layers.reduce((sum, { bytes }) => sum + bytes, 0);
}

describe('corpora', () => {
  it('are the same for the same seed, and others for another', () => {
    expect(planCorpus('eks', full)).toEqual(planCorpus('eks', full));
    expect(planCorpus('eks', { ...full, seed: 'other' })).not.toEqual(planCorpus('eks', full));
  });

  it('eks: 40 images of two platforms that share bases, 1.2 GB', () => {
    const plan = planCorpus('eks', full);
    expect(plan.images).toHaveLength(40);
    expect(plan.images.every(({ first }) => first.length === 2)).toBe(true);
    const uses = layersOf(plan);
    expect(total(unique(uses)) / 1.2e9).toBeCloseTo(1, 3);
    // About half of all uses are of layers that another image has too, and about half of the bytes.
    expect(uses.length / unique(uses).length).toBeGreaterThan(1.5);
    expect(total(uses) / total(unique(uses))).toBeGreaterThan(1.5);
    const sizes = unique(uses).map(({ bytes }) => bytes);
    expect(Math.max(...sizes)).toBeGreaterThan(20e6);
    expect(sizes.sort((a, b) => a - b)[Math.floor(sizes.length / 2)]).toBeLessThan(2e6);
  });

  it('small: many images; big: three layers of 700 MB', () => {
    expect(planCorpus('small', full).images).toHaveLength(300);
    expect(layersOf(planCorpus('big', full)).map(({ bytes }) => bytes)).toEqual([700e6, 700e6, 700e6]);
  });

  it('shrink in bytes and images', () => {
    const plan = planCorpus('eks', { ...full, scale: 0.01 });
    expect(plan.images).toHaveLength(4);
    expect(total(unique(layersOf(plan))) / 12e6).toBeCloseTo(1, 2);
  });

  it('moves a part of the tags, each to an image with something new and something old', () => {
    const plan = planCorpus('eks', full);
    const moved = plan.images.filter((image) => image.moved !== undefined);
    expect(moved).toHaveLength(4);
    const before = new Set(layersOf(plan).map(({ content }) => content));
    const newConfig = (platform: PlatformPlan, at: number, image: (typeof moved)[number]) =>
      platform.config !== image.first[at]?.config;
    for (const image of moved) {
      const layers = (image.moved ?? []).flatMap((platform) => platform.layers);
      expect(layers.filter(({ content }) => !before.has(content))).toHaveLength(2);
      expect(layers.some(({ content }) => before.has(content))).toBe(true);
      expect(image.moved?.every((platform, at) => newConfig(platform, at, image))).toBe(true);
    }
  });

  it('does not move 700 MB for a new release of the big image', () => {
    const plan = planCorpus('big', full);
    expect(layersOf(plan, 'moved')).toEqual(layersOf(plan));
  });
});

describe('bytes of a layer', () => {
  const read = async (layer: LayerPlan): Promise<Buffer> => {
    const chunks: Buffer[] = [];
    for await (const chunk of layerBytes(layer)) chunks.push(chunk);
    return Buffer.concat(chunks);
  };

  it.each([1, 64, 65_535, 65_536, 131_070, 300_000])('%i bytes: a gzip member of the announced size', async (bytes) => {
    const layer = { content: 'one', bytes };
    const blob = await read(layer);
    expect(blob).toHaveLength(blobBytes(layer));
    expect(gunzipSync(blob)).toHaveLength(bytes);
  });

  it('are the same every time, here and anywhere', async () => {
    const digest = createHash('sha256')
      .update(await read({ content: 'one', bytes: 200_000 }))
      .digest('hex');
    expect(digest).toBe('a2b72bcc0ce3d5f3ea2bfc5954ca0f98b538150a1e0ca5d5cccf49e6fedeb349');
    expect(
      (await read({ content: 'two', bytes: 200_000 })).equals(await read({ content: 'one', bytes: 200_000 })),
    ).toBe(false);
  });

  it('do not compress', async () => {
    const content = gunzipSync(await read({ content: 'one', bytes: 200_000 }));
    expect(gzipSync(content).length).toBeGreaterThan(content.length);
  });
});
