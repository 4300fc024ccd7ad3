import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { CredentialSource } from '../model/credentials.ts';
import { digestOf } from '../model/digest.ts';
import { directNetwork } from '../model/network.ts';
import type { WriteStore } from '../model/store.ts';
import { registryStore } from '../registry/store.ts';
import { createTransport, type Transport } from '../registry/transport.ts';
import { newProgressCounters, type RunEvent, silentReporter } from '../report/events.ts';
import type { FaultRule } from '../testing/faults.ts';
import {
  buildImage,
  type ImageContent,
  indexOf,
  schema1Image,
  withCosignTag,
  withReferrer,
} from '../testing/image-builder.ts';
import {
  baseLayer,
  type Layer,
  emptyLayer,
  foreignLayer,
  sha512Layer,
  tarLayer,
  zeroLayer,
  zstdLayer,
} from '../testing/image-layers.ts';
import { type RegistryServer, type RegistryServerOptions, startRegistryServer } from '../testing/registry-server.ts';
import { copyArtifacts } from './copy.ts';
import type { CopyOptions, CopyRequest } from './request.ts';
import { verifyArtifacts } from './verify.ts';

/** The copier with the real registry client, between servers with the manners of distribution and of ECR. */
const never = new AbortController().signal;
const login = { username: 'robot', password: 'only-for-this-test' };
const credentials: CredentialSource = { credentialFor: () => Promise.resolve({ kind: 'basic', ...login }) };
let folder = '';
let transport: Transport;
const open: RegistryServer[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'over-http-'));
  transport = createTransport({
    network: directNetwork,
    reporter: silentReporter,
    retry: { attempts: 5, baseMs: 5, maxMs: 50 },
    timeouts: { idleMs: 400, headersMs: 30_000, connectMs: 30_000 },
  });
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});
afterAll(async () => {
  await transport.close();
  await rm(folder, { recursive: true, force: true });
});

async function start(options: RegistryServerOptions): Promise<RegistryServer> {
  const server = await startRegistryServer(options);
  open.push(server);
  return server;
}

interface Pair {
  readonly source: RegistryServer;
  readonly target: RegistryServer;
  readonly from: WriteStore;
  readonly to: WriteStore;
}

async function pair(
  source: Partial<RegistryServerOptions> = {},
  target: Partial<RegistryServerOptions> = {},
): Promise<Pair> {
  const [left, right] = [await start({ manners: 'plain', ...source }), await start({ manners: 'plain', ...target })];
  return {
    source: left,
    target: right,
    from: registryStore(transport, left.host, { credentials }),
    to: registryStore(transport, right.host, { credentials }),
  };
}

const options = (over: Partial<CopyOptions> = {}): CopyOptions => ({
  reporter: silentReporter,
  counters: newProgressCounters(),
  signal: never,
  spoolDirectory: join(folder, 'spool'),
  ...over,
});

function request({ from, to }: Pair, over: Partial<CopyRequest> = {}): CopyRequest {
  return {
    artifact: 'app:1',
    source: { store: from, repository: 'app', reference: '1' },
    targets: [{ store: to, repository: 'mirror/app', reference: '1' }],
    platforms: 'all',
    ...over,
  };
}

/** Copies, then has the target prove it. */
async function copied(world: Pair, image: ImageContent, over: Partial<CopyOptions> = {}): Promise<readonly string[]> {
  const result = await copyArtifacts([request(world)], options(over));
  expect(result.outcomes.flatMap((outcome) => (outcome.kind === 'failed' ? outcome.failures : []))).toEqual([]);
  for (const manifest of image.manifests) {
    if (manifest.descriptor.mediaType.includes('.v1+prettyjws')) continue;
    expect(world.target.manifest('mirror/app', manifest.descriptor.digest)?.bytes).toEqual(manifest.bytes);
  }
  expect(
    await verifyArtifacts(
      [
        {
          artifact: 'app',
          digest: image.digest,
          targets: [{ store: world.to, repository: 'mirror/app', reference: '1' }],
        },
      ],
      { signal: never },
    ),
  ).toEqual([]);
  return result.notices;
}

