import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeWith, requireTool } from '../../test/tools.ts';
import { digestOf } from '../model/digest.ts';
import { manifestAccept, mediaTypes } from '../model/media-types.ts';
import { startChartServer } from './chart-server.ts';
import { artifactOf, buildImage, type ImageContent, jsonBlob } from './image-builder.ts';
import type { Layer } from './image-layers.ts';
import { type RegistryServer, type RegistryServerOptions, startRegistryServer } from './registry-server.ts';
import { sampleCharts, sampleReferences } from './samples.ts';

const run = promisify(execFile);
let directory: string;
const closing: { close(): Promise<void> }[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'testing-'));
});
afterEach(async () => {
  for (const each of closing.splice(0)) await each.close();
  await rm(directory, { recursive: true, force: true });
});

async function start(options: RegistryServerOptions): Promise<RegistryServer> {
  const server = await startRegistryServer(options);
  closing.push(server);
  return server;
}

describeWith(['skopeo'], 'skopeo', () => {
  it.each(['oci', 'docker'] as const)(
    'copies every platform of an image in %s format from plain to ECR',
    async (format) => {
      const source = await start({ manners: 'plain', auth: { kind: 'bearer', username: 'user', password: 'pass' } });
      const target = await start({ manners: 'ecr', auth: { kind: 'basic', username: 'AWS', password: 'token' } });
      const image = buildImage({ name: 'app', format });
      await source.putImage('team/app', 'v1', image);
      target.createRepository('app');
      const credentials = [
        '--src-creds',
        'user:pass',
        '--dest-creds',
        'AWS:token',
        '--src-tls-verify=false',
        '--dest-tls-verify=false',
      ];
      const from = `docker://${source.host}/team/app:v1`;
      await run(requireTool('skopeo'), ['copy', '--all', ...credentials, from, `docker://${target.host}/app:v1`]);
      expect(target.manifest('app', 'v1')?.descriptor.digest).toBe(image.digest);
      for (const digest of image.blobs.keys()) expect(target.hasBlob('app', digest)).toBe(true);
    },
  );
});

describe.each(['helm3', 'helm4'])('%s', (name) => {
  describeWith([name], name, () => {
    const helm = async (...args: string[]): Promise<string> => {
      const env = {
        ...process.env,
        HELM_CACHE_HOME: directory,
        HELM_CONFIG_HOME: directory,
        HELM_DATA_HOME: directory,
      };
      return (await run(requireTool(name), args, { env })).stdout;
    };

    it('reads the sample repository and renders the references that the samples promise', async () => {
      const server = await startChartServer({ charts: sampleCharts(), auth: { username: 'user', password: 'pass' } });
      closing.push(server);
      await helm('repo', 'add', 'samples', server.url, '--username', 'user', '--password', 'pass');
      for (const [chart, references] of Object.entries(sampleReferences())) {
        const rendered = await helm('template', 'release', `samples/${chart}`);
        const found = [...rendered.matchAll(/^\s*-?\s*(?:image|value): "?([^"\n]+)"?$/gm)].map(
          ([, reference]) => reference,
        );
        expect([...new Set(found)].sort(), chart).toEqual(references);
      }
    });

    it('pulls a chart from a registry with ECR’s manners', async () => {
      const server = await start({ manners: 'ecr', auth: { kind: 'none' } });
      const chart = sampleCharts().find(({ file }) => file.startsWith('web-'));
      const bytes = Buffer.from(chart?.bytes ?? '');
      const layer: Layer = {
        descriptor: { mediaType: mediaTypes.helmChart, digest: digestOf(bytes), size: bytes.length },
        content: bytes,
      };
      const config = jsonBlob({ name: 'web', version: '1.2.0' }, mediaTypes.helmConfig);
      await server.putImage('charts/web', '1.2.0', artifactOf({ config, layers: [layer] }));
      await helm('pull', `oci://${server.host}/charts/web`, '--version', '1.2.0', '--plain-http', '-d', directory);
      expect(await readFile(join(directory, 'web-1.2.0.tgz'))).toEqual(bytes);
      expect(server.count('storage-get')).toBeGreaterThan(0);
    });
  });
});

