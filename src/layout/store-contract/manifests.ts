import { buffer } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { digestOf } from '../../model/digest.ts';
import { mediaTypes } from '../../model/media-types.ts';
import { blobOf, imageOf, indexOf, manifestJson, noise } from './content.ts';
import type { Suite } from './suite.ts';

/** Manifests, tags and referrers. */
export function manifestTests(suite: Suite, sha512: boolean): void {
  const { signal, upload, image } = suite;
  it('stores a manifest under a tag, byte for byte, and finds it by tag and digest', async () => {
    const content = await image('manifests/tagged', noise(1000, 5), { vendor: 'kept  as is' });
    await suite.store.writeManifest('manifests/tagged', '1.0', content, signal);
    for (const reference of ['1.0', content.descriptor.digest]) {
      expect(await suite.store.resolve('manifests/tagged', reference, signal)).toMatchObject(content.descriptor);
      const read = await suite.store.readManifest('manifests/tagged', reference, signal);
      expect(Buffer.from(read.bytes).equals(content.bytes)).toBe(true);
      expect(read.descriptor).toMatchObject(content.descriptor);
    }
    expect(await suite.store.listTags('manifests/tagged', signal)).toEqual(['1.0']);
  });

  it('keeps Docker media types', async () => {
    const content = await image('manifests/docker', noise(1000, 6), { mediaType: mediaTypes.dockerManifest });
    expect(content.descriptor.mediaType).toBe(mediaTypes.dockerManifest);
    await suite.store.writeManifest('manifests/docker', 'latest', content, signal);
    const found = await suite.store.resolve('manifests/docker', content.descriptor.digest, signal);
    expect(found.mediaType).toBe(mediaTypes.dockerManifest);
  });

  it('moves a tag', async () => {
    const [first, second] = [
      await image('manifests/moved', noise(10, 7)),
      await image('manifests/moved', noise(10, 8)),
    ];
    await suite.store.writeManifest('manifests/moved', 'latest', first, signal);
    await suite.store.writeManifest('manifests/moved', 'latest', second, signal);
    expect((await suite.store.resolve('manifests/moved', 'latest', signal)).digest).toBe(second.descriptor.digest);
    expect(await suite.store.listTags('manifests/moved', signal)).toEqual(['latest']);
  });

  it('stores an index with its children by digest, nested ones too', async () => {
    const children = [await image('manifests/index', noise(10, 9)), await image('manifests/index', noise(10, 10))];
    for (const child of children) {
      await suite.store.writeManifest('manifests/index', child.descriptor.digest, child, signal);
    }
    const inner = indexOf(children);
    await suite.store.writeManifest('manifests/index', inner.descriptor.digest, inner, signal);
    const outer = indexOf([inner]);
    await suite.store.writeManifest('manifests/index', 'all', outer, signal);
    for (const { descriptor } of [...children, inner, outer]) {
      expect((await suite.store.resolve('manifests/index', descriptor.digest, signal)).size).toBe(descriptor.size);
    }
    expect(await suite.store.listTags('manifests/index', signal)).toEqual(['all']);
  });

  it('refuses a manifest whose layer or child is missing, and names what is', async () => {
    await suite.store.ensureRepository('manifests/missing', signal);
    const [config, layer] = [Buffer.from('{}'), noise(10, 11)];
    await upload('manifests/missing', config);
    const content = imageOf(config, layer);
    await expect(suite.store.writeManifest('manifests/missing', 'latest', content, signal)).rejects.toMatchObject({
      code: 'blob-unknown',
      message: expect.stringContaining(digestOf(layer)) as string,
    });
    await expect(
      suite.store.writeManifest('manifests/missing', 'all', indexOf([content]), signal),
    ).rejects.toMatchObject({
      code: 'blob-unknown',
      message: expect.stringContaining(content.descriptor.digest) as string,
    });
    await expect(suite.store.resolve('manifests/missing', 'latest', signal)).rejects.toMatchObject({
      code: 'not-found',
    });
  });

  it('lists what refers to a manifest', async () => {
    const subject = await image('manifests/referred', noise(10, 12));
    await suite.store.writeManifest('manifests/referred', 'latest', subject, signal);
    const { digest } = subject.descriptor;
    expect(await suite.store.listReferrers('manifests/referred', digest, signal)).toEqual([]);
    const signature = await image('manifests/referred', noise(10, 13), {
      artifactType: 'application/vnd.example.signature',
      subject: subject.descriptor,
      annotations: { 'org.example.signer': 'somebody' },
    });
    await suite.store.writeManifest('manifests/referred', signature.descriptor.digest, signature, signal);
    expect(await suite.store.listReferrers('manifests/referred', digest, signal)).toMatchObject([
      {
        ...signature.descriptor,
        artifactType: 'application/vnd.example.signature',
        annotations: { 'org.example.signer': 'somebody' },
      },
    ]);
    expect(await suite.store.listReferrers('manifests/referred', signature.descriptor.digest, signal)).toEqual([]);
  });

  it('takes many writers of one repository at once', async () => {
    const contents = await Promise.all(
      Array.from({ length: 20 }, (_, index) => image('manifests/many', noise(10, 100 + index))),
    );
    await Promise.all(
      contents.map((content, index) => suite.store.writeManifest('manifests/many', `v${index}`, content, signal)),
    );
    const tags = await suite.store.listTags('manifests/many', signal);
    expect([...tags].sort()).toEqual(contents.map((_, index) => `v${index}`).sort());
    for (const [index, content] of contents.entries()) {
      expect((await suite.store.resolve('manifests/many', `v${index}`, signal)).digest).toBe(content.descriptor.digest);
    }
  });

  it.skipIf(!sha512)('takes sha512 digests', async () => {
    const [config, layer] = [Buffer.from('{}'), noise(1000, 15)];
    const descriptor = { ...blobOf(layer), digest: digestOf(layer, 'sha512') };
    await suite.store.ensureRepository('manifests/sha512', signal);
    await upload('manifests/sha512', config);
    await upload('manifests/sha512', layer, descriptor);
    const bytes = Buffer.from(JSON.stringify({ ...manifestJson(config, layer), layers: [descriptor] }));
    const digest = digestOf(bytes, 'sha512');
    const content = { descriptor: { mediaType: mediaTypes.ociManifest, digest, size: bytes.length }, bytes };
    await suite.store.writeManifest('manifests/sha512', digest, content, signal);
    expect((await suite.store.readManifest('manifests/sha512', digest, signal)).descriptor.digest).toBe(digest);
    expect((await buffer(await suite.store.openBlob('manifests/sha512', descriptor, { signal }))).equals(layer)).toBe(
      true,
    );
  });
}
