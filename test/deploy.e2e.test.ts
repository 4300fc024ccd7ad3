import { execFile, spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import * as z from 'zod';
import { parseMirrorFile } from '../src/sources/mirror/mirror-file.ts';
import { buildImage } from '../src/testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../src/testing/registry-server.ts';
import { chart, podSettings } from './kubernetes/chart.ts';
import { runProgram } from './program.ts';
import { describeWith, requireTool, root } from './tools.ts';

const run = promisify(execFile);

const Container = z.looseObject({
  args: z.array(z.string()),
  env: z.array(z.looseObject({ name: z.string(), value: z.string().optional() })),
  image: z.string(),
  securityContext: z.looseObject({}),
  volumeMounts: z.array(z.looseObject({ name: z.string(), mountPath: z.string() })),
});
const Pod = z.looseObject({
  serviceAccountName: z.string(),
  securityContext: z.looseObject({}),
  containers: z.tuple([Container]),
  volumes: z.array(z.looseObject({ name: z.string() })),
});
const Rendered = z.looseObject({
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }),
  spec: z.unknown().optional(),
});
type Rendered = z.infer<typeof Rendered>;

describeWith(['helm3', 'helm4', 'kubernetes-validate'], 'the Helm chart of the mirror', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'image-replication-test-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** What a set of values renders to, after the schemas of Kubernetes have found nothing wrong with it. */
  async function render(name: string, values: object, helm = 'helm3'): Promise<readonly Rendered[]> {
    const [file, output] = [join(folder, `${name}.values.json`), join(folder, `${name}.yaml`)];
    await writeFile(file, JSON.stringify(values));
    const args = ['template', 'dmi', chart, '--namespace', 'tools', '--kube-version', '1.34.0', '-f', file];
    const { stdout } = await run(requireTool(helm), args);
    await writeFile(output, stdout);
    const check = await run(requireTool('kubernetes-validate'), ['--strict', '-k', '1.34', output]);
    expect(check.stdout + check.stderr).not.toMatch(/ERROR|WARN(?!.*ServiceMonitor)/);
    return parseAllDocuments(stdout).map((document) => Rendered.parse(document.toJS()));
  }

  function pod(objects: readonly Rendered[]): z.infer<typeof Pod> {
    const Spec = z.object({ template: z.object({ spec: Pod }) });
    const [owner] = objects.filter(({ kind }) => kind === 'Deployment' || kind === 'CronJob');
    if (owner?.kind === 'Deployment') return Spec.parse(owner.spec).template.spec;
    return z.object({ jobTemplate: z.object({ spec: Spec }) }).parse(owner?.spec).jobTemplate.spec.template.spec;
  }

  const kinds = (objects: readonly Rendered[]): readonly string[] => objects.map(({ kind }) => kind).sort();

  it.each(['helm3', 'helm4'])('passes %s lint, and renders alike', async (helm) => {
    await run(requireTool(helm), ['lint', '--strict', chart]);
    const objects = await render(`default-${helm}`, {}, helm);
    expect(kinds(objects)).toEqual(['ConfigMap', 'Deployment', 'PersistentVolumeClaim', 'Service', 'ServiceAccount']);
  });

  it('runs the scheduler without rights, with the names that the document has', async () => {
    const objects = await render('scheduler', { env: { AWS_DEFAULT_REGION: 'eu-west-1' } });
    const { containers, securityContext, volumes, serviceAccountName } = pod(objects);
    const [container] = containers;
    expect(securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 65532 });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    const secret = (key: string) => ({
      name: key,
      valueFrom: { secretKeyRef: { name: 'aws-dmi-secret', key, optional: true } },
    });
    expect(container.env).toEqual(
      expect.arrayContaining([
        ...['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_ACCOUNT'].map(secret),
        { name: 'CLOUD', value: 'AWS' },
        { name: 'DB_PATH', value: '/db/repository.db' },
        { name: 'AWS_DEFAULT_REGION', value: 'eu-west-1' },
      ]),
    );
    expect(container.volumeMounts.map(({ mountPath }) => mountPath)).toEqual(['/db', '/app/src', '/tmp']);
    expect(volumes[0]).toMatchObject({ persistentVolumeClaim: { claimName: 'dmi-image-replication-mirror' } });
    expect(serviceAccountName).toBe('dmi-image-replication-mirror');
    const config = z
      .object({ data: z.record(z.string(), z.string()) })
      .parse(objects.find(({ kind }) => kind === 'ConfigMap'));
    expect(parseMirrorFile(config.data['config.ini'] ?? '', 'config.ini').sections).toMatchObject([
      { target: 'istio/proxyv2', refreshSeconds: 604_800 },
    ]);
  });

  const everything = {
    image: { repository: 'example.com/tools/mirror', digest: `sha256:${'0'.repeat(64)}` },
    existingConfigMap: 'own',
    registrySecret: 'logins',
    target: 'NAME.azurecr.io/cache',
    platforms: 'linux/amd64',
    extraArgs: ['--json', '--concurrency', '4'],
    extraEnv: [{ name: 'HTTPS_PROXY', valueFrom: { secretKeyRef: { name: 'proxy', key: 'url' } } }],
    env: { CLOUD: 'AZURE' },
    awsSecret: { name: '' },
    serviceAccount: { annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::123456789012:role/mirror' } },
    networkPolicy: { enabled: true, from: [{ namespaceSelector: {} }], egressPorts: [443, 5000] },
    ...podSettings,
  };

  it('renders every value, as scheduler and as CronJob, and what runs knows its arguments', async () => {
    const serviceMonitor = { enabled: true, labels: { release: 'prometheus' } };
    const scheduler = await render('everything', { ...everything, serviceMonitor, persistence: { storageClass: '-' } });
    expect(kinds(scheduler)).toEqual([
      'Deployment',
      'NetworkPolicy',
      'PersistentVolumeClaim',
      'Service',
      'ServiceAccount',
      'ServiceMonitor',
    ]);
    const cronjob = await render('cronjob', { ...everything, mode: 'cronjob', persistence: { enabled: false } });
    expect(kinds(cronjob)).toEqual(['CronJob', 'NetworkPolicy', 'ServiceAccount']);
    for (const { containers, volumes } of [pod(scheduler), pod(cronjob)]) {
      const [{ args, image, env }] = containers;
      expect(image).toBe(everything.image.repository + '@' + everything.image.digest);
      expect(env.map(({ name }) => name)).toEqual([
        'IMAGE_REPLICATION_SPOOL_BYTES',
        ...['CLOUD', 'DB_PATH', 'DOCKER_CONFIG', 'TMPDIR', 'HTTPS_PROXY'],
      ]);
      expect(volumes).toContainEqual({ name: 'config', configMap: { name: 'own' } });
      const known = await runProgram([...args, '--status'], { DB_PATH: join(folder, 'none.db') });
      expect(known.status, known.stderr).toBe(0);
      expect((await runProgram([...args, '--colour'], {})).status).toBe(2);
    }
    expect(pod(cronjob).containers[0].args).toContain('--once');
  });

  it.each([
    ['an unknown value', { colour: 'red' }, 'colour'],
    ['an unknown mode', { mode: 'daemon' }, 'mode'],
    ['a schedule that is none', { schedule: 'soon' }, 'schedule'],
    ['a tag as a digest', { image: { digest: 'v1' } }, 'digest'],
    ['a monitor of a CronJob', { mode: 'cronjob', serviceMonitor: { enabled: true } }, 'serviceMonitor.enabled needs'],
  ])('refuses %s', async (name, values, told) => {
    await expect(render(name, values)).rejects.toThrow(told);
  });
});

