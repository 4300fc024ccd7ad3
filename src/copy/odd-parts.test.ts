import { describe, expect, it } from 'vitest';
import { syntheticLayer } from '../testing/image-layers.ts';
import { copyOf, failuresOf, oneLayerImage, patient, testWorld } from '../../test/copy-world.ts';
import { partBytes, rangedBlobBytes } from './ranged-read.ts';
import { type Asked, type Doing, type Front, frontOf } from '../../test/registry-front.ts';

/** A blob that is read in parts, from a source that sends other parts than it is asked for. */
const size = rangedBlobBytes + 1_000_000;
const layer = await syntheticLayer('odd parts', size);
const image = oneLayerImage('large', layer);
const { digest } = layer.descriptor;
const parts = Math.ceil(size / partBytes);

async function copied(doing: (asked: Asked) => Doing | undefined): Promise<Front> {
  const world = await testWorld(patient);
  const behind = await world.registry();
  await behind.server.putImage('app', '1', image);
  const source = await frontOf(world, behind.server, doing);
  // The target checks size and digest of all that comes, and keeps no bytes.
  const target = await world.registry({ mounting: false, storage: 'discard' }, { mounting: 'never' });
  const { outcomes } = await world.copy([copyOf(source, target)]);
  expect(failuresOf(outcomes)).toEqual([]);
  expect(target.server.hasBlob('mirror/app', digest)).toBe(true);
  expect(target.server.manifest('mirror/app', '1')?.descriptor.digest).toBe(image.digest);
  return source;
}
const partOf = ({ path, headers }: Asked): number | undefined => {
  const start = /^bytes=(\d+)-/.exec(headers.range ?? '')?.[1];
  return path.endsWith(digest) && start !== undefined ? Number(start) / partBytes : undefined;
};

describe('a blob in parts', () => {
  it('of which one is another than its Content-Range says, each time: the blob is read whole then', async () => {
    const first = { range: `bytes=0-${partBytes - 1}` };
    const source = await copied((asked) => {
      const part = partOf(asked);
      if (part !== 3) return undefined;
      const range = `bytes ${3 * partBytes}-${4 * partBytes - 1}/${size}`;
      return { kind: 'change', request: first, headers: { 'content-range': range } };
    });
    const gets = source.asked.filter(({ path }) => path.endsWith(digest));
    expect(gets.filter((asked) => partOf(asked) === undefined)).toHaveLength(1);
    expect(gets.length).toBeLessThanOrEqual(parts + 1);
  });

  it('of which one is said to be of a blob of another size: the blob is read whole then', async () => {
    const headers = { 'content-range': `bytes ${2 * partBytes}-${3 * partBytes - 1}/${size + 1}` };
    const source = await copied((asked) => (partOf(asked) === 2 ? { kind: 'change', headers } : undefined));
    const gets = source.asked.filter(({ path }) => path.endsWith(digest));
    expect(gets.filter((asked) => partOf(asked) === undefined)).toHaveLength(1);
  });

  it('whose parts are redirected to addresses that are good no more arrives in parts', async () => {
    const world = await testWorld(patient);
    const behind = await world.registry({ blobRedirect: true });
    await behind.server.putImage('app', '1', image);
    const late = new Set([1, 4, 7]);
    const source = await frontOf(world, behind.server, (asked) => {
      const part = partOf(asked);
      if (part === undefined || !late.delete(part)) return undefined;
      const expire = (): Record<string, string> => (behind.server.expireRedirects(), {});
      return { kind: 'change', headers: expire };
    });
    const target = await world.registry({ mounting: false, storage: 'discard' }, { mounting: 'never' });
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect([late.size, failuresOf(outcomes)]).toEqual([0, []]);
    expect(target.server.hasBlob('mirror/app', digest)).toBe(true);
    const gets = source.asked.filter(({ path }) => path.endsWith(digest));
    expect(gets.filter((asked) => partOf(asked) === undefined)).toEqual([]);
    expect(
      behind.server.requests.count((entry) => entry.class === 'storage-get' && entry.status === 403),
    ).toBeGreaterThan(0);
  });
});
