import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { RunEvent } from '../report/events.ts';
import { type CertificateAuthority, createAuthority } from '../testing/certificates.ts';
import type { TlsFiles } from '../testing/http-host.ts';
import { type KubernetesServer, startKubernetesServer, type StoredJob } from '../testing/kubernetes-server.ts';
import { type ClusterSettings, type JobObject, type JobsApi, openJobsApi } from './kubernetes-api.ts';
import { patiently, progressOf, submitJob, waitForJob } from './kubernetes-job.ts';
import { type JobTemplate, readJobTemplate, type RunOfShards } from './kubernetes-template.ts';

const name = 'images-workers';
const template: JobTemplate = {
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name, labels: { 'app.kubernetes.io/instance': 'images' } },
  spec: {
    completionMode: 'Indexed',
    parallelism: 10,
    template: { spec: { restartPolicy: 'Never', containers: [{ name: 'worker', env: [{ name: 'A', value: 'b' }] }] } },
  },
};
const run: RunOfShards = { location: 's3://runs/a/1', shards: 4, owner: { name: 'images-1', uid: 'uid-1' } };
const complete = { succeeded: 4, conditions: [{ type: 'Complete', status: 'True' }] };

const hasIpv6 = Object.values(networkInterfaces()).some((found) => found?.some(({ address }) => address === '::1'));
let authority: CertificateAuthority;
let tls: TlsFiles;
beforeAll(async () => {
  authority = await createAuthority();
  tls = await authority.issue(['127.0.0.1']);
});

let folder: string;
let server: KubernetesServer;
let api: JobsApi;
let stop: AbortController;
const events: RunEvent[] = [];
const reporter = { emit: (event: RunEvent) => void events.push(event) };
const opened: JobsApi[] = [];

async function open(settings: Partial<ClusterSettings> = {}): Promise<JobsApi> {
  const made = await openJobsApi({
    host: '127.0.0.1',
    port: String(server.port),
    folder,
    signal: stop.signal,
    pauseMs: 1,
    ...settings,
  });
  opened.push(made);
  return made;
}