describe("the container image's root file system", () => {
  let folder: string;
  let registry: RegistryServer;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'image-replication-test-'));
    await chmod(folder, 0o755);
    registry = await startRegistryServer({ manners: 'plain' });
    await registry.putImage('istio/proxyv2', '1.7.0', buildImage({ name: 'proxyv2' }));
  });
  afterEach(async () => {
    await registry.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** `NAME value`, `NAME ["a", "b"]` */
  const instruction = (dockerfile: string, name: string): string =>
    dockerfile
      .split('\n')
      .find((line) => line.startsWith(`${name} `))
      ?.slice(name.length + 1) ?? '';

  it("is built by the image's own steps, and runs where it cannot write", async () => {
    const image = join(folder, 'opt/image-replication');
    const NODE_MODULES = join(root, 'node_modules');
    // As in a checkout of somebody whose files are for nobody else.
    const command = 'umask 077 && exec sh "$0" "$1"';
    await run('sh', ['-c', command, join(root, 'deploy/rootfs.sh'), image], { env: { ...process.env, NODE_MODULES } });
    const files = await readdir(image, { recursive: true });
    const closed = await run('find', [image, '!', '-type', 'l', '!', '-perm', '-444']);
    expect(closed.stdout).toBe('');
    expect(files.filter((file) => /\.test\.ts$|^src\/testing/.test(file) && !file.startsWith('node_modules/'))).toEqual(
      [],
    );

    const dockerfile = await readFile(join(root, 'deploy/Dockerfile'), 'utf8');
    const words = z.array(z.string());
    const entry = words.parse(JSON.parse(instruction(dockerfile, 'ENTRYPOINT')));
    const cmd = words.parse(JSON.parse(instruction(dockerfile, 'CMD')));
    const user = Number(instruction(dockerfile, 'USER').split(':')[0]);
    expect(entry[1]).toBe('/opt/image-replication/scripts/image-replication.js');
    for (const name of ['db', 'tmp']) {
      await mkdir(join(folder, name));
      await chmod(join(folder, name), 0o777);
    }
    const config = join(folder, 'config.ini');
    await writeFile(
      config,
      `[aws/proxyv2]\nimage = proxyv2\ntag = 1.7.0\nsource-repository = ${registry.host}/istio\nproject = copy\n`,
    );
    const args = [...entry.slice(1), ...cmd].map((word) => (word.startsWith('/') ? join(folder, word) : word));
    // The image's own user, where this one may become it and the checkout lies where others can read it.
    const other = { uid: user, gid: user };
    const can = process.getuid?.() === 0 && spawnSync('test', ['-r', join(root, 'package.json')], other).status === 0;
    const env = {
      PATH: process.env['PATH'],
      HOME: join(folder, 'tmp'),
      TMPDIR: join(folder, 'tmp'),
      CLOUD: 'GKE',
      DB_PATH: join(folder, 'db/repository.db'),
    };
    const more = ['--config', config, '--once', '--target', registry.host];
    await run(process.execPath, [...args, ...more], { env, cwd: folder, ...(can ? other : {}) });
    expect(registry.tags('copy/proxyv2')).toEqual(['1.7.0']);
    expect(await readdir(join(folder, 'db'))).toEqual(['repository.db']);
    expect(await readdir(image, { recursive: true })).toEqual(files);
  });
});
