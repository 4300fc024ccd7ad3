import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ProgramRun, runProgram, type Variables } from '../../test/program.ts';
import { eksArguments, startStandIns, withCharts } from '../../test/stand-ins.ts';
import { Shard } from '../fleet/shard.ts';
import { buildImage } from '../testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';

// What fails for a reason that may pass is tried again, by whichever job copies it.

/** Fails a try: a manifest that is damaged three times is not asked for once more at once. */
const damaged = { class: 'manifest-get', times: 3, fault: { kind: 'corrupt' } } as const;

/** Waits for nothing, and notes how long it was to be. */
const noting = (pauses: number[]) => (milliseconds: number) => {
  pauses.push(milliseconds);
  return Promise.resolve();
};

describe('--tries', () => {
  let source: RegistryServer;
  let target: RegistryServer;
  let folder: string;
  let pauses: number[];
  const file = (name: string): string => join(folder, name);
  const env = (): Variables => ({ PATH: '', HOME: folder, TMPDIR: folder, DB_PATH: file('mirror.db') });
  const run = (...args: readonly string[]): Promise<ProgramRun> =>
    runProgram([...args, '--out', file('out')], env(), { pause: noting(pauses) });

  beforeEach(async () => {
    pauses = [];
    [source, target, folder] = await Promise.all([
      startRegistryServer({ manners: 'plain' }),
      startRegistryServer({ manners: 'plain' }),
      mkdtemp(join(tmpdir(), 'tries-test-')),
    ]);
    await source.putImage('team/app', '1', buildImage({ name: 'app', index: false, platforms: ['linux/amd64'] }));
    await writeFile(file('images.txt'), `${source.host}/team/app:1 ${target.host}/there/app:1\n`);
    source.fail(damaged);
  });
  afterEach(async () => {
    await Promise.all([source.close(), target.close(), rm(folder, { recursive: true, force: true })]);
  });

  const triedTwice = ({ status, stdout, stderr }: ProgramRun): void => {
    expect(status, stdout + stderr).toBe(0);
    expect(stdout).toContain(`${source.host}/team/app:1: try 1 of 2 failed`);
    expect(stdout).not.toContain('FAILED');
    expect(pauses.splice(0)).toEqual([1_000]);
  };

  it('has images copied again; without it they are tried once', async () => {
    const images = ['images', '--list', file('images.txt')];
    triedTwice(await run(...images, '--tries', '2'));
    expect(target.manifest('there/app', '1')).toEqual(source.manifest('team/app', '1'));
    target.deleteTag('there/app', '1');
    for (const digest of [...(target.repository('there/app')?.blobs.keys() ?? [])])
      target.deleteBlob('there/app', digest);
    source.fail(damaged);
    const once = await run(...images);
    expect(once.status).toBe(1);
    expect(pauses).toEqual([]);
    expect(once.stdout).toContain('FAILED with 1 failure');
    expect(once.stdout).not.toMatch(/try \d of/);
  });

  it('holds for a mirror file', async () => {
    const section = [`registry: ${source.host}`, 'source-repository: team', 'image: app', 'tag: "1"', 'project: there'];
    await writeFile(file('mirror.yaml'), `app:\n${section.map((line) => `  ${line}\n`).join('')}`);
    triedTwice(await run('mirror', '--config', file('mirror.yaml'), '--once', '--target', target.host, '--tries', '2'));
  });

  it('holds for an application chart', async () => {
    const lists = ['--static-images', '--static-code-collections'];
    await writeFile(file('none.json'), '[]');
    await writeFile(file('extra.txt'), `${source.host}/team/app:1 there/app\n`);
    const empty = lists.flatMap((name) => [name, file('none.json')]);
    const to = ['--registry', target.host, '-p', 'chart', '-c', '', '--no-code-collections', ...empty];
    triedTwice(await run('chart', ...to, '-e', file('extra.txt'), '--tries', '2'));
  });

  it('is handed on to workers, who have three by themselves', async () => {
    const plan = async (name: string, ...more: readonly string[]): Promise<Shard> => {
      const planned = await run('images', '--list', file('images.txt'), '--shards', file(name), ...more);
      expect(planned.status, planned.stdout).toBe(0);
      return Shard.parse(JSON.parse(await readFile(join(file(name), 'shards/0000.json'), 'utf8')));
    };
    expect((await plan('usual')).tries).toBe(3);
    expect((await plan('two', '--tries', '2')).tries).toBe(2);
    source.reset();
    source.fail({ ...damaged, times: 'always' });
    const own = await run('worker', '--shards', file('usual'), '--index', '0', '--tries', '1');
    expect(own.status).toBe(1);
    expect(own.stdout).toContain('FAILED with 1 failure');
    expect(own.stdout).not.toMatch(/try \d of/);
    expect(pauses).toEqual([]);
    const usual = await run('worker', '--shards', file('usual'), '--index', '0');
    expect(usual.status).toBe(1);
    expect(usual.stdout).toContain(`${source.host}/team/app:1: try 2 of 3 failed`);
    // Longer with every try.
    expect(pauses.splice(0)).toEqual([1_000, 2_000]);
    source.reset();
    source.fail(damaged);
    triedTwice(await run('worker', '--shards', file('two'), '--index', '0'));
  });

  it('is a whole number above 0', async () => {
    for (const tries of ['0', '1.5', 'many']) {
      const { status, stderr } = await run('images', '--list', file('images.txt'), '--tries', tries);
      expect([status, stderr]).toEqual([2, expect.stringContaining(`argument '${tries}' is invalid`)]);
    }
  });
});

it('--tries holds for images and charts of the EKS job', async () => {
  const world = await startStandIns();
  try {
    const all = await readFile(join(world.dataDir, '1.0.yaml'), 'utf8');
    await writeFile(join(world.dataDir, '1.2.yaml'), withCharts(all, ['worker']));
    world.ecr.fail({ class: 'manifest-put', times: 'always', fault: { kind: 'status', status: 401 } });
    const pauses: number[] = [];
    const args = eksArguments(world, '--eks-version', '1.2');
    const { stdout, status } = await runProgram([...args, '--tries', '2'], world.env, { pause: noting(pauses) });
    expect(status, stdout).toBe(1);
    expect(pauses).toEqual([1_000]);
    expect(stdout).toMatch(/chart \S+ \S+: try 1 of 2 failed/);
    expect(stdout).toMatch(/[/]\S+:\S+: try 1 of 2 failed/);
    expect(stdout).not.toContain('try 2 of');
  } finally {
    await world.close();
  }
});
