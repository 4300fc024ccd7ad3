import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { buildImage } from '../testing/image-builder.ts';
import { baseLayer, tarLayer } from '../testing/image-layers.ts';
import { copyOf, expectHeld, failuresOf, manyImages, testWorld } from '../../test/copy-world.ts';

/** When things start: what is written must not wait for what it does not need. */

/** Waits until it holds, for so long that only a copier that waits itself makes it give up. */
async function until(condition: () => boolean): Promise<boolean> {
  for (let waited = 0; !condition() && waited < 5_000; waited += 10) await sleep(10);
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
