import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { buildImage, type ImageContent } from '../testing/image-builder.ts';
import { baseLayer, syntheticLayer, tarLayer } from '../testing/image-layers.ts';
import { copyOf, expectHeld, failuresOf, manyImages, type Place, testWorld } from '../../test/copy-world.ts';

/** When things start: what is written must not wait for what it does not need. */

/** Waits until it holds, for so long that only a copier that waits itself makes it give up. */
async function until(condition: () => boolean): Promise<boolean> {
  for (let waited = 0; !condition() && waited < 20_000; waited += 10) await sleep(10);
  return condition();
}

describe('manifests', () => {
  it('of small images are written while another image is still looked up, and what they share is read once', async () => {
    const world = await testWorld({ timeouts: {} });
    const source = await world.registry();
    const target = await world.registry({ mounting: false }, { mounting: 'never' });
    const many = await manyImages(source, target, 20);
    const late = buildImage({ name: 'late' });
    await source.server.putImage('late', '1', late);
    let early = false;
    const run = async (): Promise<void> => {
      early = await until(() => target.server.count('manifest-put') > 0);
    };
    source.server.fail({ class: 'manifest-get', repository: 'late', fault: { kind: 'call', run } });
    const { outcomes } = await world.copy([...many.map(({ request }) => request), copyOf(source, target, 'late')]);
    expect(failuresOf(outcomes)).toEqual([]);
    expect(early).toBe(true);
    await expectHeld(target, late, 'mirror/late');
    const reads = source.server.requests.of('blob-get').map(({ reference }) => reference);
    expect(reads.length).toBe(new Set(reads).size);
    expect(reads).toContain(baseLayer().descriptor.digest);
  });

  it('are written as soon as their own blobs are there, while those of other platforms still come', async () => {
    const world = await testWorld({ timeouts: {} });
    const [source, target] = [await world.registry(), await world.registry()];
    const image = buildImage({
      name: 'app',
      platforms: ['linux/amd64', 'linux/arm64'],
      layers: (platform) => [tarLayer([{ path: 'own', content: platform }])],
    });
    await source.server.putImage('app', '1', image);
    const [, slow] = image.manifests.filter(({ descriptor }) => descriptor.digest !== image.digest);
    const layer = tarLayer([{ path: 'own', content: 'linux/arm64' }]).descriptor.digest;
    let early = false;
    const run = async (): Promise<void> => {
      early = await until(() => target.server.count('manifest-put') > 0);
    };
    source.server.fail({ class: 'blob-get', reference: layer, fault: { kind: 'call', run } });
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect(failuresOf(outcomes)).toEqual([]);
    expect(early).toBe(true);
    await expectHeld(target, image);
    const written = target.server.requests.of('manifest-put').map(({ reference }) => reference);
    expect(written).toHaveLength(3);
    expect(written.slice(1)).toEqual([slow?.descriptor.digest, '1']);
  });
});

describe('blobs', () => {
  it('that a target can mount later are sent as they come, without the disk, though not all that is needed is known', async () => {
    const world = await testWorld({ timeouts: {} });
    const [source, target] = [await world.registry(), await world.registry()];
    const large = await syntheticLayer('large', 2 << 20);
    const withLarge = (name: string): ImageContent => buildImage({ name, layers: () => [baseLayer(), large] });
    const many = await manyImages(source, target, 12, 'app', withLarge);
    await source.server.putImage('late', '1', withLarge('late'));
    let spooled: boolean | undefined;
    let sent = false;
    const run = async (): Promise<void> => {
      sent = await until(() => holders(target).length > 0);
      spooled = existsSync(world.spoolDirectory);
    };
    source.server.fail({ class: 'manifest-get', repository: 'late', fault: { kind: 'call', run } });
    const holders = ({ server }: Place): readonly string[] =>
      many
        .map(({ request }) => `mirror/${request.source.repository}`)
        .filter((name) => server.hasBlob(name, large.descriptor.digest));
    const { outcomes } = await world.copy([...many.map(({ request }) => request), copyOf(source, target, 'late')]);
    expect(failuresOf(outcomes)).toEqual([]);
    expect({ sent, spooled }).toEqual({ sent: true, spooled: false });
    const reads = source.server.requests.of('blob-get').map(({ reference }) => reference);
    expect(reads.length).toBe(new Set(reads).size);
  });

  it('that another target may still need are kept: read once, though the first target mounts', async () => {
    const world = await testWorld({ timeouts: {} });
    const [source, target, second] = [await world.registry(), await world.registry(), await world.registry()];
    const large = await syntheticLayer('large', 2 << 20);
    const withLarge = (name: string): ImageContent => buildImage({ name, layers: () => [baseLayer(), large] });
    const many = await manyImages(source, target, 12, 'app', withLarge);
    await source.server.putImage('late', '1', withLarge('late'));
    const holders = (): number =>
      many.filter(({ request: { source: at } }) =>
        target.server.hasBlob(`mirror/${at.repository}`, large.descriptor.digest),
      ).length;
    let sent = false;
    const run = async (): Promise<void> => {
      sent = await until(() => holders() > 0);
    };
    source.server.fail({ class: 'manifest-get', repository: 'late', fault: { kind: 'call', run } });
    const { outcomes } = await world.copy([...many.map(({ request }) => request), copyOf(source, second, 'late')]);
    expect(failuresOf(outcomes)).toEqual([]);
    expect(sent).toBe(true);
    const reads = source.server.requests
      .of('blob-get')
      .filter(({ reference }) => reference === large.descriptor.digest);
    expect(reads).toHaveLength(1);
  });

  it('of one image are begun with the smallest, which shows what the target can, and the largest', async () => {
    const world = await testWorld({ timeouts: {} });
    const [source, target] = [await world.registry(), await world.registry()];
    const sizes = [30_000, 10_000, 50_000, 20_000, 40_000];
    const layers = await Promise.all(sizes.map((size) => syntheticLayer(`of ${size}`, size)));
    const image = buildImage({ name: 'app', platforms: ['linux/amd64'], index: false, layers: () => layers });
    await source.server.putImage('app', '1', image);
    const { outcomes } = await world.copy([copyOf(source, target)], { transfers: 1, transfersPerHost: 1 });
    expect(failuresOf(outcomes)).toEqual([]);
    const [config, ...read] = source.server.requests.of('blob-get').map(({ reference }) => reference);
    const ofSize = new Map(
      layers.map(({ descriptor: { digest, size } }): [string | undefined, number] => [digest, size]),
    );
    expect(ofSize.has(config)).toBe(false);
    expect(read.map((digest) => ofSize.get(digest))).toEqual([50_000, 40_000, 30_000, 20_000, 10_000]);
  });
});