beforeEach(async () => {
  events.length = 0;
  stop = new AbortController();
  folder = await mkdtemp(join(tmpdir(), 'image-replication-test-'));
  await writeFile(join(folder, 'ca.crt'), authority.certificate);
  await writeFile(join(folder, 'namespace'), 'tools');
  await writeFile(join(folder, 'token'), 'first\n');
  server = await startKubernetesServer({ tls, namespace: 'tools', token: 'first' });
  api = await open();
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((each) => each.close()));
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

const submit = (given: Partial<RunOfShards> = {}, by: JobsApi = api) =>
  submitJob(by, template, { ...run, ...given }, { signal: stop.signal, pauseMs: 1 });
const stored = (): StoredJob => {
  const job = server.jobs.get(name);
  if (job === undefined) throw new Error('there is no Job');
  return job;
};
const messages = (): readonly string[] => events.flatMap((event) => (event.type === 'notice' ? [event.message] : []));

describe('submitting the Job of a run', () => {
  it('creates it with an index for each shard, and the run folder before all other variables', async () => {
    expect(await submit()).toMatchObject({ kind: 'started', location: run.location });
    expect(stored()).toMatchObject({
      metadata: {
        labels: template.metadata.labels,
        annotations: { 'image-replication/location': 's3://runs/a/1', 'image-replication/shards': '4' },
        ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name: 'images-1', uid: 'uid-1' }],
      },
      spec: { completions: 4, parallelism: 4, completionMode: 'Indexed' },
    });
    expect(stored().spec['template']).toEqual({
      spec: {
        restartPolicy: 'Never',
        containers: [
          {
            name: 'worker',
            env: [
              { name: 'SHARDS_LOCATION', value: 's3://runs/a/1' },
              { name: 'A', value: 'b' },
            ],
          },
        ],
      },
    });
  });

  it('leaves one that still runs alone', async () => {
    await submit();
    const { uid } = stored().metadata;
    expect(await submit({ location: 's3://runs/a/2', owner: { name: 'images-2', uid: 'uid-2' } })).toMatchObject({
      kind: 'busy',
      location: 's3://runs/a/1',
    });
    expect(stored().metadata.uid).toBe(uid);
    expect(server.requests.count(({ method }) => method === 'DELETE')).toBe(0);
  });

  it.each(['Complete', 'Failed'])('puts itself into the place of one that has ended: %s', async (type) => {
    await submit();
    const { uid } = stored().metadata;
    stored().status = { conditions: [{ type, status: 'True' }] };
    // As a Job with a finalizer that is not yet done with.
    server.lingers = 3;
    const next = { location: 's3://runs/a/2', shards: 2, owner: { name: 'images-2', uid: 'uid-2' } };
    expect(await submit(next)).toMatchObject({ kind: 'started', location: 's3://runs/a/2' });
    expect(stored().metadata.uid).not.toBe(uid);
    expect(stored().spec.completions).toBe(2);
  });

  it("takes over what an earlier pod of the same Job has started, with that pod's folder", async () => {
    await submit();
    stored().status = complete;
    expect(await submit({ location: 's3://runs/a/planned-again' })).toMatchObject({
      kind: 'found',
      location: 's3://runs/a/1',
    });
    expect(server.requests.count(({ method }) => method === 'DELETE')).toBe(0);
  });

  it('starts nothing for a plan without shards, and still finds what it has started before', async () => {
    expect(await submit({ shards: 0 })).toEqual({ kind: 'nothing', location: run.location });
    await submit();
    expect(await submit({ shards: 0, location: 's3://runs/a/planned-again' })).toMatchObject({
      kind: 'found',
      location: 's3://runs/a/1',
    });
    const other = { shards: 0, location: 's3://runs/a/2', owner: { name: 'images-2', uid: 'uid-2' } };
    expect(await submit(other)).toEqual({ kind: 'nothing', location: 's3://runs/a/2' });
  });

  it('knows its own Job again when the answer to creating it is lost', async () => {
    server.faults.add({ action: 'POST', fault: { kind: 'reset', when: 'after' } });
    expect(await submit({ owner: undefined })).toMatchObject({ kind: 'found', location: run.location });
    expect(server.jobs.size).toBe(1);
  });

  it('never starts two, of however many that try at the same time', async () => {
    const apis = await Promise.all(Array.from({ length: 5 }, () => open()));
    const kinds = await Promise.all(
      apis.map(async (each, index) => {
        const owner = { name: `images-${index}`, uid: `uid-${index}` };
        return (await submit({ location: `s3://runs/a/${index}`, owner }, each)).kind;
      }),
    );
    expect(kinds.sort()).toEqual(['busy', 'busy', 'busy', 'busy', 'started']);
  });

  it('does not touch a Job of that name that nobody here has made', async () => {
    await submit();
    stored().metadata['annotations'] = {};
    stored().status = complete;
    await expect(submit({ owner: undefined })).rejects.toMatchObject({ code: 'conflict', reference: name });
    expect(server.jobs.size).toBe(1);
  });

  it.each(['create', 'get', 'delete'])('says which Role is missing: %s', async (verb) => {
    if (verb !== 'create') await submit();
    if (verb === 'delete') stored().status = complete;
    server.verbs = new Set(['create', 'get', 'delete'].filter((each) => each !== verb));
    const error = submit({ location: 's3://runs/a/2', owner: undefined });
    await expect(error).rejects.toMatchObject({
      code: 'denied',
      status: 403,
      message: expect.stringMatching(
        `answered 403 to ${verb} Job ${name} in namespace tools: .*cannot ${verb} resource`,
      ) as unknown,
      remedy: expect.stringContaining(
        `rbac.create=true, which makes the Role and RoleBinding ${name} in namespace tools`,
      ) as unknown,
    });
  });

  it('tells a quota from a missing Role', async () => {
    const body = JSON.stringify({
      message: 'jobs.batch "x" is forbidden: exceeded quota: all, requested: count/jobs.batch=1',
    });
    server.faults.add({ action: 'POST', fault: { kind: 'status', status: 403, body } });
    await expect(submit()).rejects.toMatchObject({
      code: 'denied',
      remedy: expect.stringContaining('ResourceQuota') as unknown,
    });
  });

  it.skipIf(!hasIpv6)('asks a cluster that has IPv6 only', async () => {
    const address = '::1';
    const other = await startKubernetesServer({
      tls: await authority.issue([address]),
      namespace: 'tools',
      token: 'first',
      address,
    });
    try {
      expect(await submit({}, await open({ host: address, port: String(other.port) }))).toMatchObject({
        kind: 'started',
      });
      expect(other.jobs.size).toBe(1);
    } finally {
      await other.close();
    }
  });

  it('reads the token anew for each request, as Kubernetes exchanges it', async () => {
    await submit();
    server.token = 'second';
    await writeFile(join(folder, 'token'), 'second');
    expect(await api.get(name)).toBeDefined();
    expect(server.requests.entries.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer first',
      'Bearer second',
    ]);
  });

  it('says that a token is not taken any more, and never shows it', async () => {
    server.token = 'other';
    const error: unknown = await submit().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'unauthorized',
      status: 401,
      remedy: expect.stringContaining('token') as unknown,
    });
    expect(String(error)).not.toContain('first');
  });

  it.each(['token', 'ca.crt', 'namespace'])('says what is not mounted: %s', async (file) => {
    await rm(join(folder, file));
    const refused = open().then((made) => submit({}, made));
    await expect(refused).rejects.toMatchObject({
      code: 'configuration',
      message: `there is no ${file} of a service account in ${folder}`,
    });
  });

  it('sends no token to a server that another authority vouches for', async () => {
    await writeFile(join(folder, 'ca.crt'), (await createAuthority('another')).certificate);
    await expect(submit({}, await open())).rejects.toMatchObject({
      code: 'unreachable',
      final: true,
      remedy: expect.stringContaining('ca.crt') as unknown,
    });
    expect(server.requests.entries).toEqual([]);
  });

  it('asks again while the API server is away or busy', async () => {
    server.faults.add({ action: 'POST', fault: { kind: 'status', status: 503 } });
    server.faults.add({ action: 'POST', fault: { kind: 'status', status: 429 } });
    server.faults.add({ action: 'POST', fault: { kind: 'reset', when: 'request' } });
    expect((await submit()).kind).toBe('started');
  });

  it('waits for as long as a busy API server asks', async () => {
    // https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
    const headers = { 'retry-after': '1' };
    server.faults.add({ action: 'POST', fault: { kind: 'status', status: 429, headers } });
    const began = performance.now();
    expect((await submit()).kind).toBe('started');
    expect(performance.now() - began).toBeGreaterThan(900);
  });

  const contended =
    'Operation cannot be fulfilled on resourcequotas "all": the object has been modified; please apply your changes to the latest version and try again';
  it('tells a quota that somebody else changes at the same moment from a Job that is there', async () => {
    const body = JSON.stringify({ kind: 'Status', reason: 'Conflict', code: 409, message: contended });
    server.faults.add({ action: 'POST', times: 3, fault: { kind: 'status', status: 409, body } });
    expect((await submit()).kind).toBe('started');
    expect(server.requests.entries.map(({ method }) => method)).toEqual(['POST', 'POST', 'POST', 'POST']);
    server.jobs.clear();
    server.faults.add({ action: 'POST', times: 1_000, fault: { kind: 'status', status: 409, body } });
    await expect(submit()).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('the object has been modified') as unknown,
    });
  });

  it('tells a namespace that is being deleted from a missing Role', async () => {
    const body = JSON.stringify({
      message:
        'jobs.batch "x" is forbidden: unable to create new content in namespace tools because it is being terminated',
    });
    server.faults.add({ action: 'POST', fault: { kind: 'status', status: 403, body } });
    await expect(submit()).rejects.toMatchObject({
      code: 'denied',
      remedy: 'the namespace tools is being deleted: install the chart into another one',
    });
  });

  it('gives up on one that stays away', async () => {
    server.faults.add({ action: 'POST', times: 100, fault: { kind: 'status', status: 500, body: 'etcd\n is gone' } });
    await expect(submit()).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(
        'answered 500 to create Job images-workers in namespace tools: etcd is gone',
      ) as unknown,
    });
  });

  it('is repeated for as long as a whole upgrade of the API server takes, but not where an answer is final', async () => {
    const patience = { reporter, signal: stop.signal, pauseMs: 1 };
    server.faults.add({ action: 'POST', times: 20, fault: { kind: 'status', status: 503 } });
    expect((await patiently(() => submit(), patience)).kind).toBe('started');
    expect(
      messages().filter((each) =>
        each.endsWith('503 to create Job images-workers in namespace tools: no reason given; asking again'),
      ),
    ).toHaveLength(2);
    expect(server.jobs.size).toBe(1);
    server.verbs = new Set();
    await expect(patiently(() => submit(), patience)).rejects.toMatchObject({ code: 'denied' });
    server.faults.add({ action: 'POST', times: 20, fault: { kind: 'status', status: 503 } });
    await expect(patiently(() => submit(), { ...patience, patienceMs: -1 })).rejects.toMatchObject({
      code: 'unavailable',
    });
  });

  it("names what the server finds wrong with the Job as the values' fault", async () => {
    const long = { ...template, metadata: { name: 'x'.repeat(62) } };
    await expect(submitJob(api, long, run, { signal: stop.signal, pauseMs: 1 })).rejects.toMatchObject({
      code: 'configuration',
      status: 422,
    });
  });
});