describe('every kind of image', () => {
  const layered = (...layers: readonly Layer[]): ImageContent => buildImage({ name: 'odd', layers: () => layers });
  it.each<[string, ImageContent]>([
    ['an OCI index', buildImage({ name: 'a' })],
    ['a Docker manifest list', buildImage({ name: 'b', format: 'docker' })],
    ['a single manifest', buildImage({ name: 'c', platforms: ['linux/amd64'], index: false })],
    ['a nested index', buildImage({ name: 'd', nested: true })],
    ['attestations', buildImage({ name: 'e', attestations: true })],
    [
      'empty, duplicate and zero-byte layers',
      layered(baseLayer(), emptyLayer(), emptyLayer(), zeroLayer(), baseLayer()),
    ],
    ['a zstd layer', layered(zstdLayer([{ path: 'x', content: 'y' }]))],
    ['a sha512 layer', layered(sha512Layer([{ path: 'x', content: 'y' }]))],
    ['a large layer', layered(tarLayer([{ path: 'big', content: 'abcdefgh'.repeat(700_000) }]))],
  ])('copies %s byte for byte', async (_name, image) => {
    const world = await pair();
    await world.source.putImage('app', '1', image);
    await copied(world, image);
  });

  it('copies unknown media types inside an index as what the registry says they are', async () => {
    const world = await pair();
    const plain = buildImage({ name: 'x', platforms: ['linux/amd64'], index: false });
    const strange = {
      ...plain,
      descriptor: { ...plain.descriptor, mediaType: 'application/vnd.example.thing.v7+json' },
    };
    const image = indexOf([buildImage({ name: 'y' }), strange]);
    await world.source.putImage('app', '1', image);
    await copied(world, image);
  });

  it('brings signature tags and referrers along, with the fallback tag where the target has no referrers interface', async () => {
    for (const referrersApi of [true, false]) {
      const world = await pair({ referrersApi: true }, { referrersApi });
      const image = withReferrer(withCosignTag(buildImage({ name: 'signed' })));
      await world.source.putImage('app', '1', image);
      await copied(world, image);
      const listed = await world.to.listReferrers('mirror/app', image.digest, never);
      expect(listed.map((entry) => entry.artifactType)).toEqual(['application/vnd.example.sbom.v1+json']);
      expect(world.target.tags('mirror/app')).toContain(`${image.digest.replace(':', '-')}.sig`);
    }
  });

  it('fetches a foreign layer where the registry has it, else leaves it and says so', async () => {
    const bytes = Buffer.from('windows base layer');
    for (const held of [true, false]) {
      const world = await pair();
      const layer = foreignLayer(bytes, ['https://mcr.example.com/layer']);
      const image = buildImage({ name: 'win', format: 'docker', layers: () => [layer] });
      const blobs = held
        ? new Map([...image.blobs, [layer.descriptor.digest, bytes] as const])
        : new Map([...image.blobs].filter(([digest]) => digest !== layer.descriptor.digest));
      await world.source.putImage('app', '1', { ...image, blobs });
      const notices = await copied(world, image);
      expect(world.target.hasBlob('mirror/app', layer.descriptor.digest)).toBe(held);
      expect(notices.length > 0).toBe(!held);
    }
  });

  it('refuses schema 1 clearly', async () => {
    const world = await pair();
    await world.source.putImage('app', '1', schema1Image('app'));
    const [outcome] = (await copyArtifacts([request(world)], options())).outcomes;
    expect(outcome).toMatchObject({
      kind: 'failed',
      failures: [{ side: 'source', code: 'unsupported', cause: expect.stringContaining('schema 1') as string }],
    });
  });

  it('reports a target that refuses sha512 as such', async () => {
    const world = await pair({}, { manners: 'ecr', auth: { kind: 'none' } });
    world.target.createRepository('mirror/app');
    await world.source.putImage(
      'app',
      '1',
      buildImage({ name: 'h', layers: () => [sha512Layer([{ path: 'x', content: 'y' }])] }),
    );
    const [outcome] = (await copyArtifacts([request(world)], options())).outcomes;
    expect(outcome).toMatchObject({ kind: 'failed', failures: [{ side: 'target', code: 'unsupported' }] });
  });
});

describe('both kinds of registry', () => {
  it('copies out of bearer tokens that expire at once, into ECR without mounts', async () => {
    const world = await pair(
      { auth: { kind: 'bearer', ...login, expiresIn: 1, separateTokenServer: true } },
      { manners: 'ecr', auth: { kind: 'none' }, manifestPutRate: { perSecond: 200, burst: 2 } },
    );
    world.target.createRepository('mirror/app');
    const image = withCosignTag(buildImage({ name: 'secured' }));
    await world.source.putImage('app', '1', image);
    world.source.fail({ class: 'blob-get', skip: 1, fault: { kind: 'expire-tokens' } });
    await copied(world, image);
  });

  it('follows redirects to storage that refuses Authorization', async () => {
    const world = await pair({ auth: { kind: 'basic', ...login }, blobRedirect: true });
    const image = buildImage({ name: 'redirected' });
    await world.source.putImage('app', '1', image);
    await copied(world, image);
  });
});

