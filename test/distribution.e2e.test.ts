import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'vitest';
import { locate, parseReference } from '../src/model/reference.ts';
import { type RegistryServer, startRegistryServer } from '../src/testing/registry-server.ts';
import { sampleImages } from '../src/testing/samples.ts';
import { spawnProgram } from './program.ts';
import { story } from './story.ts';
import { describeWith, requireTool } from './tools.ts';
import { said } from './world/run.ts';

/** https://distribution.github.io/distribution/about/configuration/ */
const configuration = (folder: string): string => `version: 0.1
log: { level: info, formatter: json }
storage:
  filesystem: { rootdirectory: ${JSON.stringify(join(folder, 'registry'))} }
  delete: { enabled: true }
http: { addr: '127.0.0.1:0' }
`;

// The program against the registry that most others are made of: what our own server does cannot be what makes it pass.
describeWith(['registry'], 'a real distribution registry', () => {
  let folder: string;
  let registry: ChildProcess;
  let host: string;
  let ours: RegistryServer;
  let out = 0;
  const images = sampleImages();

  const part = story(begin, end);
  async function begin(): Promise<void> {
    folder = await mkdtemp(join(tmpdir(), 'distribution-'));
    await writeFile(join(folder, 'config.yml'), configuration(folder));
    const environment = { PATH: process.env['PATH'], OTEL_TRACES_EXPORTER: 'none' };
    registry = spawn(requireTool('registry'), ['serve', join(folder, 'config.yml')], {
      env: environment,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    host = await listeningOn(registry);
    ours = await startRegistryServer({ manners: 'plain' });
    for (const { repository, tag, image } of images) await ours.putImage(repository, tag, image);
  }
  async function end(): Promise<void> {
    const ended = once(registry, 'close');
    registry.kill();
    await ended;
    await ours.close();
    await rm(folder, { recursive: true, force: true });
  }

  const copy = async (from: string, to: string) => {
    const list = join(folder, 'list.txt');
    await writeFile(list, images.map(({ repository, tag }) => `${from}/${repository}:${tag}\n`).join(''));
    out += 1;
    const files = join(folder, `out-${out}`);
    const env = { PATH: process.env['PATH'], HOME: folder, TMPDIR: folder };
    const run = await spawnProgram(['images', '--list', list, '--target', to, '--verify', '--out', files], env);
    expect(run.status, said(run)).toBe(0);
    return JSON.parse(await readFile(join(files, 'run.json'), 'utf8')) as {
      readonly totals: { readonly blobsWritten: number; readonly manifestsWritten: number };
      readonly outcomes: readonly { readonly kind: string; readonly artifact: string; readonly digest: string }[];
    };
  };
  const digestOf = (artifact: string): string | undefined => {
    const { repository, reference } = locate(parseReference(artifact));
    return images.find((image) => image.repository === repository && image.tag === reference)?.image.digest;
  };

  part('takes every kind of image, and has the same digests then', async () => {
    const run = await copy(ours.host, `${host}/copy`);
    expect(run.outcomes).toHaveLength(images.length);
    for (const { repository, tag, image } of images) {
      const address = `http://${host}/v2/copy/${repository}/manifests/${tag}`;
      const accept = image.descriptor.mediaType;
      const there = await fetch(address, { method: 'HEAD', headers: { accept } });
      expect(there.headers.get('docker-content-digest'), address).toBe(image.digest);
    }
  });

  part('is asked, and given nothing, the second time', async () => {
    ours.reset();
    const run = await copy(ours.host, `${host}/copy`);
    expect(run.outcomes.map(({ kind }) => kind)).toEqual(images.map(() => 'unchanged'));
    expect(run.totals).toMatchObject({ blobsWritten: 0, manifestsWritten: 0 });
    expect(ours.requests.count('blob-get')).toBe(0);
  });

  part('gives everything back, signatures and referrers too', async () => {
    const back = await startRegistryServer({ manners: 'plain' });
    try {
      const run = await copy(`${host}/copy`, `${back.host}/again`);
      for (const { artifact, digest } of run.outcomes)
        expect(digest, artifact).toBe(digestOf(artifact.replace('/copy/', '/')));
      for (const { repository, tag, image } of images) {
        expect(back.manifest(`again/copy/${repository}`, tag)?.descriptor.digest, repository).toBe(image.digest);
        for (const [extra, digest] of image.tags ?? [])
          expect(back.tags(`again/copy/${repository}`), digest).toContain(extra);
      }
    } finally {
      await back.close();
    }
  });
});

/** The address that the registry's log names when it is up: it was asked for any free port. */
async function listeningOn(registry: ChildProcess): Promise<string> {
  if (registry.stderr === null) throw new Error('the registry has no log');
  const lines = createInterface({ input: registry.stderr });
  for await (const line of lines) {
    const address = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1];
    if (address === undefined) continue;
    // Whatever else it says must not fill its pipe.
    registry.stderr.resume();
    return address;
  }
  throw new Error('the registry ended before it listened');
}
