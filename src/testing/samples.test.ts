import { afterEach, describe, expect, it } from 'vitest';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadDataFiles } from '../sources/eks/data-files.ts';
import { digestAlgorithm, digestHex, digestOf } from '../model/digest.ts';
import { parseManifest } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { buildImage, type ImageContent, schema1Image, withCosignTag, withReferrer } from './image-builder.ts';
import { foreignLayer, sha512Layer, syntheticLayer, zeroLayer, zstdLayer } from './image-layers.ts';
import { type RegistryServer, startRegistryServer } from './registry-server.ts';
import { pushSampleImages, sampleCharts, sampleDataFiles, sampleImages, sampleReferences } from './samples.ts';
import { digestOfSynthetic, readSynthetic } from './synthetic.ts';

const servers: RegistryServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

/** Everything that an image's manifests refer to and that the image does not bring. */
function missing(image: ImageContent): readonly string[] {
  const manifests = new Set(image.manifests.map(({ descriptor }) => descriptor.digest));
  return image.manifests.flatMap(({ bytes, descriptor }) => {
    const view = parseManifest(bytes, descriptor.mediaType);
    if (view.kind === 'index')
      return view.manifests.map((child) => child.digest).filter((each) => !manifests.has(each));
    return [view.config, ...view.layers].map((each) => each.digest).filter((each) => !image.blobs.has(each));
  });
}

describe('sample images', () => {
  it('are whole, and every digest and size is right', () => {
    for (const { image, repository } of sampleImages()) {
      expect(missing(image), repository).toEqual([]);
      for (const [digest, content] of image.blobs) expect(digestOf(content as Uint8Array)).toBe(digest);
      for (const { descriptor, bytes } of image.manifests) {
        expect([digestOf(bytes), bytes.length]).toEqual([descriptor.digest, descriptor.size]);
      }
    }
  });

  it('are the same every time, and share their base', () => {
    const digests = (): readonly string[] => sampleImages().map(({ image }) => image.digest);
    expect(digests()).toEqual(digests());
    const [a, b] = [buildImage({ name: 'a' }), buildImage({ name: 'b' })];
    expect(a.digest).not.toBe(b.digest);
    expect([...a.blobs.keys()].filter((digest) => b.blobs.has(digest))).toHaveLength(1);
  });

  it('cover attestations, nesting, signatures and referrers', () => {
    const image = withReferrer(withCosignTag(buildImage({ name: 'x', attestations: true, nested: true })), {
      fallbackTag: true,
    });
    expect(missing(image)).toEqual([]);
    const views = image.manifests.map(({ bytes, descriptor }) => parseManifest(bytes, descriptor.mediaType));
    expect(views.filter(({ subject }) => subject?.digest === image.digest)).toHaveLength(1);
    const hex = digestHex(image.digest);
    expect(image.tags?.map(([tag]) => tag)).toEqual([`sha256-${hex}.sig`, `sha256-${hex}`]);
    const platforms = views
      .flatMap((view) => (view.kind === 'index' ? view.manifests : []))
      .map(({ platform }) => platform?.os);
    expect(platforms.filter((os) => os === 'unknown')).toHaveLength(2);
  });

  it('cover odd layers', async () => {
    const odd = [zeroLayer(), sha512Layer([]), foreignLayer(Buffer.from('x'), ['https://example.com/x'])];
    const image = buildImage({ name: 'odd', platforms: ['windows/amd64'], layers: () => odd });
    expect(missing(image)).toEqual([odd[2]?.descriptor.digest]);
    expect(image.blobs.get(odd[0]?.descriptor.digest ?? digestOf(''))).toHaveLength(0);
    expect(odd[1] === undefined ? undefined : digestAlgorithm(odd[1].descriptor.digest)).toBe('sha512');
    const { content } = zstdLayer([{ path: 'a', content: 'b'.repeat(70_000) }]);
    expect(Buffer.from(content as Uint8Array).readUInt32LE(0)).toBe(0xfd2fb528);
    expect(schema1Image('old').descriptor.mediaType).toBe(mediaTypes.dockerSchema1Signed);
    expect((await syntheticLayer('seed', 100)).descriptor.size).toBe(100);
  });

  it('go to two servers, under the names that the charts expect', async () => {
    const open = await startRegistryServer({ manners: 'plain' });
    const closed = await startRegistryServer({ manners: 'plain' });
    servers.push(open, closed);
    await pushSampleImages({ open, private: closed });
    const hosts = { open: 'open.example', private: 'closed.example' };
    for (const reference of Object.values(sampleReferences(hosts)).flat()) {
      const [, host, repository = '', tag = ''] = /^(?:([^/]+\.example)\/)?([^:]+):([^@]+)/.exec(reference) ?? [];
      const server = host === hosts.private ? closed : open;
      expect(server.manifest(repository, tag), reference).toBeDefined();
    }
  });
});

describe('synthetic content', () => {
  it('is the same from any starting point', async () => {
    const content = { seed: 'seed', size: 700_001 };
    const read = async (start?: number, end?: number): Promise<Buffer> => {
      const chunks: Buffer[] = [];
      for await (const chunk of readSynthetic(content, start, end)) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks);
    };
    const whole = await read();
    expect(whole.length).toBe(700_001);
    for (const [start, end] of [
      [0, 0],
      [15, 17],
      [262_143, 524_289],
      [700_000, 700_000],
    ] as const) {
      expect(await read(start, end)).toEqual(whole.subarray(start, end + 1));
    }
    expect(await digestOfSynthetic(content)).toBe(`sha256:${createHash('sha256').update(whole).digest('hex')}`);
    expect(await digestOfSynthetic({ ...content, seed: 'other' })).not.toBe(await digestOfSynthetic(content));
  });
});

describe('sample charts', () => {
  it('are the same every time', () => {
    expect(sampleCharts().map(({ file }) => file)).toContain('agent-1.0.0+build.7.tgz');
    expect(sampleCharts()).toEqual(sampleCharts());
  });

  it('come with data files that the module itself accepts, for all of them', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'samples-'));
    try {
      const dockerMappings = { default: '127.0.0.1:5000' };
      const files = sampleDataFiles({ chartRepository: 'https://charts.example.com', dockerMappings });
      await writeFile(join(directory, 'default.yaml'), files.defaults);
      await writeFile(join(directory, '1.34.yaml'), files.version);
      const set = await loadDataFiles({ directories: { shippedDirectory: directory }, eksVersion: '1.34' });
      expect([...set.charts.keys()].sort()).toEqual(Object.keys(sampleReferences()).sort());
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
