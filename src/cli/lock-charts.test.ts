import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { refusal } from '../../test/refusal.ts';
import { packageChart } from '../charts/package.ts';
import { tagOfVersion } from '../charts/version.ts';
import { chartFetcher, type FetchChart } from '../charts/fetch.ts';
import { noCredentials } from '../model/credentials.ts';
import { digestOf } from '../model/digest.ts';
import type { ChartIsolation, IsolatedReference } from '../model/isolation.ts';
import type { Lock } from '../model/lock.ts';
import type { PlannedChart } from '../model/plan.ts';
import type { ReadStore, WriteStore } from '../model/store.ts';
import { lockText, parseLock } from '../publish/lock.ts';
import { httpDownloads } from '../registry/download.ts';
import { registryStore } from '../registry/store.ts';
import { silentReporter } from '../report/events.ts';
import { type ChartServer, startChartServer } from '../testing/chart-server.ts';
import { buildImage, type ImageContent, withCosignTag } from '../testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';
import { sampleCharts } from '../testing/samples.ts';
import { chartRequest, imageRequest } from './copy-requests.ts';
import { checkSources } from './lock-check-sources.ts';
import { checkTarget } from './lock-check-target.ts';
import { eksLock, eksLockWork } from './lock-eks.ts';
import { eksPlanFromLock, lockedSession } from './lock-plan.ts';
import { replicate } from './replicate.ts';
import { openSession, type Session } from './session.ts';

function sample(name: string): { readonly bytes: Uint8Array; readonly version: string } {
  const found = sampleCharts().find(({ file }) => file.startsWith(`${name}-`));
  if (found === undefined) throw new Error(`there is no sample chart ${name}`);
  return { bytes: found.bytes, version: found.file.slice(name.length + 1, -'.tgz'.length) };
}

/** A chart as `helm push` leaves it in a registry. */
function inRegistry(bytes: Uint8Array): ImageContent {
  const { manifest, blobs } = packageChart({ archive: bytes });
  return {
    digest: manifest.descriptor.digest,
    descriptor: manifest.descriptor,
    manifests: [manifest],
    blobs: new Map(blobs.map(({ descriptor, bytes: content }) => [descriptor.digest, content])),
  };
}

const worker = sample('worker');
const agent = sample('agent');
const agentTag = tagOfVersion(agent.version);
const image = buildImage({ name: 'worker' });

