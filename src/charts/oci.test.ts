import { describe, expect, it } from 'vitest';
import { memoryStore } from '../layout/memory.ts';
import { digestOf } from '../model/digest.ts';
import type { ManifestContent } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import type { ReadStore, WriteStore } from '../model/store.ts';
import { chartFetcher, type FetchChart } from './fetch.ts';
import { packageChart } from './package.ts';
import { chartAtTarget } from './target.ts';
import { calm, chartOf, downloadsWith } from './test-support.ts';

async function put(
  store: WriteStore,
  repository: string,
  tag: string,
  pushed: ReturnType<typeof packageChart>,
): Promise<void> {
  for (const { descriptor, bytes } of pushed.blobs) {
    const start = await store.startUpload(repository, descriptor.digest, undefined, calm());
    if (start.kind === 'upload') await store.finishUpload(start.session, descriptor, bytes, calm());
  }
  await store.writeManifest(repository, tag, pushed.manifest, calm());
}

function manifestOf(json: object, mediaType: string = mediaTypes.ociManifest): ManifestContent {
  const bytes = Buffer.from(JSON.stringify(json));
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes };
}

const versions = ['1.0.0', '1.1.0+b.1', 'v1.2.0', '2.0.0-rc.1'];

async function filled(): Promise<WriteStore> {
  const store = memoryStore('registry.example');
  for (const version of versions) {
    const provenance = version === '1.0.0' ? Buffer.from('signed') : undefined;
    const pushed = packageChart({ archive: chartOf('app', version), provenance });
    await put(store, 'charts/app', pushed.tag, pushed);
  }
  return store;
}

function fetcher(store: ReadStore): FetchChart {
  return chartFetcher({ downloads: downloadsWith(), store: () => store });
}

describe('charts from OCI registries', () => {
  it.each([
    ['1.0.0', '1.0.0', '1.0.0'],
    ['1.1.0+b.1', '1.1.0+b.1', '1.1.0_b.1'],
    ['1.1.0', '1.1.0+b.1', '1.1.0_b.1'],
    ['1.2.0', 'v1.2.0', 'v1.2.0'],
    ['v1.0.0', '1.0.0', '1.0.0'],
    ['^1.0.0', 'v1.2.0', 'v1.2.0'],
    ['>=1.0.0-0', '2.0.0-rc.1', '2.0.0-rc.1'],
    ['', 'v1.2.0', 'v1.2.0'],
  ])('are found by version: %j is %j, tagged %j', async (wanted, version, reference) => {
    const store = await filled();
    const repository = 'oci://registry.example/charts';
    const chart = await fetcher(store)({ name: 'app', repository, version: wanted }, calm());
    expect(chart).toMatchObject({
      version,
      chart: { name: 'app', version },
      digest: digestOf(chartOf('app', version)),
      source: { kind: 'oci', registry: 'registry.example', repository: 'charts/app', reference },
    });
    const content = await store.readManifest('charts/app', reference, calm());
    expect(chart.source).toMatchObject({ digest: content.descriptor.digest, content: { bytes: content.bytes } });
    expect(chart.provenance === undefined).toBe(version !== '1.0.0');
  });

  it('may be named by their own address as well as by that of their parent', async () => {
    const wanted = { name: 'app', repository: 'oci://registry.example/charts/app', version: '1.0.0' };
    await expect(fetcher(await filled())(wanted, calm())).resolves.toMatchObject({ version: '1.0.0' });
    const store = memoryStore('registry.example');
    await put(store, 'app/app', '1.0.0', packageChart({ archive: chartOf('app', '1.0.0') }));
    const doubled = { name: 'app', repository: 'oci://registry.example/app/', version: '1.0.0' };
    await expect(fetcher(store)(doubled, calm())).resolves.toMatchObject({ source: { repository: 'app/app' } });
  });

  it('that are not there are told with what is', async () => {
    const store = await filled();
    const repository = 'oci://registry.example/charts';
    await expect(fetcher(store)({ name: 'app', repository, version: '9.9.9' }, calm())).rejects.toMatchObject({
      code: 'not-found',
      side: 'source',
      message:
        'chart app has no version "9.9.9" in oci://registry.example/charts/app; there are 2.0.0-rc.1, v1.2.0, 1.1.0+b.1, 1.0.0',
    });
    await expect(fetcher(store)({ name: 'none', repository, version: '1.0.0' }, calm())).rejects.toMatchObject({
      code: 'not-found',
    });
    for (const bad of ['oci://registry.example', 'oci://', 'oci://user@host/x', 'oci://host/UPPER'])
      await expect(fetcher(store)({ name: 'app', repository: bad, version: '1' }, calm())).rejects.toMatchObject({
        code: 'configuration',
      });
  });

  it('are read out of an index, which is kept as it is', async () => {
    const store = memoryStore('registry.example');
    const pushed = packageChart({ archive: chartOf('app', '1.0.0') });
    await put(store, 'app', pushed.manifest.descriptor.digest, pushed);
    const index = manifestOf({ schemaVersion: 2, manifests: [pushed.manifest.descriptor] }, mediaTypes.ociIndex);
    await store.writeManifest('app', '1.0.0', index, calm());
    const wanted = { name: 'app', repository: 'oci://registry.example/app', version: '1.0.0' };
    await expect(fetcher(store)(wanted, calm())).resolves.toMatchObject({
      chart: { name: 'app' },
      source: { digest: index.descriptor.digest },
    });
  });

  it('are refused when they are images, or lie', async () => {
    const wanted = { name: 'app', repository: 'oci://registry.example/app', version: '1.0.0' };
    const pushed = packageChart({ archive: chartOf('app', '1.0.0') });
    const [config, layer] = pushed.blobs;
    const described = { schemaVersion: 2, config: config?.descriptor, layers: [layer?.descriptor] };
    const cases = [
      [
        { ...described, config: { ...config?.descriptor, mediaType: mediaTypes.ociConfig } },
        'unsupported',
        /config is application\/vnd\.oci\.image\.config/,
      ],
      [
        { ...described, layers: [{ ...layer?.descriptor, mediaType: mediaTypes.ociLayerGzip }] },
        'unsupported',
        /no chart layer/,
      ],
      [{ ...described, layers: [{ ...layer?.descriptor, size: 5 }] }, 'corrupt', /not what its manifest says/],
      [{ ...described, layers: [{ ...layer?.descriptor, size: 10 ** 9 }] }, 'refused', /1000000000 bytes/],
    ] as const;
    for (const [json, code, message] of cases) {
      const store = memoryStore('registry.example');
      await put(store, 'app', 'other', pushed);
      // The lie is in the answer: the store itself would not take it.
      const lying: ReadStore = {
        name: store.name,
        resolve: (...asked) => store.resolve(...asked),
        readManifest: () => Promise.resolve(manifestOf(json)),
        openBlob: (...asked) => store.openBlob(...asked),
        listReferrers: (...asked) => store.listReferrers(...asked),
        listTags: (...asked) => store.listTags(...asked),
      };
      await expect(fetcher(lying)(wanted, calm())).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message) as string,
      });
    }
  });
});

