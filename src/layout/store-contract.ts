import { setMaxListeners } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../model/digest.ts';
import { ReplicationError } from '../model/errors.ts';
import type { Descriptor, ManifestContent } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import type { WriteStore } from '../model/store.ts';

export interface ContractOptions {
  /** Whether the store takes sha512 digests. Default true. */
  readonly sha512?: boolean;
}

/**
 * What src/model/store.ts promises, as tests: one suite for every store. For *.test.ts files only.
 * `makeStore` gives one empty store for the whole suite; each test uses repositories of its own.
 */
export function storeContract(
  name: string,
  makeStore: () => Promise<{ readonly store: WriteStore; readonly close?: () => Promise<void> }>,
  options: ContractOptions = {},
): void {
  describe(`store contract: ${name}`, () => {
    let store: WriteStore;
    let close: (() => Promise<void>) | undefined;
    const signal = new AbortController().signal;
    // One signal for a whole run has as many listeners as requests are under way.
    setMaxListeners(0, signal);
    beforeAll(async () => ({ store, close } = await makeStore()));
    afterAll(() => close?.());

    async function upload(repository: string, bytes: Uint8Array, descriptor = blobOf(bytes)): Promise<void> {
      const start = await store.startUpload(repository, descriptor.digest, undefined, signal);
      if (start.kind === 'upload') await store.finishUpload(start.session, descriptor, inPieces(bytes), signal);
    }

    /** An image with one layer, its blobs uploaded. */
    async function image(repository: string, layer: Uint8Array, extra: object = {}): Promise<ManifestContent> {
      const config = Buffer.from('{}');
      await store.ensureRepository(repository, signal);
      for (const bytes of [config, layer]) await upload(repository, bytes);
      return imageOf(config, layer, extra);
    }

    it('says not-found for what it never got, with host and reference', async () => {
      const absent = digestOf('absent');
      for (const ask of [
        () => store.resolve('absent/repository', 'latest', signal),
        () => store.resolve('absent/repository', absent, signal),
        () => store.readManifest('absent/repository', 'latest', signal),
        () => store.readManifest('absent/repository', absent, signal),
        () => store.listTags('absent/repository', signal),
        () => store.openBlob('absent/repository', blobOf(Buffer.from('absent')), { signal }),
      ]) {
        const error = await ask().catch((thrown: unknown) => thrown);
        expect(error).toMatchObject({ code: 'not-found', host: store.name });
        expect(error).toHaveProperty('reference', expect.stringContaining('absent/repository'));
      }
      await store.ensureRepository('present/repository', signal);
      await expect(store.resolve('present/repository', 'latest', signal)).rejects.toMatchObject({ code: 'not-found' });
    });

    it('creates a repository once, however often it is asked to', async () => {
      const answers = await Promise.all([1, 2, 3].map(() => store.ensureRepository('ensured/once', signal)));
      expect(answers.filter((answer) => answer === 'created').length).toBeLessThanOrEqual(1);
      expect(await store.ensureRepository('ensured/once', signal)).toBe('existing');
    });

    it('keeps a blob and gives it back, whole and in ranges', async () => {
      const bytes = noise(300_000, 1);
      const descriptor = blobOf(bytes);
      await store.ensureRepository('blobs/kept', signal);
      expect([...(await store.missingBlobs('blobs/kept', [descriptor], signal))]).toEqual([descriptor.digest]);
      await upload('blobs/kept', bytes);
      expect((await store.missingBlobs('blobs/kept', [descriptor], signal)).size).toBe(0);
      const whole = await buffer(await store.openBlob('blobs/kept', descriptor, { signal }));
      expect(whole.equals(bytes)).toBe(true);
      const range = { start: 65_000, end: 199_999 };
      const part = await buffer(await store.openBlob('blobs/kept', descriptor, { signal, range }));
      expect(part.equals(bytes.subarray(65_000, 200_000))).toBe(true);
    });

    it('takes a blob as bytes, and an empty one', async () => {
      await store.ensureRepository('blobs/bytes', signal);
      for (const bytes of [Buffer.from('as bytes'), Buffer.alloc(0)]) {
        const descriptor = blobOf(bytes);
        const start = await store.startUpload('blobs/bytes', descriptor.digest, undefined, signal);
        if (start.kind === 'upload') await store.finishUpload(start.session, descriptor, bytes, signal);
        expect((await buffer(await store.openBlob('blobs/bytes', descriptor, { signal }))).equals(bytes)).toBe(true);
      }
    });

    it.each([
      ['other bytes of the same length', noise(5000, 3)],
      ['too few bytes', noise(5000, 2).subarray(0, 4999)],
      ['too many bytes', Buffer.concat([noise(5000, 2), Buffer.from('!')])],
    ])('refuses %s and commits nothing', async (_what, sent) => {
      const descriptor = blobOf(noise(5000, 2));
      await store.ensureRepository('blobs/wrong', signal);
      const start = await store.startUpload('blobs/wrong', descriptor.digest, undefined, signal);
      if (start.kind !== 'upload') throw new Error('nothing was uploaded, and yet there is nothing to upload');
      await expect(store.finishUpload(start.session, descriptor, inPieces(sent), signal)).rejects.toBeInstanceOf(
        ReplicationError,
      );
      expect([...(await store.missingBlobs('blobs/wrong', [descriptor], signal))]).toEqual([descriptor.digest]);
    });

    it('commits nothing when the body fails, and takes the blob afterwards', async () => {
      const bytes = noise(200_000, 4);
      await store.ensureRepository('blobs/broken', signal);
      const start = await store.startUpload('blobs/broken', blobOf(bytes).digest, undefined, signal);
      if (start.kind !== 'upload') throw new Error('nothing was uploaded, and yet there is nothing to upload');
      const broken = Readable.from(
        (function* () {
          yield bytes.subarray(0, 100_000);
          throw new ReplicationError('unreachable', 'the source went away');
        })(),
      );
      await expect(store.finishUpload(start.session, blobOf(bytes), broken, signal)).rejects.toThrow();
      expect((await store.missingBlobs('blobs/broken', [blobOf(bytes)], signal)).size).toBe(1);
      await upload('blobs/broken', bytes);
      expect((await store.missingBlobs('blobs/broken', [blobOf(bytes)], signal)).size).toBe(0);
    });

    it('stores a manifest under a tag, byte for byte, and finds it by tag and digest', async () => {
      const content = await image('manifests/tagged', noise(1000, 5), { vendor: 'kept  as is' });
      await store.writeManifest('manifests/tagged', '1.0', content, signal);
      for (const reference of ['1.0', content.descriptor.digest]) {
        expect(await store.resolve('manifests/tagged', reference, signal)).toMatchObject(content.descriptor);
        const read = await store.readManifest('manifests/tagged', reference, signal);
        expect(Buffer.from(read.bytes).equals(content.bytes)).toBe(true);
        expect(read.descriptor).toMatchObject(content.descriptor);
      }
      expect(await store.listTags('manifests/tagged', signal)).toEqual(['1.0']);
    });

    it('keeps Docker media types', async () => {
      const content = await image('manifests/docker', noise(1000, 6), { mediaType: mediaTypes.dockerManifest });
      expect(content.descriptor.mediaType).toBe(mediaTypes.dockerManifest);
      await store.writeManifest('manifests/docker', 'latest', content, signal);
      const found = await store.resolve('manifests/docker', content.descriptor.digest, signal);
      expect(found.mediaType).toBe(mediaTypes.dockerManifest);
    });

    it('moves a tag', async () => {
      const [first, second] = [
        await image('manifests/moved', noise(10, 7)),
        await image('manifests/moved', noise(10, 8)),
      ];
      await store.writeManifest('manifests/moved', 'latest', first, signal);
      await store.writeManifest('manifests/moved', 'latest', second, signal);
      expect((await store.resolve('manifests/moved', 'latest', signal)).digest).toBe(second.descriptor.digest);
      expect(await store.listTags('manifests/moved', signal)).toEqual(['latest']);
    });

    it('stores an index with its children by digest, nested ones too', async () => {
      const children = [await image('manifests/index', noise(10, 9)), await image('manifests/index', noise(10, 10))];
      for (const child of children) {
        await store.writeManifest('manifests/index', child.descriptor.digest, child, signal);
      }
      const inner = indexOf(children);
      await store.writeManifest('manifests/index', inner.descriptor.digest, inner, signal);
      const outer = indexOf([inner]);
      await store.writeManifest('manifests/index', 'all', outer, signal);
      for (const { descriptor } of [...children, inner, outer]) {
        expect((await store.resolve('manifests/index', descriptor.digest, signal)).size).toBe(descriptor.size);
      }
      expect(await store.listTags('manifests/index', signal)).toEqual(['all']);
    });

    it('refuses a manifest whose layer or child is missing, and names what is', async () => {
      await store.ensureRepository('manifests/missing', signal);
      const [config, layer] = [Buffer.from('{}'), noise(10, 11)];
      await upload('manifests/missing', config);
      const content = imageOf(config, layer);
      await expect(store.writeManifest('manifests/missing', 'latest', content, signal)).rejects.toMatchObject({
        code: 'blob-unknown',
        message: expect.stringContaining(digestOf(layer)) as string,
      });
      await expect(store.writeManifest('manifests/missing', 'all', indexOf([content]), signal)).rejects.toMatchObject({
        code: 'blob-unknown',
        message: expect.stringContaining(content.descriptor.digest) as string,
      });
      await expect(store.resolve('manifests/missing', 'latest', signal)).rejects.toMatchObject({ code: 'not-found' });
    });

    it('lists what refers to a manifest', async () => {
      const subject = await image('manifests/referred', noise(10, 12));
      await store.writeManifest('manifests/referred', 'latest', subject, signal);
      const { digest } = subject.descriptor;
      expect(await store.listReferrers('manifests/referred', digest, signal)).toEqual([]);
      const signature = await image('manifests/referred', noise(10, 13), {
        artifactType: 'application/vnd.example.signature',
        subject: subject.descriptor,
        annotations: { 'org.example.signer': 'somebody' },
      });
      await store.writeManifest('manifests/referred', signature.descriptor.digest, signature, signal);
      expect(await store.listReferrers('manifests/referred', digest, signal)).toMatchObject([
        {
          ...signature.descriptor,
          artifactType: 'application/vnd.example.signature',
          annotations: { 'org.example.signer': 'somebody' },
        },
      ]);
      expect(await store.listReferrers('manifests/referred', signature.descriptor.digest, signal)).toEqual([]);
    });

    it('gives a blob of one repository to another without sending it', async (context) => {
      if (store.mounting === 'never') context.skip();
      const layer = noise(1000, 14);
      await store.writeManifest('mounts/from', 'latest', await image('mounts/from', layer), signal);
      await store.ensureRepository('mounts/to', signal);
      expect(await store.startUpload('mounts/to', digestOf(layer), 'mounts/from', signal)).toEqual({ kind: 'mounted' });
      expect((await store.missingBlobs('mounts/to', [blobOf(layer)], signal)).size).toBe(0);
    });

    it('takes many writers of one repository at once', async () => {
      const contents = await Promise.all(
        Array.from({ length: 20 }, (_, index) => image('manifests/many', noise(10, 100 + index))),
      );
      await Promise.all(
        contents.map((content, index) => store.writeManifest('manifests/many', `v${index}`, content, signal)),
      );
      const tags = await store.listTags('manifests/many', signal);
      expect([...tags].sort()).toEqual(contents.map((_, index) => `v${index}`).sort());
      for (const [index, content] of contents.entries()) {
        expect((await store.resolve('manifests/many', `v${index}`, signal)).digest).toBe(content.descriptor.digest);
      }
    });

    it.skipIf(options.sha512 === false)('takes sha512 digests', async () => {
      const [config, layer] = [Buffer.from('{}'), noise(1000, 15)];
      const descriptor = { ...blobOf(layer), digest: digestOf(layer, 'sha512') };
      await store.ensureRepository('manifests/sha512', signal);
      await upload('manifests/sha512', config);
      await upload('manifests/sha512', layer, descriptor);
      const bytes = Buffer.from(JSON.stringify({ ...manifestJson(config, layer), layers: [descriptor] }));
      const digest = digestOf(bytes, 'sha512');
      const content = { descriptor: { mediaType: mediaTypes.ociManifest, digest, size: bytes.length }, bytes };
      await store.writeManifest('manifests/sha512', digest, content, signal);
      expect((await store.readManifest('manifests/sha512', digest, signal)).descriptor.digest).toBe(digest);
      expect((await buffer(await store.openBlob('manifests/sha512', descriptor, { signal }))).equals(layer)).toBe(true);
    });

    it('stops when it is told to', async () => {
      const stopped = AbortSignal.abort(new ReplicationError('cancelled', 'told to stop'));
      const content = await image('manifests/stopped', noise(10, 16));
      for (const ask of [
        () => store.resolve('manifests/stopped', 'latest', stopped),
        () => store.readManifest('manifests/stopped', 'latest', stopped),
        () => store.openBlob('manifests/stopped', blobOf(noise(10, 16)), { signal: stopped }),
        () => store.missingBlobs('manifests/stopped', [blobOf(noise(10, 17))], stopped),
        () => store.writeManifest('manifests/stopped', 'latest', content, stopped),
      ]) {
        await expect(ask()).rejects.toThrow();
      }
      await expect(store.resolve('manifests/stopped', 'latest', signal)).rejects.toMatchObject({ code: 'not-found' });
    });
  });
}

