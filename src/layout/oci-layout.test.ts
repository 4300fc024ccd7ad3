import { chmod, mkdir, mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Digest, digestHex, digestOf } from '../model/digest.ts';
import type { ManifestContent } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import type { WriteStore } from '../model/store.ts';
import { buildImage } from '../testing/image-builder.ts';
import { openOciLayout } from './oci-layout.ts';
import { storeContract } from './store-contract.ts';

storeContract('OCI image layout', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'layout-'));
  return { store: await openOciLayout(directory), close: () => rm(directory, { recursive: true }) };
});

const signal = new AbortController().signal;
let root: string;
let directory: string;
beforeAll(async () => (root = await mkdtemp(path.join(tmpdir(), 'layouts-'))));
afterAll(() => rm(root, { recursive: true }));
beforeEach(async () => (directory = await mkdtemp(path.join(root, 'one-'))));

async function putBlob(store: WriteStore, repository: string, bytes: Buffer): Promise<'mounted' | 'upload'> {
  const start = await store.startUpload(repository, digestOf(bytes), undefined, signal);
  if (start.kind === 'upload') {
    const descriptor = { mediaType: mediaTypes.ociLayerGzip, digest: digestOf(bytes), size: bytes.length };
    await store.finishUpload(start.session, descriptor, Readable.from([bytes]), signal);
  }
  return start.kind;
}

function manifest(json: object): ManifestContent {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, ...json }));
  const mediaType = 'manifests' in json ? mediaTypes.ociIndex : mediaTypes.ociManifest;
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes };
}

async function putImage(store: WriteStore, repository: string, reference: string, layer: string): Promise<Digest> {
  const config = { mediaType: mediaTypes.ociConfig, digest: digestOf('{}'), size: 2 };
  const blob = { mediaType: mediaTypes.ociLayerGzip, digest: digestOf(layer), size: layer.length };
  for (const bytes of ['{}', layer]) await putBlob(store, repository, Buffer.from(bytes));
  const content = manifest({ config, layers: [blob] });
  const { digest } = content.descriptor;
  await store.writeManifest(repository, reference === 'digest' ? digest : reference, content, signal);
  return digest;
}

async function names(): Promise<readonly unknown[]> {
  const index: unknown = JSON.parse(await readFile(path.join(directory, 'index.json'), 'utf8'));
  expect(index).toMatchObject({ schemaVersion: 2, mediaType: mediaTypes.ociIndex });
  const text = JSON.stringify(index);
  return [...text.matchAll(/"org\.opencontainers\.image\.ref\.name":"([^"]*)"/g)].map((match) => match[1]);
}

function blobPath(digest: Digest): string {
  return path.join(directory, 'blobs', 'sha256', digestHex(digest));
}