/** What a registry answers to a list of requests, as far as a client may rely on it. */
async function conversation(base: string, image: ImageContent): Promise<readonly (readonly unknown[])[]> {
  const said: (readonly unknown[])[] = [];
  const note = async (what: string, response: Response, ...headers: string[]): Promise<Response> => {
    const text = await response.clone().text();
    const code = response.status >= 400 ? /"code":"([A-Z_]+)"/.exec(text)?.[1] : undefined;
    said.push([what, response.status, code, ...headers.map((header) => response.headers.get(header))]);
    return response;
  };
  const session = async (repository: string): Promise<URL> => {
    const started = await fetch(`${base}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
    return new URL(started.headers.get('location') ?? '', base);
  };
  const withDigest = (location: URL, digest: string): URL => {
    location.searchParams.set('digest', digest);
    return location;
  };
  const digest = digestOf('content');
  await note('ping', await fetch(`${base}/v2/`), 'docker-distribution-api-version');
  await note('tags of nothing', await fetch(`${base}/v2/app/tags/list`));
  await note('manifest of nothing', await fetch(`${base}/v2/app/manifests/v1`));
  await note('blob of nothing', await fetch(`${base}/v2/app/blobs/${digest}`));
  await note('start', await fetch(`${base}/v2/app/blobs/uploads/`, { method: 'POST' }), 'range');
  const put = await fetch(withDigest(await session('app'), digest), { method: 'PUT', body: 'content' });
  await note('upload', put, 'docker-content-digest');
  await note(
    'wrong digest',
    await fetch(withDigest(await session('app'), digestOf('x')), { method: 'PUT', body: 'y' }),
  );
  const location = await session('app');
  await note('patch of text', await fetch(location, { method: 'PATCH', body: 'first ' }));
  const bytes = Buffer.from('first ');
  const type = { 'content-type': 'application/octet-stream' };
  const patched = await note('patch', await fetch(location, { method: 'PATCH', body: bytes, headers: type }), 'range');
  const next = new URL(patched.headers.get('location') ?? '', base);
  await note('status', await fetch(next), 'range');
  const rest = await fetch(withDigest(next, digestOf('first second')), { method: 'PUT', body: 'second' });
  await note('rest', rest, 'docker-content-digest');
  const blob = `${base}/v2/app/blobs/${digest}`;
  await note('head', await fetch(blob, { method: 'HEAD' }), 'content-length', 'docker-content-digest');
  await note('range', await fetch(blob, { headers: { range: 'bytes=2-4' } }), 'content-range', 'content-length');
  await note('bad range', await fetch(blob, { headers: { range: 'bytes=7-' } }));
  const mount = (from: string): Promise<Response> =>
    fetch(`${base}/v2/other/blobs/uploads/?mount=${digest}&from=${from}`, { method: 'POST' });
  await note('mount from nowhere', await mount('nowhere'));
  await note('mount', await mount('app'), 'docker-content-digest');
  const manifest = (bytes: Uint8Array, type: string, reference: string): Promise<Response> =>
    fetch(`${base}/v2/app/manifests/${reference}`, {
      method: 'PUT',
      headers: { 'content-type': type },
      body: Buffer.from(bytes),
    });
  const top = image.manifests.at(-1);
  if (top === undefined) throw new Error('no manifest');
  await note('index without children', await manifest(top.bytes, top.descriptor.mediaType, 'v1'));
  await note('not JSON', await manifest(Buffer.from('{'), mediaTypes.ociManifest, 'v1'));
  for (const [blobDigest, content] of image.blobs) {
    await fetch(withDigest(await session('app'), blobDigest), {
      method: 'PUT',
      body: Buffer.from(content as Uint8Array),
    });
  }
  for (const { bytes, descriptor } of image.manifests) {
    await note('manifest', await manifest(bytes, descriptor.mediaType, descriptor.digest), 'docker-content-digest');
  }
  await note('wrong reference', await manifest(top.bytes, top.descriptor.mediaType, digestOf('x')));
  for (const tag of ['a', 'b', 'c']) await note('tag', await manifest(top.bytes, top.descriptor.mediaType, tag));
  const headers = { accept: manifestAccept.join(', ') };
  await note('get', await fetch(`${base}/v2/app/manifests/a`, { headers }), 'content-type', 'docker-content-digest');
  await note('head manifest', await fetch(`${base}/v2/app/manifests/a`, { method: 'HEAD', headers }), 'content-length');
  await note('page', await fetch(`${base}/v2/app/tags/list?n=2`), 'link');
  await note('last page', await fetch(`${base}/v2/app/tags/list?n=2&last=b`), 'link');
  await note('referrers', await fetch(`${base}/v2/app/referrers/${image.digest}`));
  return said;
}

describeWith(['registry'], 'the plain registry beside CNCF distribution', () => {
  it('answers alike', async () => {
    const real = await startDistribution();
    closing.push(real);
    const image = buildImage({ name: 'app', attestations: true });
    const server = await start({ manners: 'plain' });
    expect(await conversation(server.url, image)).toEqual(await conversation(real.url, image));
  });
});

interface Distribution {
  readonly url: string;
  close(): Promise<void>;
}

/** A registry of its own, empty. Between looking for a free port and using it, another program may take it: then the registry ends. */
async function startDistribution(): Promise<Distribution> {
  for (let tries = 0; tries < 5; tries += 1) {
    const started = await tryDistribution(await mkdtemp(join(directory, 'distribution-')), await freePort());
    if (started !== undefined) return started;
  }
  throw new Error('distribution ended before it answered, five times');
}

async function tryDistribution(folder: string, port: number): Promise<Distribution | undefined> {
  const config = join(folder, 'config.json');
  const storage = { filesystem: { rootdirectory: join(folder, 'data') }, delete: { enabled: true } };
  await writeFile(
    config,
    JSON.stringify({ version: 0.1, storage, http: { addr: `127.0.0.1:${port}` }, log: { level: 'error' } }),
  );
  const child = spawn(requireTool('registry'), ['serve', config], { stdio: ['ignore', 'ignore', 'inherit'] });
  const exited = once(child, 'exit');
  const url = `http://127.0.0.1:${port}`;
  const close = async (): Promise<void> => {
    child.kill();
    await exited;
  };
  // However long it takes here: the test has a limit of its own.
  const runs = (): boolean => child.exitCode === null && child.signalCode === null;
  while (runs()) {
    const answer = await fetch(`${url}/v2/`).catch(() => undefined);
    // Another program's registry may be what answers.
    if (answer?.ok === true && runs()) return { url, close };
    await sleep(100);
  }
  return undefined;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
