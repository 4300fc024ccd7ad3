import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { type ProgramRun, runProgram, type Variables } from '../../test/program.ts';
import { bucket, eksArguments, startStandIns, type StandIns, vaultLogin, withCharts } from '../../test/stand-ins.ts';
import { digestOf } from '../model/digest.ts';
import { Inventory } from '../model/inventory.ts';
import { LockedImage, type Lock } from '../model/lock.ts';
import { parseLock } from '../publish/lock.ts';
import { ReportData } from '../report/report-data.ts';
import { buildImage } from '../testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';

const Result = z.strictObject({
  ami: z.object({ version: z.string() }),
  charts: z.record(z.string(), z.unknown()),
  additional_images: z.record(z.string(), z.string()),
  lock: z.strictObject({ s3_object: z.string(), digest: z.string() }).optional(),
});

describe('the lock of the EKS job', () => {
  let world: StandIns;
  beforeEach(async () => {
    world = await startStandIns();
    // ECR takes ten manifests a second: a few charts do, one of them with private images.
    const all = await readFile(join(world.dataDir, '1.0.yaml'), 'utf8');
    await writeFile(join(world.dataDir, '1.2.yaml'), withCharts(all, ['worker', 'gateway']));
  });
  afterEach(() => world.close());

  async function run(args: readonly string[], changes: Variables = {}, status = 0): Promise<ProgramRun> {
    const done = await runProgram(args, { ...world.env, ...changes });
    expect(done.status, done.stdout + done.stderr).toBe(status);
    return done;
  }
  const fromData = (...more: readonly string[]): Promise<ProgramRun> =>
    run(eksArguments(world, '--eks-version', '1.2', ...more));
  /** A run that knows no data files: neither a folder nor a version. */
  const fromLock = (path: string, ...more: readonly string[]): Promise<ProgramRun> =>
    run(['eks', '--lock', path, '--out', world.out, ...more], { SEEDFARMER_PARAMETER_EKS_VERSION: undefined });
  const left = (name: string): Promise<string> => readFile(join(world.out, name), 'utf8');
  const stored = (rest: string): string | undefined =>
    world.s3.buckets.get(bucket)?.versions.findLast(({ key }) => key === `dev-platform-replication-metadata.${rest}`)
      ?.body;
  /** Keeps the lock that was left apart from the next run. */
  async function keep(): Promise<{ readonly path: string; readonly text: string; readonly lock: Lock }> {
    const text = await left('replication.lock.json');
    const path = join(world.folder, 'kept.lock.json');
    await writeFile(path, text);
    return { path, text, lock: parseLock(text, path) };
  }

  it('lies beside the result, which names it, and is the same for the same inputs', async () => {
    await fromData('--publish');
    const { text, lock } = await keep();
    expect(lock.charts.map(({ key }) => key).length).toBe(2);
    expect(lock.images.map((image) => LockedImage.parse(image).size).every((size) => size > 0)).toBe(true);
    expect(lock.eks?.ownHosts).toContain(world.vault.host);
    expect(text).not.toContain(world.folder);
    expect(text).not.toContain(vaultLogin.password);
    expect(stored('lock.json')).toBe(text);
    const body = stored('json') ?? '';
    const result = Result.parse(JSON.parse(body));
    expect(Object.keys(result)).toEqual(['ami', 'charts', 'additional_images', 'lock']);
    expect(result.lock).toEqual({
      s3_object: 'dev-platform-replication-metadata.lock.json',
      digest: digestOf(text),
    });
    expect(await left('replication_result.json')).toBe(body);
    await rm(world.out, { recursive: true });
    await fromData('--publish');
    expect(await left('replication.lock.json')).toBe(text);
    expect([stored('lock.json'), stored('json')]).toEqual([text, body]);
  });

  it('comes with a report that tells sizes, and the end that the run came to', async () => {
    await fromData('--publish', '--report', join(world.folder, 'report'));
    const data = ReportData.parse(JSON.parse(stored('report.json') ?? ''));
    const { lock } = await keep();
    expect(data).toMatchObject({ verdict: 'done', failures: [], summary: { images: { open: 0, failed: 0 } } });
    expect(data.finished).toBeDefined();
    expect(data.phases.map(({ phase }) => phase)).toEqual(['plan', 'copy', 'verify', 'publish']);
    expect(data.totals?.bytesWritten).toBeGreaterThan(0);
    const sizes = [...lock.images, ...lock.charts].reduce((sum, { size }) => sum + size, 0);
    expect(data.summary.size).toBe(sizes);
    expect(data.artifacts.filter(({ size }) => size === undefined)).toEqual([]);
    const local = ReportData.parse(JSON.parse(await readFile(join(world.folder, 'report/report.json'), 'utf8')));
    const told = ({ verdict, summary, artifacts, totals }: ReportData) => ({ verdict, summary, artifacts, totals });
    expect(told(data)).toEqual(told(local));
    const page = stored('report.html') ?? '';
    for (const { source } of lock.images) expect(page).toContain(source);
    expect(stored('report.md')).toContain('Image replication: done');
  });

  it('is not left, and nothing is published, by a run that failed', async () => {
    world.open.deleteTag('sample/worker', '5.1');
    await run(eksArguments(world, '--eks-version', '1.1', '--publish'), {}, 1);
    await expect(left('replication.lock.json')).rejects.toThrow('ENOENT');
    expect(world.s3.buckets.get(bucket)?.versions ?? []).toEqual([]);
  });

  it('brings exactly the same back, though tags have moved, and publishes the result as it was', async () => {
    await fromData('--publish');
    const { path, text, lock } = await keep();
    const [result, inventory] = [stored('json'), stored('inventory.json')];
    for (const name of world.ecr.repositories()) for (const tag of world.ecr.tags(name)) world.ecr.deleteTag(name, tag);
    await world.open.putImage('sample/worker', '5.1', buildImage({ name: 'newer' }));
    await rm(world.out, { recursive: true });
    await rm(world.dataDir, { recursive: true });
    world.open.requests.reset();
    await fromLock(path, '--publish');
    const asked = world.open.requests.of(({ class: kind }) => kind.startsWith('manifest'));
    expect(asked.filter(({ reference }) => reference?.startsWith('sha256:') !== true)).toEqual([]);
    for (const { targets, digest } of lock.images)
      for (const target of targets) {
        const [, repository = '', tag = ''] = /^[^/]+\/(.*):([^:]+)$/.exec(target) ?? [];
        expect(world.ecr.manifest(repository, tag)?.descriptor.digest, target).toBe(digest);
      }
    expect(await left('replication.lock.json')).toBe(text);
    expect([stored('json'), stored('lock.json'), stored('inventory.json')]).toEqual([result, text, inventory]);
    expect(Inventory.parse(JSON.parse(inventory ?? '')).repositories.length).toBeGreaterThan(2);
    expect(JSON.parse(await left('metadata.json'))).toMatchObject({ S3Bucket: bucket });
  });

  it('says with --plan what it would do, and does nothing', async () => {
    await fromData();
    const { path } = await keep();
    const before = world.ecr.repositories().map((name) => [name, world.ecr.tags(name)]);
    const writes = world.ecr.count('manifest-put');
    await fromLock(path, '--plan');
    expect(z.object({ images: z.array(z.object({ digest: z.string() })) }).parse(JSON.parse(await left('plan.json'))));
    expect(world.ecr.repositories().map((name) => [name, world.ecr.tags(name)])).toEqual(before);
    expect(world.ecr.count('manifest-put')).toBe(writes);
  });

  it.each([
    ['with data files', ['--data-dir', 'x'], {}, 'a lock says which charts'],
    ['of another project', [], { SEEDFARMER_PROJECT_NAME: 'other' }, 'was written for another target'],
    ['that is not there', ['--lock', 'nowhere.json'], {}, 'cannot read the lock nowhere.json'],
  ])('%s is refused', async (_, args, changes, text) => {
    await run(eksArguments(world, '--eks-version', '1.1'));
    const { path } = await keep();
    const done = await run(['eks', '--lock', path, '--out', world.out, ...args], changes, 2);
    expect(done.stdout).toContain(text);
  });

  describe('at a registry', () => {
    let target: RegistryServer;
    beforeEach(async () => {
      target = await startRegistryServer({ manners: 'plain' });
    });
    afterEach(() => target.close());
    const verify = (path: string, changes: Variables, status: number): Promise<ProgramRun> =>
      run(['verify', '--lock', path, '--out', world.out], changes, status);

    it('is verified with the secret of the job, charts and private sources included', async () => {
      await run(eksArguments(world, '--target', `${target.host}/cluster`));
      const { path, lock } = await keep();
      expect(lock.target).toBe(`${target.host}/cluster/`);
      const done = await verify(path, {}, 0);
      expect(done.stdout).not.toContain(vaultLogin.password);
      const without = await verify(path, { SEEDFARMER_PARAMETER_HELM_REPO_SECRET_NAME: undefined }, 1);
      expect(without.stdout).toMatch(new RegExp(`^unknown +source +${world.vault.host}`, 'm'));
      const [chart] = lock.charts;
      const [, repository = '', tag = ''] = /^[^/]+\/(.*):([^:]+)$/.exec(chart?.target ?? '') ?? [];
      target.deleteTag(repository, tag);
      await world.open.putImage('team/init', '1.0', buildImage({ name: 'newer' }));
      const drifted = await verify(path, {}, 1);
      expect(drifted.stdout).toMatch(new RegExp(`^missing +target +${target.host}/${repository}`, 'm'));
      expect(drifted.stdout).toMatch(new RegExp(`^moved +source +${world.open.host}/team/init:1.0`, 'm'));
    });

    it('without a region, its secret cannot be asked for: wrong usage', async () => {
      await fromData('--target', target.host, '--eks-version', '1.1');
      const { path } = await keep();
      const done = await verify(path, { AWS_REGION: undefined }, 2);
      expect(done.stdout).toContain('the region of the secret vault is not known');
    });
  });
});
