import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ProgramRun, runProgram, type Variables } from '../../test/program.ts';
import { eksArguments, startStandIns, vaultLogin, withCharts } from '../../test/stand-ins.ts';
import { Shard, ShardList } from '../fleet/shard.ts';
import { parseLock } from '../publish/lock.ts';
import { buildImage } from '../testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';

function succeeded(run: ProgramRun): ProgramRun {
  expect(run.status, run.stdout + run.stderr).toBe(0);
  return run;
}

async function shardsIn(location: string): Promise<readonly Shard[]> {
  const items = ShardList.parse(JSON.parse(await readFile(join(location, 'shards.json'), 'utf8')));
  return Promise.all(items.map(async ({ shard }) => Shard.parse(JSON.parse(await readFile(shard, 'utf8')))));
}

/** Takes everything out of a registry; its repositories stay. */
function empty(server: RegistryServer): void {
  for (const name of server.repositories()) {
    const repository = server.repository(name);
    for (const tag of server.tags(name)) server.deleteTag(name, tag);
    for (const digest of [...(repository?.manifests.keys() ?? [])]) server.deleteManifest(name, digest);
    for (const digest of [...(repository?.blobs.keys() ?? [])]) server.deleteBlob(name, digest);
  }
}

describe('shards of the other jobs', () => {
  it('eks: images of a lock go to workers, with the secret by its name; the job itself does the rest', async () => {
    const world = await startStandIns();
    try {
      const run = (args: readonly string[]): Promise<ProgramRun> => runProgram(args, world.env);
      const all = await readFile(join(world.dataDir, '1.0.yaml'), 'utf8');
      await writeFile(join(world.dataDir, '1.2.yaml'), withCharts(all, ['worker', 'gateway']));
      succeeded(await run(eksArguments(world, '--eks-version', '1.2', '--publish')));
      const path = join(world.folder, 'kept.lock.json');
      const text = await readFile(join(world.out, 'replication.lock.json'), 'utf8');
      await writeFile(path, text);
      const lock = parseLock(text, path);
      empty(world.ecr);
      const location = join(world.folder, 'run');
      const eks = ['eks', '--lock', path, '--out', world.out];
      succeeded(await run([...eks, '--shards', location, '--shard-count', '2']));
      const shards = await shardsIn(location);
      expect(shards).toHaveLength(2);
      expect(JSON.stringify(shards)).not.toContain(vaultLogin.password);
      expect(shards[0]?.access[world.vault.host]).toMatchObject({ credential: { kind: 'secret' } });
      for (const { index } of shards)
        succeeded(await run(['worker', '--shards', location, '--index', String(index), '--out', world.out]));
      for (const image of lock.images)
        for (const target of image.targets) {
          const [, repository = '', tag = ''] = /^[^/]+\/(.+):(.+)$/.exec(target) ?? [];
          expect(world.ecr.manifest(repository, tag)?.descriptor.digest, target).toBe(image.cut ?? image.digest);
        }
      for (const server of [world.open, world.vault]) server.reset();
      succeeded(await run([...eks, '--publish']));
      expect(world.open.count('blob-get') + world.vault.count('blob-get')).toBe(0);
      expect(await readFile(join(world.out, 'replication.lock.json'), 'utf8')).toBe(text);
    } finally {
      await world.close();
    }
  });

  it('mirror: sections that are due, with tags found out; what cannot be found out is in the summary', async () => {
    const [hub, target, folder] = await Promise.all([
      startRegistryServer({ manners: 'plain' }),
      startRegistryServer({ manners: 'plain' }),
      mkdtemp(join(tmpdir(), 'mirror-shards-')),
    ]);
    try {
      for (const tag of ['1.0.0', '1.1.0']) await hub.putImage('team/app', tag, buildImage({ name: `app-${tag}` }));
      const config = join(folder, 'config.yaml');
      const section = (image: string, tag: string): string =>
        [`  registry: ${hub.host}`, `  source-repository: team`, `  image: ${image}`, `  semver: "${tag}"`].join('\n');
      await writeFile(config, `app:\n${section('app', '>=1.0.0')}\nlost:\n${section('lost', '>=1.0.0')}\n`);
      await mkdir(join(folder, 'tmp'));
      const env: Variables = { PATH: '', HOME: folder, TMPDIR: join(folder, 'tmp'), DB_PATH: join(folder, 'none.db') };
      const run = (...args: readonly string[]): Promise<ProgramRun> =>
        runProgram([...args, '--out', join(folder, 'out')], env);
      const location = join(folder, 'run');
      succeeded(await run('mirror', '--config', config, '--once', '--target', target.host, '--shards', location));
      const [shard, ...more] = await shardsIn(location);
      expect(more).toEqual([]);
      expect(shard?.images.length).toBeGreaterThan(0);
      succeeded(await run('worker', '--shards', location, '--index', '0'));
      for (const name of shard?.images.flatMap(({ targets }) => targets) ?? []) {
        const [, repository = '', tag = ''] = /^[^/]+\/(.+):(.+)$/.exec(name) ?? [];
        expect(target.tags(repository)).toContain(tag);
      }
      const summed = await run('summary', '--shards', location);
      expect(summed.status).toBe(1);
      expect(summed.stdout).toContain('[lost]');
    } finally {
      await Promise.all([hub.close(), target.close(), rm(folder, { recursive: true, force: true })]);
    }
  });
});
