import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { noCredentials } from '../src/model/credentials.ts';
import { directNetwork } from '../src/model/network.ts';
import type { CopyResult, Failure, Outcome } from '../src/model/result.ts';
import type { WriteStore } from '../src/model/store.ts';
import { type PacerClock, systemClock } from '../src/registry/clock.ts';
import { registryStore, type RegistryOptions } from '../src/registry/store.ts';
import { createTransport, type Transport, type TransportOptions } from '../src/registry/transport.ts';
import { newProgressCounters, type RunEvent } from '../src/report/events.ts';
import { buildImage, type ImageContent } from '../src/testing/image-builder.ts';
import { baseLayer, type Layer, syntheticLayer, tarLayer } from '../src/testing/image-layers.ts';
import {
  type RegistryServer,
  type RegistryServerOptions,
  startRegistryServer,
} from '../src/testing/registry-server.ts';
import { copyArtifacts } from '../src/copy/copy.ts';
import type { CopyOptions, CopyRequest } from '../src/copy/request.ts';

/** For tests only: the copier with the real registry client, and registries on local ports to copy between. */

/** A registry and the store that leads to it. */
export interface Place {
  readonly server: RegistryServer;
  readonly store: WriteStore;
}

export interface TestWorld {
  readonly transport: Transport;
  /** What the run reported so far, in order. */
  readonly events: RunEvent[];
  readonly spoolDirectory: string;
  registry(server?: Partial<RegistryServerOptions>, store?: Partial<RegistryOptions>): Promise<Place>;
  copy(requests: readonly CopyRequest[], over?: Partial<CopyOptions>): Promise<CopyResult>;
}

/** Time that runs so many times as fast: the pauses of production in a test that is quick. */
export function fastClock(factor: number): PacerClock {
  return {
    ...systemClock,
    now: () => performance.now() * factor,
    after: (ms, callback) => systemClock.after(ms / factor, callback),
  };
}

/** For tests that count requests: a machine that stands still for a second must not make more of them. */
export const patient = {
  timeouts: { idleMs: 30_000, headersMs: 30_000, connectMs: 30_000, answerMs: 30_000 },
} as const satisfies Partial<TransportOptions>;

/** Everything that a test needs, taken away when the test has ended. */
export async function testWorld(options: Partial<TransportOptions> = {}): Promise<TestWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'test-world-'));
  const events: RunEvent[] = [];
  const reporter = { emit: (event: RunEvent) => void events.push(event) };
  const transport = createTransport({
    network: directNetwork,
    reporter,
    clock: fastClock(20),
    timeouts: { idleMs: 400, headersMs: 1_000, connectMs: 1_000, answerMs: 1_000 },
    ...options,
  });
  const servers: RegistryServer[] = [];
  onTestFinished(async () => {
    await transport.close();
    await Promise.all(servers.map((server) => server.close()));
    await rm(folder, { recursive: true, force: true });
  });
  const spoolDirectory = join(folder, 'spool');
  return {
    transport,
    events,
    spoolDirectory,
    async registry(server = {}, store = {}) {
      const started = await startRegistryServer({ manners: 'plain', ...server });
      servers.push(started);
      const made = registryStore(transport, started.host, { credentials: noCredentials, ...store });
      return { server: started, store: made };
    },
    copy: (requests, over = {}) =>
      copyArtifacts(requests, {
        reporter,
        counters: newProgressCounters(),
        signal: new AbortController().signal,
        spoolDirectory,
        ...over,
      }),
  };
}

/** A request for `app:1` of the source, to `mirror/app:1` of the target. */
export function copyOf(source: Place, target: Place, repository = 'app', reference = '1'): CopyRequest {
  return {
    artifact: `${repository}:${reference}`,
    source: { store: source.store, repository, reference },
    targets: [{ store: target.store, repository: `mirror/${repository}`, reference }],
    platforms: 'all',
  };
}

/** Two platforms, a base layer that all images share, and a small layer of the image's own. */
export function smallImage(name: string): ImageContent {
  return buildImage({ name });
}

/** One manifest with just this layer. */
export function oneLayerImage(name: string, layer: Layer): ImageContent {
  return buildImage({ name, platforms: ['linux/amd64'], index: false, layers: () => [layer] });
}

/** One manifest with one layer of its own. */
export function tinyImage(name: string): ImageContent {
  return oneLayerImage(name, tarLayer([{ path: 'own', content: name }]));
}

/** Two platforms, with no layer that another image has. */
export function ownLayers(name: string): ImageContent {
  return buildImage({ name, layers: (platform) => [tarLayer([{ path: 'own', content: `${name} ${platform}` }])] });
}

/** The same with a layer for each platform that is too large to be held in memory, and does not compress. */
export async function largeImage(name: string, bytes = 1_500_000): Promise<ImageContent> {
  const platforms = ['linux/amd64', 'linux/arm64'];
  const layers = new Map<string, readonly Layer[]>();
  for (const platform of platforms)
    layers.set(platform, [baseLayer(), await syntheticLayer(`${name} ${platform}`, bytes)]);
  return buildImage({ name, platforms, layers: (platform) => layers.get(platform) ?? [] });
}

/** Puts so many small images into the source; returns them with the requests that copy them. */
export async function manyImages(
  source: Place,
  target: Place,
  count: number,
  name = 'app',
  make: (name: string) => ImageContent = smallImage,
): Promise<readonly { readonly image: ImageContent; readonly request: CopyRequest }[]> {
  const many = Array.from({ length: count }, (_, n) => {
    const repository = `${name}-${n}`;
    return { repository, image: make(repository), request: copyOf(source, target, repository) };
  });
  for (const { repository, image } of many) await source.server.putImage(repository, '1', image);
  return many;
}

/** Nothing is lost: tag, manifests and blobs of the image are at the target. Nothing is wrong: see `damageOf`. */
export async function expectHeld(
  { server }: Place,
  image: ImageContent,
  repository = 'mirror/app',
  tag = '1',
): Promise<void> {
  expect(server.manifest(repository, tag)?.descriptor.digest).toBe(image.digest);
  for (const { descriptor, bytes } of image.manifests)
    expect(server.manifest(repository, descriptor.digest)?.bytes).toEqual(bytes);
  expect([...image.blobs.keys()].filter((digest) => !server.hasBlob(repository, digest))).toEqual([]);
  expect(await server.damage()).toEqual([]);
}

export function failuresOf(outcomes: readonly Outcome[]): readonly Failure[] {
  return outcomes.flatMap((outcome) => (outcome.kind === 'failed' ? outcome.failures : []));
}

export function kindsOf(outcomes: readonly Outcome[]): readonly string[] {
  return outcomes.map(({ kind }) => kind);
}
