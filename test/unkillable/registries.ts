import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RegistryServer, startRegistryServer } from '../../src/testing/registry-server.ts';
import type { Variables } from '../program.ts';
import { startWorld } from '../world/world.ts';
import type { CorpusImage } from './corpus.ts';

/** Two registries, the environment of a program that copies from one to the other, and a folder for it. */
export interface Pair {
  readonly source: RegistryServer;
  readonly target: RegistryServer;
  readonly env: Variables;
  readonly folder: string;
  close(): Promise<void>;
}

export async function plainPair(mounting: boolean, images: readonly CorpusImage[]): Promise<Pair> {
  const [source, target, folder] = await Promise.all([
    startRegistryServer({ manners: 'plain' }),
    startRegistryServer({ manners: 'plain', mounting }),
    mkdtemp(join(tmpdir(), 'unkillable-')),
  ]);
  await fill(source, images);
  return {
    source,
    target,
    env: { PATH: process.env['PATH'], HOME: folder, TMPDIR: folder },
    folder,
    async close() {
      await Promise.all([source.close(), target.close()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** An ECR under its real name, with the account's own interface, behind a proxy and TLS as in a build. */
export async function ecrPair(mounting: boolean, images: readonly CorpusImage[]): Promise<Pair> {
  const world = await startWorld({ content: 'sample', ecr: { mounting } });
  const source = await world.registry('registry.example.com');
  await fill(source, images);
  return { source, target: world.ecr, env: world.env, folder: world.folder, close: () => world.close() };
}

async function fill(source: RegistryServer, images: readonly CorpusImage[]): Promise<void> {
  for (const { name, image } of images) await source.putImage(`corpus/${name}`, '1', image);
}

/** Makes every read and write of a blob, and every write of a manifest, last so long that a run takes a second or two. */
export function slowDown({ source, target }: Pair): void {
  const always = 'always' as const;
  for (const reading of ['blob-get', 'storage-get'] as const)
    source.fail({ class: reading, times: always, fault: { kind: 'stall', milliseconds: 60, bytes: 10_000 } });
  target.fail({ class: 'upload-put', times: always, fault: { kind: 'stall', milliseconds: 60 } });
  target.fail({ class: 'manifest-put', times: always, fault: { kind: 'stall', milliseconds: 40 } });
}