/** Bytes that differ by seed and do not repeat (a linear congruential generator: the same on every machine). */
function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed + 1;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

function inPieces(bytes: Uint8Array): Readable {
  const pieces: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; start += 30_000) pieces.push(bytes.subarray(start, start + 30_000));
  return Readable.from(pieces, { objectMode: false });
}

function blobOf(bytes: Uint8Array): Descriptor {
  return { mediaType: mediaTypes.ociLayerGzip, digest: digestOf(bytes), size: bytes.length };
}

function manifestJson(config: Uint8Array, layer: Uint8Array): object {
  return {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { ...blobOf(config), mediaType: mediaTypes.ociConfig },
    layers: [blobOf(layer)],
  };
}

function imageOf(config: Uint8Array, layer: Uint8Array, extra: object = {}): ManifestContent & { bytes: Buffer } {
  const json = { ...manifestJson(config, layer), ...extra };
  const mediaType = 'mediaType' in json && typeof json.mediaType === 'string' ? json.mediaType : mediaTypes.ociManifest;
  // Indented, so that a store which formats manifests anew is found out.
  const bytes = Buffer.from(JSON.stringify(json, undefined, 3));
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes };
}

function indexOf(children: readonly ManifestContent[]): ManifestContent {
  const manifests = children.map(({ descriptor }) => descriptor);
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }));
  return { descriptor: { mediaType: mediaTypes.ociIndex, digest: digestOf(bytes), size: bytes.length }, bytes };
}