describe('signatures', () => {
  const sigOf = (image: ImageContent): string => `${image.digest.replace(':', '-')}.sig`;

  it('brings with the next run what failed in this one: the tag comes last', async () => {
    const world = await pair();
    const image = withCosignTag(buildImage({ name: 'signed' }));
    await world.source.putImage('app', '1', image);
    world.target.fail({ class: 'manifest-put', reference: sigOf(image), fault: { kind: 'status', status: 403 } });
    const [first] = (await copyArtifacts([request(world)], options())).outcomes;
    expect(first?.kind).toBe('failed');
    expect(world.target.tags('mirror/app')).toEqual([]);
    await copied(world, image);
    expect([...world.target.tags('mirror/app')].sort()).toEqual(['1', sigOf(image)]);
  });

  it('brings a signature that came after the image, where it is told to look', async () => {
    const world = await pair();
    const image = buildImage({ name: 'later' });
    await world.source.putImage('app', '1', image);
    await copied(world, image);
    await world.source.putImage('app', '1', withCosignTag(image));
    const [still] = (await copyArtifacts([request(world)], options())).outcomes;
    expect(still?.kind).toBe('unchanged');
    const [found] = (await copyArtifacts([request(world)], options({ refreshReferrers: true }))).outcomes;
    expect(found?.kind).toBe('copied');
    expect(world.target.tags('mirror/app')).toContain(sigOf(image));
    const [done] = (await copyArtifacts([request(world)], options({ refreshReferrers: true }))).outcomes;
    expect(done?.kind).toBe('unchanged');
  });
});

describe('hostile and slow sources', () => {
  it('refuses an index of thousands of manifests, and copies the others', async () => {
    const world = await pair();
    const child = buildImage({ name: 'c', platforms: ['linux/amd64'], index: false });
    const children = Array.from({ length: 2_100 }, (_, n) => ({
      ...child,
      manifests: [],
      blobs: new Map(),
      descriptor: { ...child.descriptor, digest: digestOf(`child ${n}`) },
    }));
    const huge = indexOf(children);
    world.source.putManifest('app', '1', huge.manifests.at(-1)?.bytes ?? Buffer.of(), huge.descriptor.mediaType);
    await world.source.putImage('good', '1', buildImage({ name: 'good' }));
    const good = request(world, {
      artifact: 'good',
      source: { store: world.from, repository: 'good', reference: '1' },
      targets: [{ store: world.to, repository: 'mirror/good', reference: '1' }],
    });
    const { outcomes } = await copyArtifacts([request(world), good], options());
    expect(outcomes).toMatchObject([
      { kind: 'failed', failures: [{ code: 'refused', side: 'source' }] },
      { kind: 'copied' },
    ]);
    expect(world.source.count('manifest-get')).toBeLessThan(10);
  });

  it('does not let one slow source hold the others up', async () => {
    const [slow, quick] = [await pair(), await pair()];
    const image = buildImage({ name: 'x' });
    await slow.source.putImage('app', '1', image);
    await quick.source.putImage('app', '1', image);
    const order: string[] = [];
    const run = (): Promise<void> => vi.waitUntil(() => order.length > 0, { timeout: 20_000 }).then(() => undefined);
    slow.source.fail({ class: 'manifest-get', fault: { kind: 'call', run } });
    const reporter = {
      emit: (event: RunEvent) => {
        if (event.type === 'artifact-finished') order.push(event.outcome.artifact);
      },
    };
    const requests = [request(slow, { artifact: 'slow' }), request(quick, { artifact: 'quick' })];
    const { outcomes } = await copyArtifacts(requests, options({ lookupPatienceMs: 100, reporter }));
    expect(outcomes.map((outcome) => `${outcome.artifact} ${outcome.kind}`)).toEqual(['slow copied', 'quick copied']);
    expect(order).toEqual(['quick', 'slow']);
  });
});

