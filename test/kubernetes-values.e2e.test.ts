import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { parseSize } from '../src/cli/size.ts';
import { faultsOf, objectOf, objectsIn, type Rendered, render, workersJob } from './kubernetes/chart.ts';
import { describeWith } from './tools.ts';

const fleet = { location: 's3://runs-bucket/a' };
const modes = ['deployment', 'cronjob', 'fleet-cronjob', 'fleet-job'] as const;
const ofMode = (mode: string, values: object = {}) => ({
  mode,
  ...(mode.startsWith('fleet-') ? { fleet } : {}),
  ...values,
});

const Variable = z.looseObject({ name: z.string(), value: z.string().optional(), valueFrom: z.unknown().optional() });
const Container = z.looseObject({
  name: z.string(),
  env: z.array(Variable),
  securityContext: z.looseObject({}),
  volumeMounts: z.array(z.looseObject({ name: z.string(), mountPath: z.string() })),
});
const Pod = z.looseObject({
  securityContext: z.looseObject({}),
  initContainers: z.array(Container).default([]),
  containers: z.array(Container),
  volumes: z.array(z.looseObject({ name: z.string() })),
});
type Pod = z.infer<typeof Pod>;

/** Every pod that comes of an object, wherever in it the pod's specification lies. */
function podsIn(value: unknown): readonly Pod[] {
  if (typeof value !== 'object' || value === null) return [];
  if ('containers' in value) return [Pod.parse(value)];
  return Object.values(value).flatMap(podsIn);
}

const workers = (objects: readonly Rendered[]): Rendered | undefined => {
  const text = objects.find(({ metadata }) => metadata.name.endsWith('-fleet'))?.data?.['workers.yaml'];
  return text === undefined ? undefined : z.custom<Rendered>().parse(parse(text));
};
/** Objects of a release, the Job of its workers among them. */
const allOf = (objects: readonly Rendered[]): readonly Rendered[] => {
  const job = workers(objects);
  return job === undefined ? objects : [...objects, job];
};
const containersOf = ({ initContainers, containers }: Pod) => [...initContainers, ...containers];

