import { describe, expect, it } from 'vitest';
import type { FaultAction } from '../testing/faults.ts';
import { syntheticLayer } from '../testing/image-layers.ts';
import { copyOf, failuresOf, oneLayerImage, testWorld } from '../../test/copy-world.ts';
import { partBytes, rangedBlobBytes } from './ranged-read.ts';

/** A blob that is large enough to be read in parallel parts, and what can go wrong with a part. */
const size = rangedBlobBytes + 3_000_000;
const layer = await syntheticLayer('in parts', size);
const image = oneLayerImage('large', layer);
const { digest } = layer.descriptor;

describe('a blob in parts', () => {
  it.each<[string, FaultAction]>([
    ['broken off', { kind: 'reset', when: 'answer', bytes: 1_000_000 }],
    ['short', { kind: 'truncate', bytes: 1_000_000, honest: true }],
    ['too long', { kind: 'extend', bytes: 10 }],
    ['corrupted', { kind: 'corrupt' }],
    ['stalled', { kind: 'stall', milliseconds: 60_000, bytes: 1_000_000 }],
    ['refused (503)', { kind: 'status', status: 503 }],
    ['refused (429)', { kind: 'status', status: 429, headers: { 'Retry-After': '1' } }],
  ])('of which one is %s arrives whole', { timeout: 60_000 }, async (_name, fault) => {
    const world = await testWorld({ timeouts: { idleMs: 1_000 } });
    const source = await world.registry();
    // The target checks size and digest of all that comes, and keeps no bytes.
    const target = await world.registry({ mounting: false, storage: 'discard' }, { mounting: 'never' });
    await source.server.putImage('app', '1', image);
    source.server.fail({ class: 'blob-get', reference: digest, skip: 2, fault });
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect(failuresOf(outcomes)).toEqual([]);
    expect(source.server.faults.pending).toBe(0);
    expect(target.server.manifest('mirror/app', '1')?.descriptor.digest).toBe(image.digest);
    expect(target.server.hasBlob('mirror/app', digest)).toBe(true);
    const gets = source.server.requests.of((entry) => entry.reference === digest && entry.class === 'blob-get');
    expect(gets.filter(({ headers }) => headers.range !== undefined).length).toBeGreaterThan(2);
    // A fault that only the digest shows costs all of them again.
    expect(gets.length).toBeLessThanOrEqual(2 * Math.ceil(size / partBytes) + 1);
  });

  it('of a source that sends the whole instead is read whole, once', { timeout: 60_000 }, async () => {
    const world = await testWorld({ timeouts: { idleMs: 1_000 } });
    const source = await world.registry();
    const target = await world.registry({ mounting: false, storage: 'discard' }, { mounting: 'never' });
    await source.server.putImage('app', '1', image);
    source.server.fail({ class: 'blob-get', reference: digest, times: 'always', fault: { kind: 'ignore-range' } });
    const { outcomes } = await world.copy([copyOf(source, target)]);
    expect(failuresOf(outcomes)).toEqual([]);
    expect(target.server.hasBlob('mirror/app', digest)).toBe(true);
    const gets = source.server.requests.of((entry) => entry.reference === digest && entry.class === 'blob-get');
    expect(gets).toHaveLength(2);
    // What was sent of the first is broken off.
    expect(gets[0]?.bytesOut).toBeLessThan(size / 4);
  });
});