describe('image layout on disk', () => {
  it('is a layout from the start, with nothing else in the folder', async () => {
    const store = await openOciLayout(directory);
    expect((await readdir(directory)).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
    const digest = await putImage(store, 'demo/app', '1.0', 'layer');
    expect((await readdir(directory)).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
    expect(JSON.parse(await readFile(path.join(directory, 'oci-layout'), 'utf8'))).toEqual({
      imageLayoutVersion: '1.0.0',
    });
    expect(digestOf(await readFile(blobPath(digest)))).toBe(digest);
  });

  it('names entries repository:tag, and repository@digest where nothing else leads to them', async () => {
    const store = await openOciLayout(directory);
    const alone = await putImage(store, 'demo/app', 'digest', 'alone');
    const child = await putImage(store, 'demo/app', 'digest', 'child');
    expect(await names()).toContain(`demo/app@${child}`);
    const index = manifest({ manifests: [await store.resolve('demo/app', child, signal)] });
    await store.writeManifest('demo/app', '1.0', index, signal);
    await putImage(store, 'demo/app', 'digest', 'child');
    await putImage(store, 'docker.io/library/x', '2', 'alone');
    expect(await names()).toEqual(['demo/app:1.0', `demo/app@${alone}`, 'docker.io/library/x:2']);
    expect((await store.resolve('demo/app', child, signal)).digest).toBe(child);
  });

  it('puts an OCI index behind a Docker manifest, for readers that look for OCI types only', async () => {
    const store = await openOciLayout(directory);
    const image = buildImage({ name: 'docker', format: 'docker', platforms: ['linux/amd64'], index: false });
    for (const content of image.blobs.values()) {
      if (content instanceof Uint8Array) await putBlob(store, 'demo', Buffer.from(content));
    }
    for (const each of image.manifests) await store.writeManifest('demo', '1.0', each, signal);
    expect(await names()).toEqual(['demo:1.0', 'demo:1.0']);
    const again = await openOciLayout(directory);
    expect(await again.resolve('demo', '1.0', signal)).toEqual(image.descriptor);
    expect(await again.listTags('demo', signal)).toEqual(['1.0']);
    const index: unknown = JSON.parse(await readFile(path.join(directory, 'index.json'), 'utf8'));
    expect(index).toMatchObject({ manifests: [image.descriptor, { mediaType: mediaTypes.ociIndex }] });
    await putImage(again, 'demo', 'other', 'layer');
    expect(await names()).toEqual(['demo:1.0', 'demo:1.0', 'demo:other']);
    await putImage(again, 'demo', '1.0', 'layer');
    expect(await names()).toEqual(['demo:1.0', 'demo:other']);
  });

  it('keeps repositories apart, and shares their blobs', async () => {
    const store = await openOciLayout(directory);
    const digest = await putImage(store, 'a', 'latest', 'layer');
    await expect(store.resolve('b', digest, signal)).rejects.toMatchObject({ code: 'not-found' });
    expect(await putBlob(store, 'b', Buffer.from('layer'))).toBe('mounted');
  });

  it('writes the same index.json whatever the order', async () => {
    const store = await openOciLayout(directory);
    await Promise.all(['c', 'a', 'b'].map((tag) => putImage(store, 'demo', tag, tag)));
    const first = await readFile(path.join(directory, 'index.json'), 'utf8');
    directory = await mkdtemp(path.join(root, 'other-'));
    const other = await openOciLayout(directory);
    for (const tag of ['b', 'c', 'a']) await putImage(other, 'demo', tag, tag);
    expect(await readFile(path.join(directory, 'index.json'), 'utf8')).toBe(first);
  });

  it('is found again by the next run, with nothing left to send', async () => {
    const digest = await putImage(await openOciLayout(directory), 'demo', '1.0', 'layer');
    const again = await openOciLayout(directory, { create: false });
    expect((await again.resolve('demo', '1.0', signal)).digest).toBe(digest);
    expect((await again.resolve('demo', digest, signal)).digest).toBe(digest);
    expect(await again.listTags('demo', signal)).toEqual(['1.0']);
    expect(await putBlob(again, 'demo', Buffer.from('layer'))).toBe('mounted');
  });

  it('replaces a blob whose file has the wrong size, and notices a manifest with wrong content', async () => {
    const digest = await putImage(await openOciLayout(directory), 'demo', '1.0', 'layer');
    await truncate(blobPath(digestOf('layer')), 2);
    const store = await openOciLayout(directory);
    const layer = { mediaType: mediaTypes.ociLayerGzip, digest: digestOf('layer'), size: 5 };
    expect((await store.missingBlobs('demo', [layer], signal)).size).toBe(1);
    expect(await putBlob(store, 'demo', Buffer.from('layer'))).toBe('upload');
    expect((await store.missingBlobs('demo', [layer], signal)).size).toBe(0);
    const bytes = await readFile(blobPath(digest), 'utf8');
    await writeFile(blobPath(digest), bytes.replace('config', 'conflg'));
    await expect(store.readManifest('demo', '1.0', signal)).rejects.toMatchObject({ code: 'corrupt' });
    await rm(blobPath(digest));
    await expect(store.resolve('demo', '1.0', signal)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('keeps what other programs wrote into index.json', async () => {
    await openOciLayout(directory);
    const foreign = [
      { mediaType: 'application/xml', digest: 'blake3:00', size: 1 },
      {
        mediaType: mediaTypes.ociManifest,
        digest: digestOf('x'),
        size: 1,
        annotations: { 'org.opencontainers.image.ref.name': 'v1' },
      },
    ];
    const index = { schemaVersion: 2, manifests: foreign, annotations: { 'org.example': 'kept' } };
    await writeFile(path.join(directory, 'index.json'), JSON.stringify(index));
    await putImage(await openOciLayout(directory), 'demo', '1.0', 'layer');
    const read: unknown = JSON.parse(await readFile(path.join(directory, 'index.json'), 'utf8'));
    expect(read).toMatchObject({ manifests: [...foreign, {}], annotations: { 'org.example': 'kept' } });
  });

  it('sees what another writer of the same folder added', async () => {
    const [one, other] = [await openOciLayout(directory), await openOciLayout(directory)];
    await putImage(one, 'demo', 'one', '1');
    await putImage(other, 'demo', 'two', '2');
    await putImage(one, 'demo', 'three', '3');
    expect(await one.listTags('demo', signal)).toEqual(['one', 'three', 'two']);
  });

  it('leaves no file behind when an upload fails, and clears what a killed run left', async () => {
    const store = await openOciLayout(directory);
    const start = await store.startUpload('demo', digestOf('x'), undefined, signal);
    if (start.kind !== 'upload') throw new Error('the layout is empty');
    const descriptor = { mediaType: mediaTypes.ociLayerGzip, digest: digestOf('x'), size: 1 };
    await expect(store.finishUpload(start.session, descriptor, Buffer.from('y'), signal)).rejects.toMatchObject({
      code: 'corrupt',
      digest: digestOf('x'),
      host: directory,
    });
    const [old, young] = ['.unfinished-old', '.unfinished-young'].map((name) => path.join(directory, name));
    for (const file of [old, young]) await writeFile(file ?? '', 'part');
    await utimes(old ?? '', new Date(0), new Date(0));
    await openOciLayout(directory);
    expect((await readdir(directory)).sort()).toEqual(['.unfinished-young', 'blobs', 'index.json', 'oci-layout']);
  });
});

describe('opening a folder', () => {
  it('makes a new one, with its parents', async () => {
    await openOciLayout(path.join(directory, 'out', 'bundle'));
    expect(await readdir(path.join(directory, 'out', 'bundle'))).toContain('oci-layout');
  });

  it('refuses one that holds something else', async () => {
    await writeFile(path.join(directory, 'thesis.doc'), '');
    await expect(openOciLayout(directory)).rejects.toMatchObject({ code: 'configuration' });
    expect(await readdir(directory)).toEqual(['thesis.doc']);
  });

  it('does not create one that is to be read', async () => {
    const absent = path.join(directory, 'absent');
    await expect(openOciLayout(absent, { create: false })).rejects.toMatchObject({ code: 'not-found' });
    await expect(openOciLayout(directory, { create: false })).rejects.toMatchObject({ code: 'not-found' });
    expect(await readdir(directory)).toEqual([]);
  });

  it('refuses other versions and broken files', async () => {
    await writeFile(path.join(directory, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}');
    await expect(openOciLayout(directory)).rejects.toMatchObject({ code: 'unsupported' });
    await writeFile(path.join(directory, 'oci-layout'), '{');
    await expect(openOciLayout(directory)).rejects.toMatchObject({ code: 'corrupt' });
    await writeFile(path.join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await writeFile(path.join(directory, 'index.json'), '{"schemaVersion":2,');
    const store = await openOciLayout(directory);
    await expect(store.listTags('demo', signal)).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('says what is wrong with a path that cannot be a folder', async () => {
    const file = path.join(directory, 'file');
    await writeFile(file, '');
    await expect(openOciLayout(file)).rejects.toMatchObject({ code: 'storage' });
    await expect(openOciLayout(path.join(file, 'below'))).rejects.toMatchObject({
      code: 'storage',
      message: expect.stringContaining(file) as string,
      remedy: expect.stringContaining('another folder') as string,
    });
  });

  // The superuser may write anywhere.
  it.skipIf(process.getuid?.() === 0)('says that it may not write', async () => {
    const locked = path.join(directory, 'locked');
    await mkdir(locked);
    await chmod(locked, 0o500);
    await expect(openOciLayout(locked)).rejects.toMatchObject({ code: 'storage' });
  });

  it('reports a disk error of an upload as storage, with the file', async () => {
    const store = await openOciLayout(directory);
    await rm(path.join(directory, 'blobs'), { recursive: true });
    await writeFile(path.join(directory, 'blobs'), 'in the way');
    await expect(putBlob(store, 'demo', Buffer.from('x'))).rejects.toMatchObject({ code: 'storage' });
  });
});
