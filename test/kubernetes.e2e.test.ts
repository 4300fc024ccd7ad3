import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { createAuthority } from '../src/testing/certificates.ts';
import { buildImage } from '../src/testing/image-builder.ts';
import { type KubernetesServer, startKubernetesServer } from '../src/testing/kubernetes-server.ts';
import { type RegistryServer, startRegistryServer } from '../src/testing/registry-server.ts';
import {
  chart,
  faultsOf,
  lint,
  objectOf,
  objectsIn,
  type Rendered,
  podSettings,
  render,
  runPod,
  workerPod,
  workersJob,
} from './kubernetes/chart.ts';
import { controlJob, type Node, runContainer } from './kubernetes/pods.ts';
import { type ProgramRun, runProgram } from './program.ts';
import { story } from './story.ts';
import { describeWith, root } from './tools.ts';

const aws = {
  mode: 'fleet-cronjob',
  schedule: '5 3 * * *',
  image: { repository: 'example.com/tools/mirror', digest: `sha256:${'0'.repeat(64)}` },
  fleet: {
    args: ['--src-region', 'eu-west-1', '--dest-region', 'us-east-1'],
    location: 's3://runs-bucket/daily/',
    status: 'dynamodb:status',
    budget: 'dynamodb:coordination',
    shardCount: 40,
    parallelism: 20,
  },
  registrySecret: 'logins',
  platforms: 'linux/amd64',
  extraEnv: [{ name: 'HTTPS_PROXY', value: 'http://proxy:3128' }],
  serviceAccount: { annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::123456789012:role/replication' } },
  networkPolicy: { enabled: true, apiServerCidrs: ['10.0.0.0/16'] },
  ...podSettings,
};
const volume = {
  mode: 'fleet-job',
  fleet: {
    job: 'mirror',
    volume: { enabled: true, storageClass: 'efs', annotations: { keep: 'yes' } },
    status: 'sqlite',
    parallelism: 1,
    deadlineSeconds: 0,
  },
  target: 'NAME.azurecr.io/cache',
  affinity: { nodeAffinity: {} },
};
const locked = {
  mode: 'fleet-cronjob',
  fleet: {
    job: 'eks',
    args: ['--lock', '/etc/image-replication/lock.json', '--project', 'demo'],
    files: { 'lock.json': '{}' },
    finish: ['eks', '--lock', '/etc/image-replication/lock.json', '--project', 'demo', '--publish'],
    location: 's3://runs-bucket/eks',
  },
  rbac: { create: false },
};

describeWith(['helm3', 'helm4', 'kubernetes-validate'], 'the Helm chart of runs over many pods', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'image-replication-test-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const rendered = async (values: object): Promise<readonly Rendered[]> => objectsIn(await render(folder, values));
  const kinds = (objects: readonly Rendered[]): readonly string[] => objects.map(({ kind }) => kind).sort();

  it('renders alike with helm 3 and 4, to what Kubernetes knows field by field', async () => {
    const texts: string[] = [];
    for (const values of [aws, volume, locked]) {
      const text = await render(folder, values);
      expect(await render(folder, values, { helm: 'helm4' })).toBe(text);
      texts.push(text, await workersJob(folder, objectsIn(text)));
    }
    const all = texts.join('\n---\n');
    for (const version of ['1.34', '1.37']) expect(await faultsOf(folder, all, version)).toBe('');
    // The check itself: it sees a misspelt field, in the Job of the workers and in that of the run.
    for (const field of ['backoffLimitPerIndex', 'concurrencyPolicy'])
      expect(await faultsOf(folder, all.replaceAll(`${field}:`, `${field}s:`), '1.34')).toContain(`${field}s`);
  });

  it.each(['helm3', 'helm4'])('passes %s lint', async (helm) => {
    await lint(folder, { ...aws, mode: 'fleet-job' }, helm);
    await expect(lint(folder, { fleet: { paralelism: 1 } }, helm)).rejects.toThrow('paralelism');
  });

  it('runs on AWS: plan in S3, status and write budget in DynamoDB, one container with a token', async () => {
    const objects = await rendered(aws);
    expect(kinds(objects)).toEqual(
      ['ConfigMap', 'CronJob', 'NetworkPolicy', 'NetworkPolicy', 'Role', 'RoleBinding', 'ServiceAccount'].sort(),
    );
    const [pod, worker] = [runPod(objects), workerPod(objects)];
    const [plan] = pod.spec.initContainers;
    expect(plan?.args.join(' ')).toBe(
      'ecr --platforms linux/amd64 --src-region eu-west-1 --dest-region us-east-1 --status-store dynamodb:status ' +
        '--budget dynamodb:coordination --workers 20 --shard-count 40 --shards $(SHARDS_LOCATION) --out /tmp/out',
    );
    const containers = [...pod.spec.initContainers, ...pod.spec.containers, ...worker.spec.containers];
    expect(containers.map(({ name }) => name)).toEqual(['plan', 'run', 'worker']);
    const token = ({ volumeMounts }: (typeof containers)[number]): boolean =>
      volumeMounts.some(({ mountPath }) => mountPath === '/var/run/secrets/kubernetes.io/serviceaccount');
    expect(containers.map(token)).toEqual([false, true, false]);
    for (const { spec } of [pod, worker]) {
      expect(spec.automountServiceAccountToken).toBe(false);
      expect(spec.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
      expect(spec).toMatchObject({ restartPolicy: 'Never', serviceAccountName: 'dmi-image-replication-mirror' });
    }
    for (const { securityContext, resources, env } of containers) {
      expect(securityContext).toMatchObject({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true });
      expect(resources).toHaveProperty('limits.memory');
      expect(env).toContainEqual({ name: 'HTTPS_PROXY', value: 'http://proxy:3128' });
    }
  });

  it('gives a run the rights for just the Job of its workers', async () => {
    const objects = await rendered(aws);
    const template: unknown = parse(objectOf(objects, 'ConfigMap', '-fleet').data?.['workers.yaml'] ?? '');
    const { metadata } = z.object({ metadata: z.object({ name: z.string(), namespace: z.string() }) }).parse(template);
    expect(metadata).toEqual({ name: 'dmi-image-replication-mirror-workers', namespace: 'tools' });
    const role = objectOf(objects, 'Role');
    expect(role.metadata.name).toBe(metadata.name);
    expect(role.rules).toEqual([
      { apiGroups: ['batch'], resources: ['jobs'], verbs: ['create'] },
      { apiGroups: ['batch'], resources: ['jobs'], resourceNames: [metadata.name], verbs: ['get', 'delete'] },
    ]);
    expect(kinds(await rendered(locked))).not.toContain('Role');
  });

  it('names pods so that the last of a thousand has a host name', async () => {
    const objects = await rendered({ ...aws, fullnameOverride: 'x'.repeat(52) });
    const template: unknown = parse(objectOf(objects, 'ConfigMap', '-fleet').data?.['workers.yaml'] ?? '');
    const { name } = z.object({ metadata: z.object({ name: z.string() }) }).parse(template).metadata;
    expect(`${name}-999`.length).toBeLessThanOrEqual(63);
  });

  it('keeps the status of each image on a volume of one worker, and the run on one of many', async () => {
    const objects = await rendered(volume);
    expect(kinds(objects)).toEqual(
      [
        'ConfigMap',
        'ConfigMap',
        'Job',
        'PersistentVolumeClaim',
        'PersistentVolumeClaim',
        'Role',
        'RoleBinding',
        'ServiceAccount',
      ].sort(),
    );
    expect(objectOf(objects, 'PersistentVolumeClaim', '-runs').spec).toMatchObject({ accessModes: ['ReadWriteMany'] });
    expect(objectOf(objects, 'PersistentVolumeClaim', '-mirror').spec).toMatchObject({
      accessModes: ['ReadWriteOnce'],
    });
    const [pod, worker] = [runPod(objects), workerPod(objects)];
    for (const { volumeMounts } of [...pod.spec.initContainers, ...worker.spec.containers])
      expect(volumeMounts.map(({ mountPath }) => mountPath)).toEqual(expect.arrayContaining(['/tmp', '/runs', '/db']));
    // A volume for one node: the worker goes where the planner was, whose labels these are.
    const Near = z.object({
      nodeAffinity: z.object({}),
      podAffinity: z.object({
        requiredDuringSchedulingIgnoredDuringExecution: z.tuple([
          z.object({
            topologyKey: z.literal('kubernetes.io/hostname'),
            labelSelector: z.object({ matchLabels: z.record(z.string(), z.string()) }),
          }),
        ]),
      }),
    });
    const [near] = Near.parse(worker.spec['affinity']).podAffinity.requiredDuringSchedulingIgnoredDuringExecution;
    expect(pod.metadata.labels).toMatchObject(near.labelSelector.matchLabels);
    expect(pod.spec['affinity']).toEqual({ nodeAffinity: {} });
  });

  it('finishes a run with a command of its own, which waits for the workers', async () => {
    const { spec } = runPod(await rendered(locked));
    expect(spec.initContainers.map(({ name }) => name)).toEqual(['plan', 'run']);
    expect(spec.initContainers[1]?.args).toContain('--must-run');
    expect(spec.containers.map(({ name, args }) => [name, args])).toEqual([['finish', locked.fleet.finish]]);
  });

  it('has arguments that the program knows', async () => {
    for (const values of [aws, volume, locked]) {
      const objects = await rendered(values);
      const pods = [runPod(objects), workerPod(objects)];
      for (const { args } of pods.flatMap(({ spec }) => [...spec.initContainers, ...spec.containers])) {
        const { stdout } = await runProgram([args[0] ?? '', '--help'], {});
        for (const option of args.filter((arg) => arg.startsWith('--'))) expect(stdout).toContain(`${option} `);
      }
    }
  });

  it('is what its page says', async () => {
    const page = await readFile(join(root, 'docs/fleet.md'), 'utf8');
    const [, example = ''] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
    const objects = await rendered(z.looseObject({ mode: z.string() }).parse(parse(example)));
    expect(kinds(objects)).toContain('CronJob');
    const values: unknown = parse(await readFile(join(chart, 'values.yaml'), 'utf8'));
    const names = Object.keys(z.object({ fleet: z.looseObject({}) }).parse(values).fleet);
    const told = [...page.matchAll(/`fleet\.(\w+)`/g)].map(([, name]) => name);
    expect(new Set(told)).toEqual(new Set(names));
  });

  const fleet = { location: 's3://runs-bucket/a' };
  it.each([
    ['several workers with SQLite', { fleet: { ...fleet, status: 'sqlite' } }, 'parallelism'],
    [
      'SQLite without a volume',
      { fleet: { ...fleet, status: 'sqlite', parallelism: 1 }, persistence: { enabled: false } },
      'persistence',
    ],
    [
      'SQLite on a volume for one pod',
      { fleet: { ...fleet, status: 'sqlite', parallelism: 1 }, persistence: { accessMode: 'ReadWriteOncePod' } },
      'accessMode',
    ],
    ['runs without a place', {}, 'fleet.location is needed'],
    ['runs with two places', { fleet: { ...fleet, volume: { enabled: true } } }, 'exclude each other'],
    ['a bucket without a folder', { fleet: { location: 's3://runs-bucket' } }, 'location'],
    ['an unknown value', { fleet: { ...fleet, paralelism: 3 } }, 'paralelism'],
    ['another status store', { fleet: { ...fleet, status: 'mysql:x' } }, 'status'],
    ['an unknown job', { fleet: { ...fleet, job: 'chart' } }, 'job'],
    ["a file in the template's place", { fleet: { ...fleet, files: { 'workers.yaml': 'x' } } }, 'workers.yaml'],
    ['a monitor', { fleet, serviceMonitor: { enabled: true } }, 'serviceMonitor.enabled needs'],
  ])('refuses %s', async (_, values, told) => {
    await expect(render(folder, { mode: 'fleet-job', ...values })).rejects.toThrow(told);
  });

  it('refuses a cluster that does not repeat indexes one by one, for runs only', async () => {
    await expect(render(folder, aws, { version: '1.28.9' })).rejects.toThrow('needs Kubernetes 1.29');
    expect(await render(folder, {}, { version: '1.28.9' })).toContain('kind: Deployment');
    expect(chart).toMatch(/deploy\/chart$/);
  });
});

describeWith(['helm3'], 'a run over the pods that the chart renders', () => {
  let folder: string;
  let source: RegistryServer;
  let target: RegistryServer;
  let cluster: KubernetesServer;
  let objects: readonly Rendered[];
  let node: Node;
  let running: Map<string, { kill(signal: NodeJS.Signals): boolean }>;
  let controllers: Promise<void>[];
  const names = ['a', 'b', 'c', 'd', 'e'];

  const part = story(begin, end);
  async function begin(): Promise<void> {
    running = new Map();
    controllers = [];
    folder = await mkdtemp(join(tmpdir(), 'image-replication-test-'));
    [source, target] = [
      await startRegistryServer({ manners: 'plain' }),
      await startRegistryServer({ manners: 'plain' }),
    ];
    for (const name of names.slice(1)) await source.putImage(`team/${name}`, '1', buildImage({ name }));
    const authority = await createAuthority();
    cluster = await startKubernetesServer({
      tls: await authority.issue(['127.0.0.1']),
      namespace: 'tools',
      token: 'token-of-the-pod',
    });
    const volumes = Object.fromEntries(
      ['tmp', 'runs', 'db', 'files', 'kubernetes'].map((name) => [name, join(folder, name)]),
    );
    for (const path of Object.values(volumes)) await mkdir(path);
    const list = names.map((name) => `${source.host}/team/${name}:1`).join('\n');
    objects = objectsIn(
      await render(folder, {
        mode: 'fleet-cronjob',
        target: `${target.host}/copy`,
        fleet: {
          job: 'images',
          args: ['--list', '/etc/image-replication/images.txt'],
          files: { 'images.txt': `${list}\n` },
          volume: { enabled: true },
          status: 'sqlite',
          parallelism: 1,
          shardCount: 3,
          retries: 1,
        },
      }),
    );
    for (const [name, text] of Object.entries(objectOf(objects, 'ConfigMap', '-fleet').data ?? {}))
      await writeFile(join(folder, 'files', name), text);
    const account = { token: 'token-of-the-pod', 'ca.crt': authority.certificate, namespace: 'tools' };
    for (const [name, text] of Object.entries(account)) await writeFile(join(folder, 'kubernetes', name), text);
    node = {
      volumes,
      env: {
        PATH: process.env['PATH'],
        HOME: folder,
        KUBERNETES_SERVICE_HOST: '127.0.0.1',
        KUBERNETES_SERVICE_PORT: String(cluster.port),
      },
      started: (container, index, child) => running.set(`${container} ${index ?? ''}`.trim(), child),
    };
    cluster.created = (job) => void controllers.push(controlJob(node, job));
  }
  async function end(): Promise<void> {
    await Promise.allSettled(controllers);
    await Promise.all([source.close(), target.close(), cluster.close()]);
    await rm(folder, { recursive: true, force: true });
  }

  /** What the CronJob's pod does: its containers one after the other. @returns those of the containers that were run */
  async function pod(name: string, suffix = 'x'): Promise<Record<string, ProgramRun>> {
    const { metadata, spec } = runPod(objects);
    const uid = `uid-of-${name}`;
    const labels = {
      ...metadata.labels,
      'batch.kubernetes.io/job-name': name,
      'batch.kubernetes.io/controller-uid': uid,
    };
    const runs: Record<string, ProgramRun> = {};
    for (const container of [...spec.initContainers, ...spec.containers]) {
      const more =
        container.name === 'run' ? ['--service-account', join(folder, 'kubernetes'), '--interval', '0.05'] : [];
      const run = await runContainer(node, { name: `${name}-${suffix}`, labels }, container, { args: more });
      runs[container.name] = run;
      if (run.status !== 0) break;
    }
    await Promise.all(controllers);
    return runs;
  }

  const json = async (path: string): Promise<unknown> => JSON.parse(await readFile(join(folder, 'runs', path), 'utf8'));
  const Failed = z.array(z.looseObject({ index: z.number(), images: z.number() }));
  const Result = z.looseObject({ attempts: z.number(), counts: z.record(z.string(), z.number()) });

  part('copies what can be had, outlasts a killed worker, and names what failed', async () => {
    // The first worker dies in the middle of its uploads.
    target.fail({
      class: 'upload-put',
      skip: 1,
      fault: { kind: 'call', run: () => void running.get('worker 0')?.kill('SIGKILL') },
    });
    const { plan, run } = await pod('dmi-1');
    expect(plan?.status, `${plan?.stdout}${plan?.stderr}`).toBe(0);
    expect(run?.status, run?.stdout).toBe(1);
    expect(run?.stdout).toContain(
      'started the Job dmi-image-replication-mirror-workers in namespace tools with 3 shards',
    );
    expect(run?.stdout).toContain('team/a:1');
    for (const name of names.slice(1)) expect(target.tags(`copy/team/${name}`), name).toEqual(['1']);
    const failed = Failed.parse(await json('dmi-1-x/failed.json'));
    expect(failed).toHaveLength(1);
    const results = await Promise.all(
      [0, 1, 2].map(async (index) => Result.parse(await json(`dmi-1-x/results/000${index}.json`))),
    );
    // The killed one was begun again; so was the one with the missing image, as the values say.
    expect(results[0]?.attempts).toBeGreaterThan(1);
    expect(results[failed[0]?.index ?? -1]?.attempts).toBeGreaterThan(1);
    expect(results.reduce((sum, { counts }) => sum + (counts['copied'] ?? 0), 0)).toBe(4);
    expect(await readdir(join(folder, 'db'))).toContain('status.db');
    expect(await readdir(join(folder, 'runs/dmi-1-x'))).toEqual(
      expect.arrayContaining(['report.html', 'summary.json']),
    );
  });

  part('puts the next run into its place, and outlasts the loss of the pod that waits', async () => {
    await source.putImage('team/a', '1', buildImage({ name: 'a' }));
    target.requests.reset();
    const control = cluster.created;
    cluster.created = (job) => {
      running.get('run')?.kill('SIGKILL');
      control(job);
    };
    const lost = await pod('dmi-2');
    cluster.created = control;
    expect(lost['run']?.status).toBeNull();
    // The Job controller makes another pod of the same Job, which plans anew and finds the workers of the first.
    const { run } = await pod('dmi-2', 'y');
    expect(run?.status, run?.stdout).toBe(0);
    expect(run?.stdout).toMatch(/this run has started it before, for .*dmi-2-x/);
    expect(await readdir(join(folder, 'runs/dmi-2-y'))).not.toContain('results');
    expect(target.tags('copy/team/a')).toEqual(['1']);
    expect(new Set(target.requests.of('manifest-put').map(({ repository }) => repository))).toEqual(
      new Set(['copy/team/a']),
    );
    expect(await json('dmi-2-x/failed.json')).toEqual([]);
    expect([...cluster.jobs.values()].map(({ metadata }) => metadata['ownerReferences'])).toEqual([
      [{ apiVersion: 'batch/v1', kind: 'Job', name: 'dmi-2', uid: 'uid-of-dmi-2' }],
    ]);
    const states = await runProgram(
      ['status', '--store', `sqlite:${join(folder, 'db/status.db')}`, '--out', join(folder, 'tmp')],
      {},
    );
    expect(states.stdout).toMatch(/copied|unchanged/);
    expect(states.stdout).not.toMatch(/failed +\d* *team\/a/);
  });

  part('starts nothing while an earlier run goes on, says so, and ends well', async () => {
    const [job] = cluster.jobs.values();
    if (job === undefined) throw new Error('there is no Job');
    job.status = { active: 1, succeeded: 2 };
    const { run } = await pod('dmi-3');
    expect(run?.status, run?.stdout).toBe(0);
    expect(run?.stdout).toMatch(
      /of an earlier run goes on in namespace tools \(2 of 3 shards done, 1 under way; .*dmi-2-x\)/,
    );
    expect(await readdir(join(folder, 'runs/dmi-3-x'))).not.toContain('results');
  });
});

describe('the command kubernetes-job', () => {
  it('says where it can run', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'image-replication-test-'));
    try {
      const template = join(folder, 'workers.yaml');
      const job = { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'x' } };
      const spec = { completionMode: 'Indexed', template: { spec: { containers: [{ name: 'worker' }] } } };
      await writeFile(template, JSON.stringify({ ...job, spec }));
      const args = ['kubernetes-job', '--shards', folder, '--template', template, '--out', folder];
      const unplanned = await runProgram(args, {});
      expect(unplanned).toMatchObject({ status: 2, stdout: expect.stringContaining('there is no') as unknown });
      await writeFile(join(folder, 'shards.json'), '[]');
      const outside = await runProgram(args, {});
      expect(outside.status).toBe(2);
      expect(outside.stdout).toContain('KUBERNETES_SERVICE_HOST is not set');
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