describe('waiting for a Job', () => {
  const start = async () => {
    const submission = await submit();
    if (submission.kind === 'nothing') throw new Error('nothing was started');
    return submission.job;
  };
  const wait = async (patienceMs = 600_000) =>
    waitForJob(api, await start(), { reporter, signal: stop.signal, pauseMs: 1, patienceMs });

  /** What the Job controller says, one status a look. */
  function tell(...states: readonly Record<string, unknown>[]): void {
    let looks = 0;
    server.faults.add({
      action: 'GET',
      times: 10_000,
      fault: { kind: 'call', run: () => void (stored().status = states[Math.min(looks++, states.length - 1)] ?? {}) },
    });
  }

  it('tells how far it is, each state once, until it is complete', async () => {
    tell({ active: 4 }, { active: 2, succeeded: 2 }, { active: 2, succeeded: 2 }, complete);
    expect(await wait()).toEqual({ kind: 'completed' });
    expect(messages()).toEqual([
      `${name}: 0 of 4 shards done`,
      `${name}: 0 of 4 shards done, 4 under way`,
      `${name}: 2 of 4 shards done, 2 under way`,
      `${name}: 4 of 4 shards done`,
    ]);
  });

  it('ends with the reason of one that fails', async () => {
    const failed = { type: 'Failed', status: 'True', reason: 'FailedIndexes', message: 'Job has failed indexes' };
    // https://kubernetes.io/docs/concepts/workloads/controllers/job/#terminal-job-conditions: pods are still ending.
    tell(
      { conditions: [{ ...failed, type: 'FailureTarget' }] },
      { succeeded: 3, failedIndexes: '2', conditions: [failed] },
    );
    expect(await wait()).toEqual({ kind: 'failed', reason: 'FailedIndexes: Job has failed indexes' });
    expect(messages().at(-1)).toBe(`${name}: 3 of 4 shards done, given up: 2`);
  });

  it('sees that it was deleted, also when another one has its name', async () => {
    const job = await start();
    const watching = { reporter, signal: stop.signal, pauseMs: 1 };
    stored().metadata.uid = 'another';
    expect(await waitForJob(api, job, watching)).toEqual({ kind: 'gone' });
    server.jobs.clear();
    expect(await waitForJob(api, job, watching)).toEqual({ kind: 'gone' });
  });

  it('outlasts an API server that is away', async () => {
    const job = await start();
    server.faults.add({ action: 'GET', times: 16, fault: { kind: 'status', status: 503 } });
    stored().status = complete;
    expect(await waitForJob(api, job, { reporter, signal: stop.signal, pauseMs: 1 })).toEqual({ kind: 'completed' });
    expect(messages().filter((each) => each.includes('the Job goes on, asking again'))).toHaveLength(2);
  });

  it('outlasts a Role, a token and an authority that are exchanged while the Job runs', async () => {
    const job = await start();
    const waiting = (): Promise<unknown> => waitForJob(api, job, { reporter, signal: stop.signal, pauseMs: 1 });
    server.verbs = new Set();
    let waited = waiting();
    await expect.poll(() => messages().join('\n'), { timeout: 30_000 }).toContain('answered 403');
    server.verbs = new Set(['get']);
    server.token = 'second';
    await expect.poll(() => messages().join('\n'), { timeout: 30_000 }).toContain('answered 401');
    await writeFile(join(folder, 'token'), 'second');
    stored().status = complete;
    expect(await waited).toEqual({ kind: 'completed' });

    // The bundle of authorities, too, is written anew in a running pod.
    stored().status = {};
    await writeFile(join(folder, 'ca.crt'), (await createAuthority('another')).certificate);
    api = await open();
    const before = server.requests.entries.length;
    waited = waiting();
    await expect.poll(() => messages().join('\n'), { timeout: 30_000 }).toContain('cannot be reached');
    expect(server.requests.entries).toHaveLength(before);
    await writeFile(join(folder, 'ca.crt'), authority.certificate);
    stored().status = complete;
    expect(await waited).toEqual({ kind: 'completed' });
  });

  it('ends when it is away for too long, or when the token is gone', async () => {
    const job = await start();
    server.faults.add({ action: 'GET', times: 1_000, fault: { kind: 'status', status: 503 } });
    const watching = { reporter, signal: stop.signal, pauseMs: 1, patienceMs: -1 };
    await expect(waitForJob(api, job, watching)).rejects.toMatchObject({ code: 'unavailable' });
    server.faults.clear();
    server.token = 'other';
    await expect(waitForJob(api, job, watching)).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('ends at once when it is told to, and lets the Job go on', async () => {
    const waiting = wait();
    await expect
      .poll(() => server.requests.count(({ method }) => method === 'GET'), { timeout: 30_000 })
      .toBeGreaterThan(1);
    stop.abort(new Error('stopped by SIGTERM'));
    await expect(waiting).rejects.toThrow('stopped by SIGTERM');
    expect(server.jobs.size).toBe(1);
  });
});

it('says how many attempts failed', () => {
  const job = { metadata: { name, uid: 'u' }, spec: { completions: 3 }, status: { failed: 1, active: 3 } };
  expect(progressOf(job)).toBe('0 of 3 shards done, 3 under way, 1 attempt failed');
  const one = { ...job, spec: { completions: 1 }, status: { failed: 2, active: 1 } };
  expect(progressOf(one)).toBe('0 of 1 shard done, 1 under way, 2 attempts failed');
});

it('says how many pods are there without running, as those whose image cannot be pulled', () => {
  const told = (status: JobObject['status']): string =>
    progressOf({ metadata: { name, uid: 'u' }, spec: { completions: 9 }, status });
  expect(told({ active: 5, ready: 3 })).toBe('0 of 9 shards done, 5 under way (2 of them not started)');
  expect(told({ active: 5, ready: 5 })).toBe('0 of 9 shards done, 5 under way');
  expect(told({ active: 5, ready: 0, succeeded: 1 })).toBe('1 of 9 shards done, 5 under way (none of them started)');
});

describe("the chart's template", () => {
  it('is read', async () => {
    const path = join(folder, 'workers.yaml');
    await writeFile(path, stringify(template));
    expect(await readJobTemplate(path)).toEqual(template);
  });

  it.each([
    ['is no YAML', '{'],
    ['completionMode', stringify({ ...template, spec: { ...template.spec, completionMode: 'NonIndexed' } })],
    ['containers', stringify({ ...template, spec: { ...template.spec, template: { spec: { containers: [] } } } })],
    ['cannot read', undefined],
  ])('is refused: %s', async (told, text) => {
    const path = join(folder, 'workers.yaml');
    if (text !== undefined) await writeFile(path, text);
    await expect(readJobTemplate(path)).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringContaining(told) as unknown,
    });
  });
});