describe('a chart at the target', () => {
  const archive = chartOf('app', '1.0.0');
  const archiveDigest = digestOf(archive);

  it('is absent, the same, or different, by its archive', async () => {
    const store = memoryStore('target');
    expect(await chartAtTarget(store, 'p/app', '1.0.0', archiveDigest, calm())).toEqual({ kind: 'absent' });
    const pushed = packageChart({ archive });
    await put(store, 'p/app', '1.0.0', pushed);
    expect(await chartAtTarget(store, 'p/app', '1.0.0', archiveDigest, calm())).toEqual({
      kind: 'same',
      digest: pushed.manifest.descriptor.digest,
    });
    await put(store, 'p/app', '1.0.0', packageChart({ archive: chartOf('app', '1.0.0', { 'values.yaml': 'a: 1\n' }) }));
    expect(await chartAtTarget(store, 'p/app', '1.0.0', archiveDigest, calm())).toMatchObject({ kind: 'different' });
  });

  it('is the same when another pusher stamped its manifest', async () => {
    const store = memoryStore('target');
    const pushed = packageChart({ archive });
    const json = JSON.parse(Buffer.from(pushed.manifest.bytes).toString()) as { annotations: object };
    const stamped = manifestOf({
      ...json,
      annotations: { ...json.annotations, 'org.opencontainers.image.created': 'x' },
    });
    await put(store, 'p/app', '1.0.0', { ...pushed, manifest: stamped });
    expect(await chartAtTarget(store, 'p/app', '1.0.0', archiveDigest, calm())).toEqual({
      kind: 'same',
      digest: stamped.descriptor.digest,
    });
  });

  it('is different when an image has its tag, and unknown when the target does not answer', async () => {
    const store = memoryStore('target');
    const index = manifestOf({ schemaVersion: 2, manifests: [] }, mediaTypes.ociIndex);
    await store.writeManifest('p/app', '1.0.0', index, calm());
    expect(await chartAtTarget(store, 'p/app', '1.0.0', archiveDigest, calm())).toMatchObject({ kind: 'different' });
    const broken: ReadStore = Object.create(store, {
      readManifest: { value: () => Promise.reject(new Error('no answer')) },
    }) as ReadStore; // the store with one method replaced
    await expect(chartAtTarget(broken, 'p/app', '1.0.0', archiveDigest, calm())).rejects.toThrow('no answer');
  });
});
