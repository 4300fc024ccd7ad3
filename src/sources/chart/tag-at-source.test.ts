import { expect, it } from 'vitest';
import { memoryStore } from '../../layout/memory.ts';
import type { WriteStore } from '../../model/store.ts';
import { mediaTypes } from '../../model/media-types.ts';
import { artifactOf, type ImageContent, indexOf, jsonBlob } from '../../testing/image-builder.ts';
import { newestTagAt } from './tag-at-source.ts';

// Tags whose text says nothing of their age: the images themselves say when they were made.

const signal = new AbortController().signal;

function imageMade(created: string | undefined): ImageContent {
  const config = { architecture: 'amd64', os: 'linux', ...(created === undefined ? {} : { created }) };
  const image = artifactOf({ config: jsonBlob(config, mediaTypes.ociConfig), layers: [] });
  return { ...image, descriptor: { ...image.descriptor, platform: { os: 'linux', architecture: 'amd64' } } };
}

/** An attestation as BuildKit puts it before or behind the platforms. */
function attestation(): ImageContent {
  const image = artifactOf({ config: jsonBlob({ created: '2099-01-01T00:00:00Z' }, mediaTypes.ociConfig), layers: [] });
  return { ...image, descriptor: { ...image.descriptor, platform: { os: 'unknown', architecture: 'unknown' } } };
}

async function storeWith(tags: Readonly<Record<string, ImageContent>>): Promise<WriteStore> {
  const store = memoryStore('registry.example');
  for (const [tag, { manifests, blobs, digest }] of Object.entries(tags)) {
    for (const [blob, bytes] of blobs) {
      if (!(bytes instanceof Uint8Array)) continue;
      const start = await store.startUpload('team/app', blob, undefined, signal);
      const descriptor = { mediaType: mediaTypes.ociConfig, digest: blob, size: bytes.length };
      if (start.kind === 'upload') await store.finishUpload(start.session, descriptor, bytes, signal);
    }
    for (const manifest of manifests)
      await store.writeManifest(
        'team/app',
        manifest.descriptor.digest === digest ? tag : manifest.descriptor.digest,
        manifest,
        signal,
      );
  }
  return store;
}

it('takes the image that was made last, whatever the order of the tags and the digits in them', async () => {
  const store = await storeWith({
    'main-9f1c2aa': imageMade('2024-01-15T10:00:00Z'),
    'main-0b77e01': indexOf([attestation(), imageMade('2024-03-01T00:00:00.123456789Z')]),
    'main-ffe0123': imageMade('2024-02-28T23:59:59+02:00'),
    latest: imageMade('2025-01-01T00:00:00Z'),
  });
  expect(await newestTagAt(store, 'team/app', signal)).toEqual({
    tag: 'main-0b77e01',
    because: 'made last of 3 tags without version or date',
  });
});

it('goes by what images say and no further: one that says nothing, or 1970, is not the most recent', async () => {
  const silent = { one: imageMade(undefined), two: imageMade('1970-01-01T00:00:00Z'), three: imageMade('yesterday') };
  expect(await newestTagAt(await storeWith({ ...silent, four: imageMade('2001-01-01T00:00:00Z') }), 'team/app', signal)).toMatchObject({ tag: 'four' }); // prettier-ignore
  expect(await newestTagAt(await storeWith({ ...silent, latest: imageMade(undefined) }), 'team/app', signal)).toMatchObject({ tag: 'latest' }); // prettier-ignore
  await expect(newestTagAt(await storeWith(silent), 'team/app', signal)).rejects.toMatchObject({ code: 'not-found' });
});