describe('a lock of charts', () => {
  let source: RegistryServer;
  let target: RegistryServer;
  let charts: ChartServer;
  let folder: string;
  let session: Session;
  let stores: Map<string, WriteStore>;
  let fetchChart: FetchChart;

  beforeEach(async () => {
    [source, target, charts, folder] = await Promise.all([
      startRegistryServer({ manners: 'plain' }),
      startRegistryServer({ manners: 'plain' }),
      startChartServer({ charts: sampleCharts() }),
      mkdtemp(join(tmpdir(), 'lock-charts-')),
    ]);
    await source.putImage('helm/agent', agentTag, withCosignTag(inRegistry(agent.bytes)));
    await source.putImage('sample/worker', '5.1', image);
    const stdout = new Writable({ write: (_chunk, _encoding, done) => done() });
    session = await openSession({ env: { TMPDIR: folder }, stdout });
    stores = new Map();
    fetchChart = freshFetcher();
  });
  afterEach(async () => {
    await session.close();
    await Promise.all([source.close(), target.close(), charts.close(), rm(folder, { recursive: true, force: true })]);
  });

  const store = (host: string): WriteStore => {
    const known = stores.get(host) ?? registryStore(session.transport, host, { credentials: noCredentials });
    stores.set(host, known);
    return known;
  };
  /** One that has read nothing yet. */
  function freshFetcher(): FetchChart {
    const downloads = httpDownloads(session.transport, noCredentials);
    return chartFetcher({ downloads, store: (host): ReadStore => store(host), reporter: silentReporter });
  }
  const sources = () => ({ store, fetchChart: freshFetcher() });
  const prefix = (): string => `${target.host}/app-`;

  function plannedChart(name: string, version: string, repository: string): PlannedChart {
    const values = { image: { tag: '5.1', repository: `${prefix()}${name}` } };
    const to = `${prefix()}charts/${name}:${tagOfVersion(version)}`;
    return { kind: 'chart', key: name, name, version, repository, target: to, values, origins: [] };
  }

  function isolationOf(chart: PlannedChart, seconds: number): ChartIsolation {
    const place = { template: 'worker/templates/deployment.yaml', line: 12, object: 'Deployment/worker', field: 'a' };
    const reference: Omit<IsolatedReference, 'reference'> = {
      kind: 'typed',
      places: [place],
      profiles: ['default'],
      outcome: 'repointed',
      controlledBy: ['image.tag', 'image.repository'],
      insideList: false,
      pinned: false,
      proof: 'proven',
    };
    const { key, name, version } = chart;
    return {
      ...{ key, name, version, target: chart.target, profiles: ['default'] },
      references: [
        { ...reference, reference: 'sample/worker:5.1', target: `${prefix()}sample/worker:5.1`, digest: image.digest },
        { ...reference, reference: 'b/c:1', places: [place, { ...place, line: 3 }] },
      ],
      conditional: [{ references: ['z:1', 'y:1'], valuePath: 'x.image', switches: ['x.enabled'], copied: false }],
      rejected: [],
      derived: [{ template: 't', before: String(seconds), after: String(Math.random()) }],
      warnings: [],
      holds: true,
      problems: [],
      ...{ renders: Math.ceil(seconds), seconds },
    };
  }

  /** What a run of the EKS job ends with; `shuffled` has everything in another order. */
  async function run(shuffled = false): Promise<Lock> {
    const turn = <T>(items: readonly T[]): T[] => (shuffled ? [...items].reverse() : [...items]);
    const planned = turn([
      plannedChart('worker', worker.version, charts.url),
      plannedChart('agent', agent.version, `oci://${source.host}/helm`),
    ]);
    const images = [
      {
        ...({ kind: 'image', source: `${source.host}/sample/worker:5.1`, platforms: 'all' } as const),
        targets: turn([`${prefix()}sample/worker:5.1`, `${prefix()}docker.io/sample/worker`]),
        origins: turn([{ path: 'charts.worker.images.main', file: `${folder}/1.0.yaml`, line: 3 }, { path: 'a' }]),
      },
    ];
    const fetched = (chart: PlannedChart) => fetchChart(chart, session.signal);
    const replication = await replicate(session, {
      images: images.map((each) => imageRequest(each, store, store)),
      charts: await Promise.all(
        planned.map(async (each) => chartRequest(each, await fetched(each), store, store(target.host), session.signal)),
      ),
      verify: true,
    });
    expect(replication.failures).toEqual([]);
    const pairs = [
      { src: 'b', target: 'c' },
      { src: 'a', target: 'd' },
    ] as const;
    const isolation = planned.map((each) => isolationOf(each, shuffled ? 2 : 1));
    return eksLock({
      plan: {
        plan: { version: 1, job: 'eks', images, charts: planned },
        result: { ami: { version: '1.34.1' }, charts: {}, additional_images: { tool: `${prefix()}tool:1` } },
        updatedImages: turn(pairs),
      },
      isolation: isolation.map((each) => ({ ...each, references: turn(each.references) })),
      outcomes: replication.outcomes,
      fetched: async (chart) => ({ fetched: await fetched(chart) }),
      sources: sources(),
      target: { store: store(target.host), host: target.host, path: '' },
      signal: session.signal,
    });
  }

  const check = async (lock: Lock) => [
    ...(await checkTarget(lock, store, session.signal)),
    ...(await checkSources(lock, sources(), session.signal)),
  ];

  it('is the same text for another run, in another order, with other costs; and is kept', async () => {
    const lock = await run();
    const text = lockText(lock);
    expect(lockText(await run(true))).toBe(text);
    expect(lockText(parseLock(text, 'x'))).toBe(text);
    expect(text).not.toContain(folder);
    expect(lock.charts.map(({ key, digest }) => [key, digest])).toEqual([
      ['agent', digestOf(agent.bytes)],
      ['worker', digestOf(worker.bytes)],
    ]);
    const [first] = lock.charts;
    expect(first?.source.oci?.manifest).toBe(inRegistry(agent.bytes).digest);
    expect(first?.referrers.map(({ reference }) => reference)).toEqual([expect.stringMatching(/\.sig$/)]);
    expect(first?.isolation?.references.map((each) => [each.reference, each.controlledBy])).toEqual([
      ['b/c:1', ['image.repository', 'image.tag']],
      ['sample/worker:5.1', ['image.repository', 'image.tag']],
    ]);
    expect(lock.images[0]?.targets).toContain(`${prefix()}docker.io/sample/worker:latest`);
    expect(await check(lock)).toEqual([]);
  });

  it('tells charts that are gone or were changed at the target', async () => {
    const lock = await run();
    target.deleteTag('app-charts/agent', agentTag);
    await target.putImage('app-charts/worker', worker.version, inRegistry(agent.bytes));
    expect(await check(lock)).toMatchObject([
      { artifact: `chart agent ${agent.version}`, at: 'target', state: 'missing' },
      { artifact: `chart worker ${worker.version}`, at: 'target', state: 'changed' },
    ]);
  });

  it('tells parts of charts that are missing, and takes one that somebody else pushed for the same', async () => {
    const lock = await run();
    target.deleteBlob('app-charts/agent', digestOf(agent.bytes));
    const { bytes } = target.manifest('app-charts/worker', worker.version) ?? { bytes: new Uint8Array() };
    const stamped = Buffer.from(
      JSON.stringify({ ...JSON.parse(Buffer.from(bytes).toString()), annotations: { a: 'b' } }),
    );
    target.putManifest('app-charts/worker', worker.version, stamped, 'application/vnd.oci.image.manifest.v1+json');
    expect(await check(lock)).toMatchObject([
      { artifact: `chart agent ${agent.version}`, at: 'target', state: 'damaged' },
    ]);
  });

  it('tells charts that were yanked or replaced at their source', async () => {
    const lock = await run();
    source.deleteTag('helm/agent', agentTag);
    const [, port] = charts.host.split(':');
    await charts.close();
    charts = await startChartServer({
      port: Number(port),
      charts: sampleCharts().filter(({ file }) => !file.startsWith('worker-')),
    });
    expect(await check(lock)).toMatchObject([
      { artifact: `chart agent ${agent.version}`, at: 'source', state: 'gone' },
      { artifact: `chart worker ${worker.version}`, at: 'source', state: 'gone' },
    ]);
  });

  it('tells a version that was published anew', async () => {
    const lock = await run();
    const anew = gzipSync(gunzipSync(agent.bytes), { level: 1 });
    await source.putImage('helm/agent', agentTag, inRegistry(anew));
    expect(await check(lock)).toMatchObject([
      { artifact: `chart agent ${agent.version}`, at: 'source', state: 'moved', found: digestOf(anew) },
    ]);
  });

  it('is copied as it is, the registry’s chart by digest though its tag has moved', async () => {
    const lock = await run();
    for (const name of ['app-charts/agent', 'app-charts/worker', 'app-sample/worker'])
      for (const tag of target.tags(name)) target.deleteTag(name, tag);
    await source.putImage('helm/agent', agentTag, inRegistry(worker.bytes));
    await source.putImage('sample/worker', '5.1', buildImage({ name: 'newer' }));
    source.reset();
    const places = { sources: sources(), target: store(target.host), signal: session.signal };
    const work = await eksLockWork(lock, places);
    expect((await replicate(lockedSession(session), work)).failures).toEqual([]);
    expect(source.requests.of(({ reference }) => reference === '5.1' || reference === agentTag)).toEqual([]);
    expect(await checkTarget(lock, store, session.signal)).toEqual([]);
    expect(await checkSources(lock, sources(), session.signal)).toMatchObject([
      { artifact: `${source.host}/sample/worker:5.1`, state: 'moved' },
      { artifact: `chart agent ${agent.version}`, state: 'unknown' },
    ]);
  });

  it('is not copied when an HTTP repository serves another archive', async () => {
    const lock = await run();
    const other = {
      ...lock,
      charts: lock.charts.map((chart) => ({ ...chart, source: { ...chart.source, digest: digestOf('x') } })),
    };
    const places = { sources: sources(), target: store(target.host), signal: session.signal };
    const error = await refusal(eksLockWork(other, places));
    expect(error.code).toBe('conflict');
    expect(error.message).toContain('is another archive than the lock says');
  });

  it('gives the result of the run again, and is refused for another project', async () => {
    const lock = await run();
    const { result, updatedImages, plan } = eksPlanFromLock(lock, prefix(), 'x');
    expect(result.ami.version).toBe('1.34.1');
    expect(result.charts['worker']).toEqual({
      helm: {
        name: 'worker',
        version: worker.version,
        repository: `oci://${prefix()}charts/worker`,
        srcRepository: charts.url,
      },
      values: { image: { tag: '5.1', repository: `${prefix()}worker` } },
    });
    expect(updatedImages).toEqual([
      { src: 'a', target: 'd' },
      { src: 'b', target: 'c' },
    ]);
    expect(plan.images[0]?.digest).toBe(image.digest);
    const error = await refusal(() => eksPlanFromLock(lock, `${target.host}/other-`, 'x'));
    expect(error.code).toBe('configuration');
  });
});
