import { expect, it } from 'vitest';
import { mediaTypes } from '../model/media-types.ts';
import { artifactOf, type ImageContent, indexOf, jsonBlob } from '../testing/image-builder.ts';
import { copyOf, expectHeld, failuresOf, patient, testWorld } from '../../test/copy-world.ts';

/** Two platforms, each with a base that a family of images shares, and a layer of its own. */
function member(n: number): ImageContent {
  const platforms = ['amd64', 'arm64'].map((architecture) => {
    const layer = (content: string) => jsonBlob({ content, architecture }, mediaTypes.ociLayerGzip);
    const config = jsonBlob({ architecture, os: 'linux', n }, mediaTypes.ociConfig);
    const image = artifactOf({
      config,
      layers: [layer(`base ${n % 3}`), layer(`runtime ${n % 3}`), layer(`own ${n}`)],
    });
    return { ...image, descriptor: { ...image.descriptor, platform: { os: 'linux', architecture } } };
  });
  return indexOf(platforms);
}

it('requests to a target that limits manifests: one for each use of a blob and each content, one for each manifest, and one for each refusal', async () => {
  const world = await testWorld(patient);
  const source = await world.registry();
  const { server, store } = await world.registry();
  const images = Array.from({ length: 16 }, (_, n) => member(n));
  for (const [n, image] of images.entries()) await source.server.putImage(`app-${n}`, '1', image);
  server.fail({ class: 'manifest-put', skip: 10, times: 6, fault: { kind: 'status', status: 429 } });
  const requests = images.map((_, n) => copyOf(source, { server, store }, `app-${n}`));
  expect(failuresOf((await world.copy(requests)).outcomes)).toEqual([]);
  const uses = images.reduce((sum, { blobs }) => sum + blobs.size, 0);
  const unique = new Set(images.flatMap(({ blobs }) => [...blobs.keys()])).size;
  const manifests = images.reduce((sum, image) => sum + image.manifests.length, 0);
  const refused = server.requests.count(({ status }) => status === 429);
  expect(refused).toBe(6);
  // What the tag names, once an image.
  expect(server.count('manifest-head')).toBe(images.length);
  // The start of an upload, which asks whether the blob is there, or a mount; and one that finds out whether mounts work.
  expect(server.count('mount') + server.count('upload-start')).toBe(uses + 1);
  expect(server.count('upload-put')).toBe(unique);
  expect(server.count('manifest-put')).toBe(manifests + refused);
  // Before it is known that mounts work, blobs are asked for: the first, and those that would not wait for it.
  const asked = server.count('blob-head');
  expect(asked).toBeGreaterThan(0);
  expect(server.requests.entries.length).toBe(images.length + uses + 1 + unique + manifests + refused + asked);
  for (const [n, image] of images.entries()) await expectHeld({ server, store }, image, `mirror/app-${n}`);
});
