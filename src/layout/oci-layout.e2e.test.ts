import { execFile } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeWith, requireTool } from '../../test/tools.ts';
import { copyArtifacts } from '../copy/copy.ts';
import { digestHex, digestOf } from '../model/digest.ts';
import type { WriteStore } from '../model/store.ts';
import { newProgressCounters, silentReporter } from '../report/events.ts';
import { buildImage, type ImageContent } from '../testing/image-builder.ts';
import { memoryStore } from './memory.ts';
import { openOciLayout } from './oci-layout.ts';

const signal = new AbortController().signal;
setMaxListeners(0, signal);
const images: Readonly<Record<string, ImageContent>> = {
  'demo-oci': buildImage({ name: 'oci', attestations: true }),
  'demo-single': buildImage({ name: 'single', platforms: ['linux/arm64'], index: false }),
  'demo-docker/list': buildImage({ name: 'list', format: 'docker' }),
  'demo-docker/single': buildImage({ name: 'one', format: 'docker', platforms: ['linux/amd64'], index: false }),
  'registry.example:5000/nested': buildImage({ name: 'nested', nested: true }),
};

async function fill(store: WriteStore, repository: string, image: ImageContent): Promise<void> {
  for (const [digest, content] of image.blobs) {
    if (!(content instanceof Uint8Array)) throw new Error('these images are small');
    const start = await store.startUpload(repository, digest, undefined, signal);
    if (start.kind === 'mounted') continue;
    await store.finishUpload(start.session, { mediaType: '', digest, size: content.length }, content, signal);
  }
  for (const manifest of image.manifests) {
    const top = manifest.descriptor.digest === image.digest;
    await store.writeManifest(repository, top ? '1.0' : manifest.descriptor.digest, manifest, signal);
  }
}

describeWith(['skopeo'], 'an image layout in other hands', () => {
  let root: string;
  let bundle: string;
  const skopeo = async (...args: string[]): Promise<Buffer> => {
    const options = { encoding: 'buffer', cwd: root } as const;
    return (await promisify(execFile)(requireTool('skopeo'), args, options)).stdout;
  };

  beforeAll(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'skopeo-'));
    bundle = path.join(root, 'bundle');
    const [source, target] = [memoryStore('source'), await openOciLayout(bundle)];
    for (const [repository, image] of Object.entries(images)) await fill(source, repository, image);
    const requests = Object.entries(images).flatMap(([repository, { digest }]) => [
      {
        artifact: repository,
        source: { store: source, repository, reference: '1.0' },
        targets: [{ store: target, repository, reference: '1.0' }],
        platforms: 'all' as const,
      },
      {
        artifact: `${repository} by digest`,
        source: { store: source, repository, reference: digest },
        targets: [{ store: target, repository: `pinned/${repository.split('/').at(-1) ?? ''}`, reference: digest }],
        platforms: 'all' as const,
      },
    ]);
    const { outcomes } = await copyArtifacts(requests, {
      reporter: silentReporter,
      counters: newProgressCounters(),
      signal,
      spoolDirectory: path.join(root, 'spool'),
    });
    expect(outcomes.map((outcome) => outcome.kind)).toEqual(requests.map(() => 'copied'));
  });
  afterAll(() => rm(root, { recursive: true }));

  it.each(['demo-oci', 'demo-single'])('gives skopeo the exact manifest of %s by name', async (repository) => {
    const raw = await skopeo('inspect', '--raw', `oci:bundle:${repository}:1.0`);
    expect(digestOf(raw)).toBe(images[repository]?.digest);
  });

  it('gives skopeo an image by digest, under the reference that a registry has for it', async () => {
    const digest = images['demo-oci']?.digest ?? '';
    expect(digestOf(await skopeo('inspect', '--raw', `oci:bundle:pinned/demo-oci@${digest}`))).toBe(digest);
  });

  it.each(['demo-oci', 'demo-docker/list', 'demo-docker/single'])('lets skopeo copy a platform of %s', async (name) => {
    const to = path.join(root, name.replaceAll('/', '-'));
    await skopeo('--override-arch', 'amd64', 'copy', `oci:bundle:${name}:1.0`, `dir:${to}`);
    const copied = digestOf(await readFile(path.join(to, 'manifest.json')));
    expect(images[name]?.manifests.map((manifest) => manifest.descriptor.digest)).toContain(copied);
  });

  it('lets skopeo copy all platforms, each byte for byte', async () => {
    const to = path.join(root, 'all');
    await skopeo('copy', '--all', 'oci:bundle:demo-oci:1.0', `dir:${to}`);
    expect(digestOf(await readFile(path.join(to, 'manifest.json')))).toBe(images['demo-oci']?.digest);
    for (const { descriptor } of images['demo-oci']?.manifests.slice(0, -1) ?? []) {
      const bytes = await readFile(path.join(to, `${digestHex(descriptor.digest)}.manifest.json`));
      expect(digestOf(bytes)).toBe(descriptor.digest);
    }
  });

  it('reads what skopeo added, beside what was there', async () => {
    await skopeo('copy', 'oci:bundle:demo-single:1.0', 'oci:bundle:demo-added:2.0', '--override-arch', 'arm64');
    const store = await openOciLayout(bundle, { create: false });
    const read = await store.readManifest('demo-added', '2.0', signal);
    expect(read.descriptor.digest).toBe(images['demo-single']?.digest);
    for (const [repository, { digest }] of Object.entries(images)) {
      expect((await store.resolve(repository, '1.0', signal)).digest).toBe(digest);
    }
  });
});