describeWith(['helm3', 'helm4', 'kubernetes-validate'], 'the Helm chart with values that are not ordinary', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'image-replication-test-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const rendered = async (values: object, options: Parameters<typeof render>[2] = {}): Promise<readonly Rendered[]> =>
    allOf(objectsIn(await render(folder, values, options)));

  it.each(['helm3', 'helm4'])('hands on files to the byte: %s', async (helm) => {
    const files = {
      indented: '  first line indented\nsecond\n',
      comment: '\n\n# {{ .Values.x }} $(HOME) --- \n---\nkey: "v" \'w\' \\n\n\n\n',
      tabs: '\tq\r\nz \n',
      '123': 'no end of line',
      true: ' ',
      umlaut: 'größe: 1 # ☸ \u0001 \u00a0 x\n',
    };
    const values = { mode: 'fleet-job', fleet: { ...fleet, job: 'mirror', files }, config: '  [DEFAULT]\n a = 1' };
    const objects = await rendered(values, { helm });
    const workersYaml = expect.stringContaining('kind: Job') as unknown;
    expect(objectOf(objects, 'ConfigMap', '-fleet').data).toEqual({ ...files, 'workers.yaml': workersYaml });
    expect(objectOf(objects, 'ConfigMap', '-config').data).toEqual({ 'config.ini': values.config });
  });

  // https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
  const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
  const labelValue = /^([A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?)?$/;
  const Labels = z.record(z.string(), z.string().max(63).regex(labelValue));
  const Named = z.looseObject({ metadata: z.looseObject({ name: z.string(), namespace: z.string(), labels: Labels }) });

  function nameFaults(objects: readonly Rendered[]): readonly string[] {
    return objects.flatMap((object) => {
      const { name } = Named.parse(object).metadata;
      const most = object.kind === 'CronJob' ? 52 : 63;
      const host = object.kind === 'Job' && name.endsWith('-workers') ? `${name}-999` : name;
      if (!label.test(host) || host.length > most) return [`${object.kind} ${name}`];
      return object.kind === 'Service' && /^\d/.test(name) ? [`${object.kind} ${name}`] : [];
    });
  }

  it.each(['123', '1e3', 'my.release.v2', `${'a'.repeat(37)}--bcd`, `${'a.'.repeat(26)}b`])(
    'has names and labels that Kubernetes takes, for a release named %s',
    async (release) => {
      for (const mode of ['deployment', 'fleet-cronjob', 'fleet-job']) {
        const objects = await rendered(ofMode(mode), { release, namespace: '1000' });
        expect(nameFaults(objects), mode).toEqual([]);
      }
    },
  );

  it('keeps releases apart whose names differ at their ends only', async () => {
    const names = async (release: string): Promise<readonly string[]> =>
      (await rendered(ofMode('fleet-job'), { release })).map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    for (const start of ['a'.repeat(52), `${'a'.repeat(20)}-image-replication-mirror-${'b'.repeat(5)}`]) {
      const [one, two] = [await names(`${start}1`), await names(`${start}2`)];
      expect(one.filter((name) => two.includes(name))).toEqual([]);
    }
    const ours = { fullnameOverride: `${'a'.repeat(49)}-x` };
    const theirs = { fullnameOverride: `${'a'.repeat(49)}-y` };
    const job = async (values: object) => workers(await rendered(ofMode('fleet-job', values)))?.metadata.name;
    expect(await job(ours)).not.toBe(await job(theirs));
  });

  it('gives every container each variable once, the last of its name, and numbers as they were written', async () => {
    const values = {
      env: {
        AWS_ACCOUNT: 123_456_789_012,
        'some-bytes': 25_000_000,
        RATIO: 0.5,
        DEBUG: true,
        TMPDIR: '/var/tmp',
        CLOUD: 'AWS',
      },
      extraEnv: [
        { name: 'AWS_ACCESS_KEY_ID', valueFrom: { secretKeyRef: { name: 'own', key: 'id' } } },
        { name: 'CLOUD', value: 'GCP' },
        { name: 'DOCKER_CONFIG', value: '/own' },
      ],
      registrySecret: 'logins',
    };
    for (const mode of modes) {
      const pods = (await rendered(ofMode(mode, values))).flatMap(podsIn);
      expect(pods).toHaveLength(mode.startsWith('fleet-') ? 2 : 1);
      for (const { env, name } of pods.flatMap(containersOf)) {
        const names = env.map((each) => each.name);
        expect(
          names.filter((each, index) => names.indexOf(each) !== index),
          `${mode} ${name}`,
        ).toEqual([]);
        expect(Object.fromEntries(env.map((each) => [each.name, each.value ?? each.valueFrom]))).toMatchObject({
          AWS_ACCOUNT: '123456789012',
          SOME_BYTES: '25000000',
          RATIO: '0.5',
          DEBUG: 'true',
          CLOUD: 'GCP',
          DOCKER_CONFIG: '/own',
          AWS_ACCESS_KEY_ID: { secretKeyRef: { name: 'own', key: 'id' } },
        });
      }
    }
  });

  it.each<readonly [title: string, values: object, bytes: number | undefined]>([
    ['of the chart’s own', {}, 8 * 2 ** 30],
    ['of plain bytes', { temporarySize: '1000000' }, 1e6],
    ['with a fraction', { temporarySize: '1.5Ti' }, 1.5 * 2 ** 40],
    ['with an exponent', { temporarySize: '5e9' }, 5e9],
    ['beyond all disks', { temporarySize: '16E' }, 1e15],
    ['without a bound', { temporarySize: '' }, undefined],
    ['that the limits of the container undercut', { resources: { limits: { 'ephemeral-storage': '2G' } } }, 2e9],
    ['that the limits of the container do not', { resources: { limits: { 'ephemeral-storage': '9Gi' } } }, 8 * 2 ** 30],
    ['left to the limits', { temporarySize: null, resources: { limits: { 'ephemeral-storage': 4e9 } } }, 4e9],
  ])(
    'has every pod keep its blobs within nine tenths of a disk %s, or it would be evicted',
    async (_, values, bytes) => {
      for (const mode of modes)
        for (const { env, name } of (await rendered(ofMode(mode, values))).flatMap(podsIn).flatMap(containersOf)) {
          const said = env.find((each) => each.name === 'IMAGE_REPLICATION_SPOOL_BYTES')?.value;
          expect(said === undefined ? said : parseSize(said), `${mode} ${name}`).toBe(bytes && Math.floor(bytes * 0.9));
        }
    },
  );

  it('leaves the last word on that to whoever says a size', async () => {
    const env = { IMAGE_REPLICATION_SPOOL_BYTES: '1GiB' };
    for (const container of (await rendered(ofMode('deployment', { env }))).flatMap(podsIn).flatMap(containersOf))
      expect(container.env).toContainEqual({ name: 'IMAGE_REPLICATION_SPOOL_BYTES', value: '1GiB' });
  });

  it('takes what looks like a number for the text that it is, and large numbers for whole ones', async () => {
    const values = {
      fullnameOverride: '123',
      priorityClassName: '100',
      registrySecret: '1e3',
      awsSecret: { name: '42', optional: false },
      existingConfigMap: '5',
      serviceAccount: { name: '0' },
      temporarySize: '1000000',
      image: { repository: '10.0.0.1:5000/a', tag: '1.10' },
      persistence: { existingClaim: '7', accessMode: 'ReadWriteOnce' },
      target: 'host/a: "b" # c',
      deadlineSeconds: 10_000_000,
      startingDeadlineSeconds: 1_000_000,
      timeZone: 'Etc/GMT+1',
    };
    const more = { ...fleet, parallelism: 1, status: 'sqlite', deadlineSeconds: 10_000_000, keepSeconds: 2_592_000 };
    const texts = await Promise.all([
      render(folder, { ...values, mode: 'deployment' }),
      render(folder, { ...values, mode: 'cronjob' }),
    ]);
    const runs = await render(folder, { ...values, mode: 'fleet-cronjob', fleet: more });
    for (const version of ['1.27', '1.34']) expect(await faultsOf(folder, texts.join('\n---\n'), version)).toBe('');
    const both = `${runs}\n---\n${await workersJob(folder, objectsIn(runs))}`;
    expect(await faultsOf(folder, both, '1.29')).toBe('');
    expect([...texts, runs].join('\n')).not.toMatch(/\de\+\d/);
  });

  // https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
  const volumeTypes = new Set(['configMap', 'emptyDir', 'persistentVolumeClaim', 'projected', 'secret']);
  const Restricted = z.looseObject({
    securityContext: z.looseObject({
      runAsNonRoot: z.literal(true),
      seccompProfile: z.object({ type: z.literal('RuntimeDefault') }),
    }),
  });
  const RestrictedContainer = z.looseObject({
    securityContext: z.object({
      allowPrivilegeEscalation: z.literal(false),
      readOnlyRootFilesystem: z.literal(true),
      capabilities: z.object({ drop: z.tuple([z.literal('ALL')]) }),
    }),
    resources: z.looseObject({ requests: z.looseObject({ cpu: z.string(), memory: z.string() }) }),
  });

  it.each(['helm3', 'helm4'])('has restricted pods in every mode, and leaves users to OpenShift: %s', async (helm) => {
    const volume = { volume: { enabled: true }, status: 'sqlite', parallelism: 1, job: 'eks', finish: ['eks'] };
    for (const values of [...modes.map((mode) => ofMode(mode)), { mode: 'fleet-job', fleet: volume }]) {
      const open = { podSecurityContext: { runAsUser: null, runAsGroup: null, fsGroup: null } };
      const objects = await rendered({ ...values, ...open, registrySecret: 'logins' }, { helm });
      for (const pod of objects.flatMap(podsIn)) {
        Restricted.parse(pod);
        for (const each of containersOf(pod)) RestrictedContainer.parse(each);
        const kinds = pod.volumes.flatMap((volume) => Object.keys(volume)).filter((key) => key !== 'name');
        expect(kinds.filter((kind) => !volumeTypes.has(kind))).toEqual([]);
      }
      expect(JSON.stringify(objects)).not.toMatch(/runAsUser|runAsGroup|"fsGroup"/);
    }
  });

  it('mounts an authority of the company in every container, and spreads the pods', async () => {
    const constraint = { maxSkew: 1, topologyKey: 'topology.kubernetes.io/zone', whenUnsatisfiable: 'ScheduleAnyway' };
    const values = {
      env: { NODE_EXTRA_CA_CERTS: '/etc/ca/ca.crt' },
      extraVolumes: [{ name: 'ca', configMap: { name: 'company-ca' } }],
      extraVolumeMounts: [{ name: 'ca', mountPath: '/etc/ca', readOnly: true }],
      topologySpreadConstraints: [constraint],
    };
    for (const mode of modes) {
      const objects = await rendered(ofMode(mode, values));
      const pods = objects.flatMap(podsIn);
      for (const pod of pods) {
        expect(pod.volumes).toContainEqual(values.extraVolumes[0]);
        expect(pod['topologySpreadConstraints']).toEqual([constraint]);
        for (const { volumeMounts, env } of containersOf(pod)) {
          expect(volumeMounts).toContainEqual(values.extraVolumeMounts[0]);
          expect(env).toContainEqual({ name: 'NODE_EXTRA_CA_CERTS', value: '/etc/ca/ca.crt' });
          // What is mounted is declared.
          const declared = pod.volumes.map(({ name }) => name);
          expect(volumeMounts.filter(({ name }) => !declared.includes(name))).toEqual([]);
        }
      }
    }
  });

  it('has the files of a run in its workers, too', async () => {
    const objects = await rendered({ mode: 'fleet-job', fleet: { ...fleet, files: { 'ca.crt': 'x' } } });
    for (const pod of objects.flatMap(podsIn))
      for (const { volumeMounts } of containersOf(pod))
        expect(volumeMounts.map(({ mountPath }) => mountPath)).toContain('/etc/image-replication');
  });

  it('lets pods to where credentials are handed out, with IPv4 and IPv6', async () => {
    const policy = JSON.stringify(await rendered({ networkPolicy: { enabled: true, apiServerCidrs: ['fd00::/8'] } }));
    for (const address of ['169.254.169.254/32', '169.254.170.23/32', 'fd00:ec2::254/128', 'fd00:ec2::23/128'])
      expect(policy).toContain(`"cidr":"${address}"`);
  });

  it('ends a run that never begins, in the zone that its times are for', async () => {
    const CronJob = z.object({
      spec: z.looseObject({ jobTemplate: z.object({ spec: z.looseObject({ activeDeadlineSeconds: z.number() }) }) }),
    });
    const zone = { timeZone: 'Europe/Berlin', startingDeadlineSeconds: 600 };
    const [mirror, run] = await Promise.all([
      rendered({ mode: 'cronjob', ...zone }),
      rendered({ mode: 'fleet-cronjob', fleet: { ...fleet, deadlineSeconds: 600 }, ...zone }),
    ]);
    for (const [objects, seconds] of [[mirror, 86_400] as const, [run, 1_200] as const]) {
      const { spec } = CronJob.parse(objectOf(objects, 'CronJob'));
      expect(spec).toMatchObject({
        timeZone: 'Europe/Berlin',
        startingDeadlineSeconds: 600,
        concurrencyPolicy: 'Forbid',
      });
      expect(spec.jobTemplate.spec.activeDeadlineSeconds).toBe(seconds);
    }
    const never = await rendered({ mode: 'fleet-cronjob', fleet: { ...fleet, deadlineSeconds: 0 } });
    expect(JSON.stringify(never)).not.toContain('activeDeadlineSeconds');
  });

  it('takes what is sensible', async () => {
    const sensible: readonly object[] = [
      { schedule: '@every 6h', image: { repository: '[fd00::1]:5000/tools/a', tag: '20261121' } },
      { schedule: '*/15 0-6,22 * JAN-MAR MON,wed', temporarySize: '', env: { AWS_ACCOUNT: '012345678901' } },
      {
        schedule: '0\t3 ? * *',
        temporarySize: '1.5Ti',
        resources: {
          requests: { cpu: 0.5, memory: '1.5e9', 'ephemeral-storage': '9Gi' },
          limits: { cpu: 2, 'example.com/device': 1 },
          claims: [{ name: 'a' }],
        },
      },
      {
        fullnameOverride: 'a.b-c',
        nameOverride: 'Mirror_1',
        serviceMonitor: { interval: '1m30s' },
        podLabels: { app: 'x' },
      },
      { affinity: null, nodeSelector: null, tolerations: null, resources: null, temporarySize: null, env: null },
      { resources: {}, podSecurityContext: {}, securityContext: { runAsUser: 1000 }, global: { a: 1 } },
      {
        networkPolicy: { enabled: true, apiServerCidrs: ['10.0.0.0/8', '::/0'] },
        priorityClassName: 'system-node-critical',
      },
    ];
    const texts = await Promise.all(
      sensible.flatMap((values) => ['deployment', 'fleet-cronjob'].map((mode) => render(folder, ofMode(mode, values)))),
    );
    expect(await faultsOf(folder, texts.join('\n---\n'), '1.34')).toBe('');
  });

  it('refuses a time zone where a CronJob has none', async () => {
    const zone = { mode: 'cronjob', timeZone: 'Europe/Berlin' };
    await expect(render(folder, zone, { version: '1.26.0' })).rejects.toThrow('timeZone needs Kubernetes 1.27');
    expect(await render(folder, { ...zone, mode: 'deployment' }, { version: '1.26.0' })).toContain('kind: Deployment');
  });

  it('refuses what is not, by name, before it is applied', async () => {
    const nonsense: readonly (readonly [object, string])[] = [
      [{ env: { AWS_ACCOUNT: 1_402_433_619 } }, 'AWS_ACCOUNT'],
      [{ env: { 'A B': 'x' } }, 'A B'],
      [{ temporarySize: 'lots' }, 'temporarySize'],
      [{ persistence: { size: '' } }, 'size'],
      [{ resources: { limit: { memory: '1Gi' } } }, 'limit'],
      [{ resources: { limits: { memory: '1 GB' } } }, 'memory'],
      [{ podLabels: { 'app.kubernetes.io/name': 'x' } }, 'podLabels'],
      [{ schedule: '@soon' }, 'schedule'],
      [{ schedule: 'every day at three oclock' }, 'schedule'],
      [{ schedule: 'CRON_TZ=Europe/Berlin 5 3 * * *' }, 'schedule'],
      [{ fullnameOverride: 'My_Name' }, 'fullnameOverride'],
      [{ registrySecret: 'a b' }, 'registrySecret'],
      [{ image: { repository: 'host/a:1.2' } }, 'repository'],
      [{ image: { tag: '1.2@sha256' } }, 'tag'],
      [{ extraVolumes: [{ name: 'tmp', emptyDir: {} }] }, 'extraVolumes'],
      [{ extraVolumeMounts: [{ name: 'a', mountPath: '/tmp' }] }, 'mountPath'],
      [{ persistence: null }, "missing property 'persistence'"],
      [{ fleet: { ...fleet, volume: null } }, "missing property 'volume'"],
      [{ extraEnv: [{ name: 'A', value: 1 }] }, 'extraEnv'],
      [{ networkPolicy: { apiServerCidrs: ['10.0.0.1'] } }, 'apiServerCidrs'],
      [{ serviceMonitor: { interval: 'often' } }, 'interval'],
      [{ fleet: { ...fleet, files: { '..': 'x' } } }, "propertyName '..'"],
      [{ fleet: { ...fleet, files: { '..data': 'x' } } }, "propertyName '..data'"],
    ];
    for (const [values, told] of nonsense)
      await expect(render(folder, ofMode('fleet-cronjob', values)), told).rejects.toThrow(told);
  });
});