describe('faults', () => {
  const large = (): ImageContent =>
    buildImage({
      name: 'faulty',
      layers: (platform) => [baseLayer(), tarLayer([{ path: 'big', content: platform.repeat(200_000) }])],
    });
  const source: [string, FaultRule][] = [
    [
      '429 with Retry-After',
      { class: 'blob-get', times: 3, fault: { kind: 'status', status: 429, headers: { 'Retry-After': '0' } } },
    ],
    [
      '429 without Retry-After on manifests',
      { class: 'manifest-get', times: 2, fault: { kind: 'status', status: 429 } },
    ],
    ['503', { class: 'blob-get', times: 2, fault: { kind: 'status', status: 503 } }],
    ['500 on HEAD', { class: 'manifest-head', times: 2, fault: { kind: 'status', status: 500 } }],
    ['a reset before the answer', { class: 'blob-get', times: 2, fault: { kind: 'reset', when: 'request' } }],
    ['a reset in the middle', { class: 'blob-get', times: 2, fault: { kind: 'reset', when: 'answer', bytes: 700 } }],
    ['a short body', { class: 'blob-get', times: 2, fault: { kind: 'truncate', bytes: 100, honest: true } }],
    ['a corrupted byte', { class: 'blob-get', times: 2, fault: { kind: 'corrupt' } }],
    ['a stall', { class: 'blob-get', times: 1, fault: { kind: 'stall', milliseconds: 1_500, bytes: 50 } }],
    ['a body that is too long', { class: 'blob-get', times: 1, fault: { kind: 'extend', bytes: 30 } }],
    ['a wrong Content-Length', { class: 'blob-get', times: 1, fault: { kind: 'content-length', delta: -10 } }],
  ];
  const target: [string, FaultRule][] = [
    ['429 on manifest PUT', { class: 'manifest-put', times: 4, fault: { kind: 'status', status: 429 } }],
    ['500 on upload PUT', { class: 'upload-put', times: 2, fault: { kind: 'status', status: 500 } }],
    ['429 on upload PUT', { class: 'upload-put', times: 1, fault: { kind: 'status', status: 429 } }],
    ['503 on upload POST', { class: 'upload-start', times: 2, fault: { kind: 'status', status: 503 } }],
    [
      'a reset while the body is sent',
      { class: 'upload-put', times: 2, fault: { kind: 'reset', when: 'request-body', bytes: 500 } },
    ],
    ['a reset after the upload was taken', { class: 'upload-put', times: 2, fault: { kind: 'reset', when: 'after' } }],
    [
      'a reset after the manifest was taken',
      { class: 'manifest-put', times: 2, fault: { kind: 'reset', when: 'after' } },
    ],
    ['an early refusal', { class: 'upload-put', times: 2, fault: { kind: 'status', status: 500, early: true } }],
    ['a relative Location', { class: 'upload-start', times: 'always', fault: { kind: 'location', form: 'relative' } }],
    ['an absolute Location', { class: 'upload-start', times: 'always', fault: { kind: 'location', form: 'absolute' } }],
    ['a Location with a query', { class: 'upload-start', times: 'always', fault: { kind: 'location', form: 'query' } }],
    [
      'a blob that vanishes after it was stored',
      { class: 'upload-put', skip: 1, times: 1, fault: { kind: 'drop-blob', when: 'after' } },
    ],
  ];

  it.each(source)('survives %s at the source', async (_name, rule) => {
    const world = await pair();
    const image = large();
    await world.source.putImage('app', '1', image);
    world.source.fail(rule);
    await copied(world, image);
  });

  it.each(target)('survives %s at the target', async (_name, rule) => {
    const world = await pair();
    const image = large();
    await world.source.putImage('app', '1', image);
    world.target.fail(rule);
    await copied(world, image);
  });

  it('lists what a source refuses for good with side, host and status, and does not hammer it', async () => {
    const world = await pair();
    await world.source.putImage('app', '1', large());
    world.source.fail({
      class: 'blob-get',
      times: 'always',
      fault: { kind: 'status', status: 403, body: '{"errors":[{"code":"DENIED","message":"not for you"}]}' },
    });
    const [outcome] = (await copyArtifacts([request(world)], options())).outcomes;
    expect(outcome).toMatchObject({
      kind: 'failed',
      failures: [
        {
          side: 'source',
          code: 'denied',
          host: world.source.host,
          cause: expect.stringContaining('not for you') as string,
        },
      ],
    });
    expect(world.source.count('blob-get')).toBeLessThan(20);
    expect(world.target.count('manifest-put')).toBe(0);
  });
});
