import { describe, expect, it } from 'vitest';
import { digestOf } from '../model/digest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { artifactOf, buildImage, type ImageContent, indexOf, jsonBlob, manifestOf } from '../testing/image-builder.ts';
import { baseLayer, foreignLayer, tarLayer, zeroLayer } from '../testing/image-layers.ts';
import { copyOf, expectHeld, failuresOf, kindsOf, patient, testWorld } from '../../test/copy-world.ts';

/** Graphs of unusual shape. Each manifest and each blob is written once, and the second run writes nothing. */
const platform = (name: string): ImageContent =>
  buildImage({
    name,
    platforms: ['linux/amd64'],
    layers: () => [baseLayer(), tarLayer([{ path: 'own', content: name }])],
  });
const single = (name: string): ImageContent => buildImage({ name, platforms: ['linux/amd64'], index: false });
const empty = jsonBlob({}, mediaTypes.ociEmpty);

/** A manifest as its JSON says, whatever the builder thinks of it. */
function raw(json: object, blobs: ImageContent['blobs'] = new Map()): ImageContent {
  const manifest = manifestOf({ schemaVersion: 2, ...json }, mediaTypes.ociManifest);
  return { digest: manifest.descriptor.digest, descriptor: manifest.descriptor, manifests: [manifest], blobs };
}

/** An index whose child is named by a sha512 digest. */
function named512(): ImageContent {
  const child = single('of sha512');
  const [manifest] = child.manifests;
  const bytes = manifest?.bytes ?? Buffer.of();
  const descriptor = { ...child.descriptor, digest: digestOf(bytes, 'sha512') };
  return indexOf([{ ...child, digest: descriptor.digest, descriptor, manifests: [{ descriptor, bytes }] }]);
}

const layer = tarLayer([{ path: 'a', content: 'b' }]);
const emptyContent = new Map([[empty.descriptor.digest, Buffer.from('{}')]]);
const twice = single('twice');
const inner = indexOf([single('deep'), twice]);

const shapes: [string, ImageContent][] = [
  ['an artifact with no layers at all', raw({ config: empty.descriptor, artifactType: 'a/b' }, emptyContent)],
  ['an artifact whose layers are null', raw({ config: empty.descriptor, layers: null }, emptyContent)],
  ['an artifact whose one layer is its config, empty', artifactOf({ config: empty, layers: [empty] })],
  ['an artifact with an empty list of layers', artifactOf({ config: empty, layers: [] })],
  ['an image whose config and layer have no bytes', artifactOf({ config: zeroLayer(), layers: [zeroLayer()] })],
  ['an image with one layer many times', artifactOf({ config: empty, layers: [layer, layer, zeroLayer(), layer] })],
  ['an index of nothing', indexOf([])],
  ['an index of one image many times', indexOf([twice, twice, single('other'), twice])],
  ['indexes three deep, with one image on all levels', indexOf([indexOf([inner, twice]), inner, twice])],
  ['an index with a child of sha512', named512()],
  ['an index of images and artifacts', indexOf([platform('p'), artifactOf({ config: empty, layers: [layer] })])],
];

describe('a copy', () => {
  it.each(shapes)('of %s is whole, and nothing is written twice', async (_name, image) => {
    const world = await testWorld(patient);
    const [source, target] = [await world.registry(), await world.registry()];
    await source.server.putImage('app', '1', image);
    for (const expected of ['copied', 'unchanged']) {
      const { outcomes } = await world.copy([copyOf(source, target)]);
      expect([failuresOf(outcomes), kindsOf(outcomes)]).toEqual([[], [expected]]);
      await expectHeld(target, image);
      const { server } = target;
      expect([server.count('manifest-put'), server.count('upload-put')]).toEqual([
        image.manifests.length,
        image.blobs.size,
      ]);
    }
    const asked = source.server.requests.of((entry) => entry.class === 'manifest-get' || entry.class === 'blob-get');
    expect(new Set(asked.map(({ reference }) => reference)).size).toBe(asked.length);
  });

  it('of indexes that share children, side by side in one repository and in several, writes each once in each', async () => {
    const world = await testWorld(patient);
    const [source, target] = [await world.registry(), await world.registry()];
    const shared = platform('shared');
    const [one, two] = [indexOf([shared, single('one')]), indexOf([single('two'), shared, inner])];
    await source.server.putImage('one', '1', one);
    await source.server.putImage('two', '1', two);
    await source.server.putImage('three', '1', shared);
    const to = (
      repository: string,
      reference: string,
    ): { store: typeof target.store; repository: string; reference: string } => ({
      store: target.store,
      repository,
      reference,
    });
    const requests = [
      { ...copyOf(source, target, 'one'), targets: [to('all', 'one'), to('apart', '1')] },
      { ...copyOf(source, target, 'two'), targets: [to('all', 'two')] },
      { ...copyOf(source, target, 'three'), targets: [to('all', 'three'), to('alone', '1')] },
    ];
    expect(failuresOf((await world.copy(requests)).outcomes)).toEqual([]);
    await expectHeld(target, one, 'all', 'one');
    await expectHeld(target, two, 'all', 'two');
    await expectHeld(target, shared, 'all', 'three');
    await expectHeld(target, one, 'apart', '1');
    await expectHeld(target, shared, 'alone', '1');
    const puts = target.server.requests
      .of('manifest-put')
      .map(({ repository, reference }) => `${repository} ${reference}`);
    expect(new Set(puts).size).toBe(puts.length);
    const blobs = new Set([one, two, shared].flatMap((image) => [...image.blobs.keys()]));
    expect([target.server.count('upload-put'), source.server.count('blob-get')]).toEqual([blobs.size, blobs.size]);
  });

  it('of a layer that is not for distribution leaves it with its vendor, in OCI’s words too', async () => {
    const world = await testWorld(patient);
    const [source, target] = [await world.registry(), await world.registry()];
    const layer = foreignLayer(Buffer.from('licensed'), ['https://vendor.example/layer'], 'oci');
    expect(layer.descriptor.mediaType).toContain('nondistributable');
    const image = buildImage({ name: 'win', layers: () => [layer] });
    const blobs = new Map([...image.blobs].filter(([digest]) => digest !== layer.descriptor.digest));
    await source.server.putImage('app', '1', { ...image, blobs });
    const { outcomes, notices } = await world.copy([copyOf(source, target)]);
    expect(failuresOf(outcomes)).toEqual([]);
    await expectHeld(target, { ...image, blobs });
    expect(notices).toMatchObject([expect.stringContaining(layer.descriptor.digest)]);
  });
});
