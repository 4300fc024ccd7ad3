import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type ProgramRun, runProgram } from '../../test/program.ts';
import { createAuthority } from '../testing/certificates.ts';
import { Planning } from '../fleet/shard.ts';
import { buildImage } from '../testing/image-builder.ts';
import { type KubernetesServer, startKubernetesServer, type StoredJob } from '../testing/kubernetes-server.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';

const name = 'images-workers';
const template = {
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name },
  spec: { completionMode: 'Indexed', parallelism: 2, template: { spec: { containers: [{ name: 'worker' }] } } },
};

describe('a run by a Job of Kubernetes', () => {
  let registry: RegistryServer;
  let cluster: KubernetesServer;
  let folder: string;
  let location: string;
  const file = (path: string): string => join(folder, path);
  const json = async (path: string): Promise<unknown> => JSON.parse(await readFile(join(location, path), 'utf8'));

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kubernetes-job-test-'));
    location = file('run-1');
    registry = await startRegistryServer({ manners: 'plain' });
    const authority = await createAuthority();
    cluster = await startKubernetesServer({
      tls: await authority.issue(['127.0.0.1']),
      namespace: 'tools',
      token: 'secret-token-of-the-pod',
    });
    await mkdir(file('account'));
    await writeFile(file('account/token'), 'secret-token-of-the-pod');
    await writeFile(file('account/ca.crt'), authority.certificate);
    await writeFile(file('account/namespace'), 'tools');
    await writeFile(file('workers.yaml'), stringify(template));
    for (const image of ['a', 'b']) await registry.putImage(`team/${image}`, '1', buildImage({ name: image }));
    await writeFile(file('list.txt'), `${registry.host}/team/a:1\n${registry.host}/team/b:1\n`);
    const planned = await run(
      ...['images', '--list', file('list.txt'), '--target', `${registry.host}/copy`],
      ...['--shards', location, '--shard-count', '2'],
    );
    expect(planned.status, planned.stdout).toBe(0);
  });
  afterEach(async () => {
    await Promise.all([registry.close(), cluster.close()]);
    await rm(folder, { recursive: true, force: true });
  });

  function run(...args: readonly string[]): Promise<ProgramRun> {
    const { port } = cluster;
    const env = { TMPDIR: folder, KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(port) };
    return runProgram([...args, '--out', file('out')], env);
  }
  const work = async (index: number): Promise<void> => {
    const worked = await run('worker', '--shards', location, '--index', String(index));
    expect(worked.status, worked.stdout).toBe(0);
  };
  const submit = (...more: readonly string[]): Promise<ProgramRun> =>
    run(
      ...['kubernetes-job', '--shards', location, '--template', file('workers.yaml'), '--interval', '0.01'],
      ...['--service-account', file('account'), ...more],
    );
  const ends = (type: 'Complete' | 'Failed') => (job: StoredJob) => {
    job.status = { conditions: [{ type, status: 'True', reason: 'Told' }] };
  };

  it('waits for the workers and sums up', async () => {
    cluster.created = ends('Complete');
    await work(0);
    await work(1);
    const { status, stdout } = await submit('--owner', 'images-1/uid-1');
    expect(status, stdout).toBe(0);
    expect(stdout).toContain(`started the Job ${name} in namespace tools with 2 shards`);
    expect(stdout).toContain('2 images copied');
    expect(await json('summary.json')).toMatchObject({ copied: 2, failed: 0 });
    expect(cluster.jobs.get(name)?.metadata['ownerReferences']).toMatchObject([{ name: 'images-1', uid: 'uid-1' }]);
  });

  it('fails where a shard has no result, and leaves it for another try', async () => {
    cluster.created = ends('Failed');
    await work(1);
    const { status, stdout } = await submit();
    expect(status).toBe(1);
    expect(stdout).toContain(`the Job ${name} has failed: Told`);
    expect(await json('failed.json')).toMatchObject([{ index: 0 }]);
    expect(await json('summary.json')).toMatchObject({ copied: 1 });
  });

  it('sums up as well when somebody deletes the Job', async () => {
    cluster.faults.add({ action: 'GET', fault: { kind: 'call', run: () => cluster.jobs.clear() } });
    const { status, stdout } = await submit();
    expect(status).toBe(1);
    expect(stdout).toContain(`the Job ${name} was deleted before its end`);
    expect(await json('failed.json')).toHaveLength(2);
  });

  it('starts nothing beside an earlier run, which is no failure unless it has to run', async () => {
    const metadata = { name, uid: 'another', annotations: { 'image-replication/location': '/runs/earlier' } };
    const job = { ...template, metadata, apiVersion: 'batch/v1', kind: 'Job' } as const;
    cluster.jobs.set(name, { ...job, spec: { ...template.spec, completions: 9 }, status: { succeeded: 4, active: 2 } });
    const { status, stdout } = await submit();
    expect(status, stdout).toBe(0);
    expect(stdout).toContain(
      `the Job ${name} of an earlier run goes on in namespace tools (4 of 9 shards done, 2 under way; /runs/earlier): nothing is started`,
    );
    await expect(json('summary.json')).rejects.toThrow('ENOENT');
    const must = await submit('--must-run');
    expect(must.status).toBe(1);
    expect(must.stdout).toContain('nothing is started');
    expect(cluster.jobs.get(name)?.metadata.uid).toBe('another');
  });

  it('says which right is missing, and shows no token', async () => {
    cluster.verbs = new Set(['get', 'delete']);
    const { status, stdout, stderr } = await submit();
    expect(status).toBe(1);
    expect(stdout).toMatch(/cannot create resource "jobs".*in the namespace "tools"/);
    expect(stdout).toContain(`Role and RoleBinding ${name} in namespace tools`);
    expect(stdout + stderr + (await readFile(file('out/run.json'), 'utf8'))).not.toContain('secret-token-of-the-pod');
  });

  it('shows no token where the server repeats it', async () => {
    const body = JSON.stringify({ message: 'admission webhook denied Bearer secret-token-of-the-pod' });
    cluster.faults.add({ action: 'POST', fault: { kind: 'status', status: 403, body } });
    const { status, stdout, stderr } = await submit();
    expect(status).toBe(1);
    expect(stdout).toContain('admission webhook denied');
    expect(stdout).toContain('an admission rule of the cluster refuses it');
    expect(stdout + stderr + (await readFile(file('out/run.json'), 'utf8'))).not.toContain('secret-token-of-the-pod');
  });

  it('starts nothing for a plan without shards', async () => {
    await writeFile(join(location, 'shards.json'), '[]');
    const planning = Planning.parse(await json('planning.json'));
    await writeFile(join(location, 'planning.json'), JSON.stringify({ ...planning, shards: 0, images: 0 }));
    const { status, stdout } = await submit();
    expect(status, stdout).toBe(0);
    expect(stdout).toContain('there is nothing to start');
    expect(cluster.requests.count(({ method }) => method === 'POST')).toBe(0);
  });

  it.each([
    ['--owner', 'images-1', 'NAME/UID'],
    ['--interval', '0', 'seconds above 0'],
    ['--interval', 'soon', 'seconds above 0'],
  ])('refuses %s %s', async (option, value, told) => {
    const { status, stderr } = await submit(option, value);
    expect(status).toBe(2);
    expect(stderr).toContain(told);
  });

  it('stops waiting when it is told to, and lets the workers go on', async () => {
    const running = submit();
    await expect
      .poll(() => cluster.requests.count(({ method }) => method === 'GET'), { timeout: 30_000 })
      .toBeGreaterThan(1);
    process.emit('SIGTERM', 'SIGTERM');
    const { status, stdout } = await running;
    expect(status).toBe(1);
    expect(stdout).toContain(`nobody waits for the Job ${name} any more; it goes on by itself`);
    expect(stdout).toContain('stopped by SIGTERM');
    expect(cluster.jobs.has(name)).toBe(true);
  });
});
