import { buffer } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { digestOf } from '../../model/digest.ts';
import { ReplicationError } from '../../model/errors.ts';
import { blobOf, inPieces, noise } from './content.ts';
import type { Suite } from './suite.ts';

/** Blobs: kept whole, read in ranges, refused when they are not what they are said to be, mounted. */
export function blobTests(suite: Suite): void {
  const { signal, upload, image } = suite;
  it('keeps a blob and gives it back, whole and in ranges', async () => {
    const bytes = noise(300_000, 1);
    const descriptor = blobOf(bytes);
    await suite.store.ensureRepository('blobs/kept', signal);
    expect([...(await suite.store.missingBlobs('blobs/kept', [descriptor], signal))]).toEqual([descriptor.digest]);
    await upload('blobs/kept', bytes);
    expect((await suite.store.missingBlobs('blobs/kept', [descriptor], signal)).size).toBe(0);
    const whole = await buffer(await suite.store.openBlob('blobs/kept', descriptor, { signal }));
    expect(whole.equals(bytes)).toBe(true);
    const range = { start: 65_000, end: 199_999 };
    const part = await buffer(await suite.store.openBlob('blobs/kept', descriptor, { signal, range }));
    expect(part.equals(bytes.subarray(65_000, 200_000))).toBe(true);
  });

  it('takes a blob as bytes, and an empty one', async () => {
    await suite.store.ensureRepository('blobs/bytes', signal);
    for (const bytes of [Buffer.from('as bytes'), Buffer.alloc(0)]) {
      const descriptor = blobOf(bytes);
      const start = await suite.store.startUpload('blobs/bytes', descriptor.digest, undefined, signal);
      if (start.kind === 'upload') await suite.store.finishUpload(start.session, descriptor, bytes, signal);
      expect((await buffer(await suite.store.openBlob('blobs/bytes', descriptor, { signal }))).equals(bytes)).toBe(
        true,
      );
    }
  });

  it.each([
    ['other bytes of the same length', noise(5000, 3)],
    ['too few bytes', noise(5000, 2).subarray(0, 4999)],
    ['too many bytes', Buffer.concat([noise(5000, 2), Buffer.from('!')])],
  ])('refuses %s and commits nothing', async (_what, sent) => {
    const descriptor = blobOf(noise(5000, 2));
    await suite.store.ensureRepository('blobs/wrong', signal);
    const start = await suite.store.startUpload('blobs/wrong', descriptor.digest, undefined, signal);
    if (start.kind !== 'upload') throw new Error('nothing was uploaded, and yet there is nothing to upload');
    await expect(suite.store.finishUpload(start.session, descriptor, inPieces(sent), signal)).rejects.toBeInstanceOf(
      ReplicationError,
    );
    expect([...(await suite.store.missingBlobs('blobs/wrong', [descriptor], signal))]).toEqual([descriptor.digest]);
  });

  it('commits nothing when the body fails, and takes the blob afterwards', async () => {
    const bytes = noise(200_000, 4);
    await suite.store.ensureRepository('blobs/broken', signal);
    const start = await suite.store.startUpload('blobs/broken', blobOf(bytes).digest, undefined, signal);
    if (start.kind !== 'upload') throw new Error('nothing was uploaded, and yet there is nothing to upload');
    const broken = Readable.from(
      (function* () {
        yield bytes.subarray(0, 100_000);
        throw new ReplicationError('unreachable', 'the source went away');
      })(),
    );
    await expect(suite.store.finishUpload(start.session, blobOf(bytes), broken, signal)).rejects.toThrow();
    expect((await suite.store.missingBlobs('blobs/broken', [blobOf(bytes)], signal)).size).toBe(1);
    await upload('blobs/broken', bytes);
    expect((await suite.store.missingBlobs('blobs/broken', [blobOf(bytes)], signal)).size).toBe(0);
  });

  it('gives a blob of one repository to another without sending it', async (context) => {
    if (suite.store.mounting === 'never') context.skip();
    const layer = noise(1000, 14);
    await suite.store.writeManifest('mounts/from', 'latest', await image('mounts/from', layer), signal);
    await suite.store.ensureRepository('mounts/to', signal);
    expect(await suite.store.startUpload('mounts/to', digestOf(layer), 'mounts/from', signal)).toEqual({
      kind: 'mounted',
    });
    expect((await suite.store.missingBlobs('mounts/to', [blobOf(layer)], signal)).size).toBe(0);
  });
}
