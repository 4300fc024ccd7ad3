import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ProgramRun, runProgram } from '../../test/program.ts';
import { Shard, ShardList, ShardResult } from '../fleet/shard.ts';
import { buildImage, withReferrer } from '../testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';

const names = ['web', 'api', 'job', 'cron', 'tool', 'gate'];

describe('a run in shards', () => {
  let source: RegistryServer;
  let target: RegistryServer;
  let folder: string;
  let location: string;
  const file = (name: string): string => join(folder, name);
  const env = (): Record<string, string> => ({ PATH: '', HOME: '/nonexistent', TMPDIR: folder });
  const run = (...args: readonly string[]): Promise<ProgramRun> => runProgram([...args, '--out', file('out')], env());
  const json = async (name: string): Promise<unknown> => JSON.parse(await readFile(join(location, name), 'utf8'));

  beforeEach(async () => {
    [source, target, folder] = await Promise.all([
      startRegistryServer({ manners: 'plain' }),
      startRegistryServer({ manners: 'plain' }),
      mkdtemp(join(tmpdir(), 'shards-test-')),
    ]);
    location = file('run-1');
    for (const name of names) await source.putImage(`team/${name}`, '1', withReferrer(buildImage({ name })));
    await writeFile(file('list.txt'), names.map((name) => `${source.host}/team/${name}:1`).join('\n'));
  });
  afterEach(async () => {
    await Promise.all([source.close(), target.close(), rm(folder, { recursive: true, force: true })]);
  });

  const plan = (...more: readonly string[]): Promise<ProgramRun> =>
    run('images', '--list', file('list.txt'), '--target', `${target.host}/m`, '--shards', location, ...more);

  it('is planned, copied by workers, and put together; nothing is moved by planning', async () => {
    const planned = await plan('--shard-count', '3');
    expect(planned.status, planned.stdout).toBe(0);
    expect(target.repositories()).toEqual([]);
    expect(source.count('blob-get')).toBe(0);
    const items = ShardList.parse(await json('shards.json'));
    expect(items.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(items.reduce((sum, { images }) => sum + images, 0)).toBe(names.length);
    const shard = Shard.parse(await json('shards/0000.json'));
    expect(shard.images.every(({ digest }) => digest !== undefined)).toBe(true);
    for (const item of items) {
      const worked = await run('worker', '--shard', item.shard);
      expect(worked.status, worked.stdout).toBe(0);
    }
    // The job itself, to another place.
    const alone = await run('images', '--list', file('list.txt'), '--target', `${target.host}/n`);
    expect(alone.status, alone.stdout).toBe(0);
    for (const name of names) {
      expect(target.manifest(`m/team/${name}`, '1')).toEqual(source.manifest(`team/${name}`, '1'));
      const all = (server: RegistryServer, repository: string) =>
        [...(server.repository(repository)?.manifests.keys() ?? [])].sort();
      expect(all(target, `m/team/${name}`)).toEqual(all(target, `n/team/${name}`));
    }
    expect(ShardResult.parse(await json('results/0001.json'))).toMatchObject({ attempts: 1, counts: { failed: 0 } });
    const summed = await run('summary', '--shards', location);
    expect(summed.status, summed.stdout).toBe(0);
    expect(await json('summary.json')).toMatchObject({ copied: names.length, unchanged: 0, failed: 0 });
    expect(await json('failed.json')).toEqual([]);
    expect((await readdir(location)).sort()).toContain('report.html');
  });

  it('refuses a shard that lies where another one belongs: its result would count for that one', async () => {
    expect((await plan('--shard-count', '2')).status).toBe(0);
    const other = await readFile(join(location, 'shards/0001.json'), 'utf8');
    await writeFile(join(location, 'shards/0000.json'), other);
    const worked = await run('worker', '--shards', location, '--index', '0');
    expect(worked.status).toBe(1);
    expect(worked.stdout).toContain('shards/0000.json holds shard 1');
    expect(target.repositories()).toEqual([]);
    expect((await readdir(location)).filter((name) => name === 'results' || name === 'progress')).toEqual([]);
  });

  it('refuses a shard of another run: what that one had planned is no longer what is wanted', async () => {
    expect((await plan('--shard-count', '2')).status).toBe(0);
    const shard = Shard.parse(await json('shards/0000.json'));
    await writeFile(join(location, 'shards/0000.json'), JSON.stringify({ ...shard, run: 'run-0' }));
    const worked = await run('worker', '--shards', location, '--index', '0');
    expect(worked.status).toBe(1);
    expect(worked.stdout).toContain('shards/0000.json is of the run run-0, and this folder is of run-1');
    expect(target.repositories()).toEqual([]);
    expect((await readdir(location)).filter((name) => name === 'results' || name === 'progress')).toEqual([]);
    // A folder may lie elsewhere for its workers.
    await writeFile(join(location, 'shards/0000.json'), JSON.stringify(shard));
    await rename(location, file('moved'));
    const moved = await run('worker', '--shards', file('moved'), '--index', '0');
    expect(moved.status, moved.stdout).toBe(0);
  });

  it('tells of images that are in no shard any more', async () => {
    expect((await plan('--shard-count', '2')).status).toBe(0);
    const shard = Shard.parse(await json('shards/0000.json'));
    await writeFile(join(location, 'shards/0000.json'), JSON.stringify({ ...shard, images: shard.images.slice(1) }));
    for (const index of ['0', '1'])
      expect((await run('worker', '--shards', location, '--index', index)).status).toBe(0);
    const summed = await run('summary', '--shards', location);
    expect(summed.status).toBe(1);
    expect(summed.stdout).toContain('its worker was given 2 images, and 3 were planned: the shard was changed since');
    expect(await json('summary.json')).toMatchObject({ copied: names.length - 1, failed: 1, failedShards: [0] });
    expect(ShardList.parse(await json('failed.json')).map(({ index }) => index)).toEqual([0]);
  });

  it('takes no list of shards that is of another plan, as when planning anew was ended in the middle', async () => {
    expect((await plan('--shard-count', '2')).status).toBe(0);
    const before = await readFile(join(location, 'shards.json'), 'utf8');
    expect((await plan('--shard-count', '3')).status).toBe(0);
    await writeFile(join(location, 'shards.json'), before);
    for (const command of ['summary', 'runs']) {
      const refused = await run(command, '--shards', location);
      expect(refused.status).toBe(1);
      expect(refused.stdout).toContain('lists 2 shards with 6 images, and 3 shards with 6 were planned');
    }
  });

  it('refuses a shard that planning anew has left behind, being ended in the middle', async () => {
    expect((await plan('--shard-count', '2')).status).toBe(0);
    const before = await readFile(join(location, 'shards/0001.json'), 'utf8');
    expect((await plan('--shard-count', '2')).status).toBe(0);
    const again = await readFile(join(location, 'shards/0001.json'), 'utf8');
    await writeFile(join(location, 'shards/0001.json'), before);
    const refused = await run('worker', '--shards', location, '--index', '1');
    expect(refused.status).toBe(1);
    expect(refused.stdout).toMatch(/shards\/0001.json was planned at \S+, and this run at/);
    expect(target.repositories()).toEqual([]);
    await writeFile(join(location, 'shards/0001.json'), again);
    expect((await run('worker', '--shards', location, '--index', '1')).status).toBe(0);
  });

  it('says what to type next, after the plan and where shards have failed', async () => {
    const planned = await plan('--shard-count', '3');
    expect(planned.stdout).toContain(
      'next, on any machines that see this folder, at the same time or one after another:',
    );
    expect(planned.stdout).toContain(`image-replication worker --shards ${location} --index 0   # and 1 to 2\n`);
    expect(planned.stdout).toContain(`image-replication summary --shards ${location}\n`);
    const alone = await plan('--shard-count', '1', '--status-store', `sqlite:${file('status.db')}`);
    expect(alone.stdout).toContain(`image-replication worker --shards ${location} --index 0\n`);
    const one = await plan('--shard-count', '6', '--status-store', `sqlite:${file('status.db')}`);
    expect(one.stdout).toContain('one after another, as SQLite has it');
    expect((await run('worker', '--shards', location, '--index', '0')).status).toBe(0);
    const summed = await run('summary', '--shards', location);
    expect(summed.stdout).toContain('nothing is known of its 1 image\n');
    expect(summed.stdout).toContain(`image-replication worker --shards ${location} --index 1   # and 2, 3, 4, 5\n`);
    expect(summed.stdout).toContain(`run it again: image-replication worker --shards ${location} --index 4`);
    // In a pod nobody types.
    const pod = { ...env(), KUBERNETES_SERVICE_HOST: '10.0.0.1' };
    const quiet = await runProgram(['summary', '--shards', location, '--out', file('out')], pod);
    expect(quiet.stdout).toContain('shards to be run again: 0001, 0002');
    expect(quiet.stdout).not.toContain('--index');
  });

  it('goes on where results and notes are broken: shards without a result, which are run again', async () => {
    expect((await plan('--shard-count', '3')).status).toBe(0);
    const work = (index: string): Promise<ProgramRun> => run('worker', '--shards', location, '--index', index);
    for (const index of ['0', '1', '2']) expect((await work(index)).status).toBe(0);
    const [whole, other] = await Promise.all(
      ['0000', '0002'].map((name) => readFile(join(location, `results/${name}.json`), 'utf8')),
    );
    await writeFile(join(location, 'results/0000.json'), whole?.slice(0, 40) ?? '');
    // A copy of another shard's.
    await writeFile(join(location, 'results/0001.json'), other ?? '');
    await writeFile(join(location, 'progress/0001.json'), '{}');
    const summed = await run('summary', '--shards', location);
    expect(summed.status).toBe(1);
    expect(await json('summary.json')).toMatchObject({ copied: 2, failed: 4, withoutResult: [0, 1] });
    expect(ShardList.parse(await json('failed.json')).map(({ index }) => index)).toEqual([0, 1]);
    expect(summed.stdout).toMatch(/its result counts for nothing: \S+results\/0000.json is not what a run/);
    expect(summed.stdout).toMatch(/its result counts for nothing: \S+results\/0001.json holds shard 2/);
    const shown = await run('runs', '--shards', location);
    expect(shown.status, shown.stdout).toBe(0);
    expect(shown.stdout).toMatch(/6 images in 3 shards, 2 of them open/);
    expect(shown.stdout).toMatch(/^shard 0001: waiting.*results\/0001.json holds shard 2/m);
    for (const index of ['0', '1']) {
      const again = await work(index);
      expect(again.status, again.stdout).toBe(0);
      expect(again.stdout).toMatch(new RegExp(`results/000${index}.json .*: it is written anew`));
    }
    expect((await run('summary', '--shards', location)).status).toBe(0);
    expect(await json('summary.json')).toMatchObject({ failed: 0, withoutResult: [] });
  });

  it('fails alone where an image is poison, and does it again by failed.json', async () => {
    source.fail({ class: 'blob-get', repository: 'team/job', times: 'always', fault: { kind: 'status', status: 404 } });
    expect((await plan('--shard-count', '2')).status).toBe(0);
    const statuses = [];
    for (const index of ['0', '1']) statuses.push((await run('worker', '--shards', location, '--index', index)).status);
    expect(statuses.sort()).toEqual([0, 1]);
    expect(target.tags('m/team/gate')).toEqual(['1']);
    const summed = await run('summary', '--shards', location);
    expect(summed.status).toBe(1);
    expect(await json('summary.json')).toMatchObject({ copied: names.length - 1, failed: 1 });
    const failed = ShardList.parse(await json('failed.json'));
    expect(failed).toHaveLength(1);
    source.reset();
    target.reset();
    const again = await run('worker', '--shard', failed[0]?.shard ?? '');
    expect(again.status, again.stdout).toBe(0);
    expect(new Set(source.requests.of('blob-get').map(({ repository }) => repository))).toEqual(new Set(['team/job']));
    expect((await run('summary', '--shards', location)).status).toBe(0);
    expect(await json('summary.json')).toMatchObject({ copied: names.length, unchanged: 0, failed: 0, attempts: 3 });
  });

  it('is shown by `runs` while it goes on, and keeps what workers have begun with', async () => {
    expect((await plan('--shard-count', '2')).status).toBe(0);
    expect((await run('worker', '--shards', location, '--index', '1')).status).toBe(0);
    const shown = await run('runs', '--shards', location);
    expect(shown.status, shown.stdout).toBe(0);
    expect(shown.stdout).toMatch(/6 images in 2 shards, 1 of them open/);
    expect(shown.stdout).toMatch(/shard 0000: waiting/);
    expect(shown.stdout).toMatch(/shard 0001: done, 3 copied/);
    const again = await plan('--shard-count', '3');
    expect(again.status).toBe(2);
    expect(again.stdout).toContain('is the folder of a run that workers have begun with');
    const unfinished = await run('summary', '--shards', location);
    expect(unfinished.status).toBe(1);
    expect(unfinished.stdout).toContain('no worker has brought this shard to an end');
    expect(await json('summary.json')).toMatchObject({ copied: 3, failed: 3, withoutResult: [0] });
  });

  it('takes the number of its shard from Kubernetes, and says what is wrong with it', async () => {
    expect((await plan('--shard-count', '2')).status).toBe(0);
    const worker = (index: string) =>
      runProgram(['worker', '--shards', location, '--out', file('out')], { ...env(), JOB_COMPLETION_INDEX: index });
    expect((await worker('1')).status).toBe(0);
    const beyond = await worker('2');
    expect(beyond.status).toBe(2);
    expect(beyond.stdout).toContain('there is no');
    expect((await run('worker', '--shards', location)).status).toBe(2);
    expect((await run('worker', '--shard', 'elsewhere.json')).status).toBe(2);
  });

  it('treats options without a value as not given', async () => {
    const planned = await plan('--shard-count', '', '--budget', '', '--platforms', '', '--status-store=');
    expect(planned.status, planned.stdout + planned.stderr).toBe(0);
    expect(Shard.parse(await json('shards/0000.json')).budget).toBeUndefined();
  });

  it('keeps to what a run cannot be in shards for', async () => {
    const layout = ['--list', file('list.txt'), '--target', `oci-layout:${file('bundle')}`];
    for (const args of [
      ['images', ...layout],
      ['images', '--list', file('list.txt'), '--target', target.host, '--write-lock'],
      ['images', '--list', file('list.txt'), '--target', target.host, '--budget', 'sqlite:a.db'],
      ['mirror', '--config', file('list.txt')],
      ['eks', '--eks-version', '1.34', '--project', 'a', '--deployment', 'b', '--module', 'c', '--region', 'eu-west-1'],
    ]) {
      const refused = await run(...args, '--shards', location);
      expect(refused.status, refused.stdout + refused.stderr).toBe(2);
    }
  });
});
