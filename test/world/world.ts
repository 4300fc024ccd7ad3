import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Plan } from '../../src/model/plan.ts';
import { type CertificateAuthority, createAuthority } from '../../src/testing/certificates.ts';
import { type ChartServer, startChartServer } from '../../src/testing/chart-server.ts';
import { type ProxyServer, type ProxyServerOptions, startProxyServer } from '../../src/testing/proxy-server.ts';
import {
  type RegistryServer,
  type RegistryServerOptions,
  startRegistryServer,
} from '../../src/testing/registry-server.ts';
import { sampleHosts } from '../../src/testing/sample-charts.ts';
import { sampleCharts, sampleDataFiles, sampleImages } from '../../src/testing/samples.ts';
import { type JsonApiServer, startJsonApiServer } from '../json-api-server.ts';
import { spawnProgram, startProgram, type SpawnedProgram, type Variables } from '../program.ts';
import { type S3Server, startS3Server } from '../s3-server.ts';
import { tool } from '../tools.ts';
import { startRealChartServers } from './charts.ts';
import { startFront, startStsServer } from './front.ts';
import { account, type Place, places, serviceNames } from './place.ts';
import { fill, startSourceRegistry, vaultLogin } from './registries.ts';
import { type EksRun, readRun } from './run.ts';

export interface WorldOptions {
  /** `real`: the charts of the shipped data files; `sample`: the project's own charts, with data files of their own. */
  readonly content: 'real' | 'sample';
  readonly place?: Place;
  readonly ecr?: Partial<RegistryServerOptions>;
  /** Credentials that the proxy wants. */
  readonly proxyLogin?: ProxyServerOptions['auth'];
}

/**
 * The internet and an AWS account, as the program under test sees them: every public host has its real name, is reached
 * through one proxy only, and has a certificate of a private authority.
 */
export interface World {
  readonly place: Place;
  readonly names: ReturnType<typeof serviceNames>;
  readonly authority: CertificateAuthority;
  readonly caFile: string;
  readonly proxy: ProxyServer;
  /** By repository URL without trailing slash. */
  readonly charts: ReadonlyMap<string, ChartServer>;
  /** Source registries by the host that references write. */
  readonly registries: ReadonlyMap<string, RegistryServer>;
  readonly ecr: RegistryServer;
  readonly s3: S3Server;
  readonly secretsManager: JsonApiServer;
  /** By name. */
  readonly secrets: Map<string, string>;
  readonly folder: string;
  /** The user's data files; absent with real content, where the shipped ones count. */
  readonly dataDir: string | undefined;
  readonly env: Readonly<Record<string, string>>;
  /** The source registry of a host, started on first use. */
  registry(host: string): Promise<RegistryServer>;
  /** Runs the main job as a process, with an output folder of its own unless `out` names one. */
  eks(options?: EksOptions): Promise<EksRun>;
  /** Starts the main job without waiting for it. */
  startEks(options: EksOptions & { readonly out: string }): SpawnedProgram;
  /** Asks the program for its plan, and makes up an image for each source in it. */
  fillFromPlan(options?: EksOptions): Promise<Plan>;
  close(): Promise<void>;
}

export interface EksOptions {
  readonly version?: string;
  readonly args?: readonly string[];
  readonly env?: Variables;
  readonly out?: string;
  /** Default true. */
  readonly publish?: boolean;
}

export const project = 'app';

export async function startWorld(options: WorldOptions): Promise<World> {
  const place = options.place ?? places.ireland;
  const names = serviceNames(place);
  const [authority, proxy, charts, s3, sts, folder] = await Promise.all([
    createAuthority(),
    startProxyServer({ auth: options.proxyLogin }),
    options.content === 'real' ? startRealChartServers() : startSampleChartServer(),
    startS3Server(account),
    startStsServer(account),
    mkdtemp(join(tmpdir(), 'world-')),
  ]);
  const secrets = new Map([['vault', JSON.stringify({ [sampleHosts.private]: vaultLogin })]]);
  const secretsManager = await startJsonApiServer((_operation, input) => secretAnswer(secrets, input));
  const ecr = await startRegistryServer({
    manners: 'ecr',
    accountId: account,
    region: place.region,
    partition: place.partition,
    hostName: names.registry,
    storageHostName: names.layers,
    tls: await authority.issue([names.registry, names.layers, names.ecr]),
    ...options.ecr,
  });
  const chartHosts = [...new Set([...charts.keys()].map((url) => new URL(url).host))];
  const plain = [names.s3, names.sts, names.secretsManager, ...chartHosts];
  const front = await startFront(authority, [...plain, `*.${names.s3}`], (host, path) => {
    if (host === names.sts) return sts.url;
    if (host === names.secretsManager) return secretsManager.url;
    if (host.endsWith(names.s3)) return s3.url + host.slice(0, -names.s3.length).replace(/^(.+)\.$/, '/$1');
    return chartServerOf(charts, `https://${host}${path}`);
  });
  for (const name of plain) proxy.route(`${name}:443`, front.host);
  proxy.route(`${project}-dkr-img-rep-md-${place.region}-${account}.${names.s3}:443`, front.host);
  proxy.route(`${names.registry}:443`, ecr.host);
  proxy.route(`${names.ecr}:443`, ecr.host);
  proxy.route(`${names.layers}:443`, ecr.storageHost);
  const caFile = join(folder, 'ca.pem');
  await writeFile(caFile, authority.certificate);
  const dataDir = options.content === 'real' ? undefined : await writeSampleData(folder);
  const env = await environment(folder, place, proxy, caFile, options.content);

  const starting = new Map<string, Promise<RegistryServer>>();
  const registries = new Map<string, RegistryServer>();
  const registry = (host: string): Promise<RegistryServer> => {
    const known = starting.get(host) ?? startSourceRegistry(host, authority, proxy);
    starting.set(host, known);
    return known.then((server) => {
      registries.set(host, server);
      return server;
    });
  };
  if (options.content === 'sample') await pushSamples(registry);

  let runs = 0;
  const argumentsOf = (eks: EksOptions, out: string): readonly string[] => [
    'eks',
    '--out',
    out,
    ...(dataDir === undefined ? [] : ['--data-dir', dataDir]),
    ...(eks.publish === false ? [] : ['--publish']),
    ...(eks.args ?? []),
  ];
  const environmentOf = (eks: EksOptions): Variables => ({
    ...env,
    ...(eks.version === undefined ? {} : { SEEDFARMER_PARAMETER_EKS_VERSION: eks.version }),
    ...eks.env,
  });
  const eks = async (chosen: EksOptions = {}): Promise<EksRun> => {
    const out = chosen.out ?? join(folder, `out-${++runs}`);
    return readRun(out, await spawnProgram(argumentsOf(chosen, out), environmentOf(chosen)));
  };
  const servers = [proxy, front, s3, sts, secretsManager, ecr, ...charts.values()];
  return {
    place,
    names,
    authority,
    caFile,
    proxy,
    charts,
    registries,
    ecr,
    s3,
    secretsManager,
    secrets,
    folder,
    dataDir,
    env,
    registry,
    eks,
    startEks: (chosen) => startProgram(argumentsOf(chosen, chosen.out), environmentOf(chosen)),
    async fillFromPlan(chosen = {}) {
      // Registries that answer "not found" at once: a host that is away is asked again and again.
      if (options.content === 'real') await Promise.all(publicHosts.map(registry));
      const run = await eks({ ...chosen, publish: false, args: [...(chosen.args ?? []), '--plan'] });
      // A plan looks at its images, and ends with 1 as long as there are none to look at.
      if (run.status !== 0 && run.status !== 1)
        throw new Error(`planning ended with ${run.status ?? 'a signal'}:\n${run.stdout}${run.stderr}`);
      const plan = Plan.parse(JSON.parse(await readFile(join(run.out, 'plan.json'), 'utf8')));
      await fill(
        plan.images.map(({ source }) => source),
        registry,
      );
      return plan;
    },
    async close() {
      await Promise.all([...servers, ...registries.values()].map((server) => server.close()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Where the charts of the data files have their images. */
const publicHosts = [
  'docker.io',
  'ghcr.io',
  'mcr.microsoft.com',
  'nvcr.io',
  'public.ecr.aws',
  'quay.io',
  'reg.kyverno.io',
  'registry.k8s.io',
] as const;

export const sampleChartUrl = 'https://charts.example.com/sample-charts';

async function startSampleChartServer(): Promise<Map<string, ChartServer>> {
  const path = new URL(sampleChartUrl).pathname;
  return new Map([[sampleChartUrl, await startChartServer({ charts: sampleCharts(), path })]]);
}

/** The server of the repository whose URL the address begins with. */
function chartServerOf(charts: ReadonlyMap<string, ChartServer>, address: string): string | undefined {
  const found = [...charts].find(([url]) => address.startsWith(`${url}/`));
  return found === undefined ? undefined : `http://${found[1].host}`;
}

/** Docker Hub's short names keep their host here; it is served like every other. */
async function writeSampleData(folder: string): Promise<string> {
  const files = sampleDataFiles({ chartRepository: sampleChartUrl, dockerMappings: {} });
  const dataDir = join(folder, 'data');
  await mkdir(dataDir);
  await writeFile(join(dataDir, 'default.yaml'), files.defaults);
  await writeFile(join(dataDir, '1.0.yaml'), files.version);
  return dataDir;
}

async function pushSamples(registry: (host: string) => Promise<RegistryServer>): Promise<void> {
  for (const { host, repository, tag, image } of sampleImages()) {
    const name = repository.startsWith('sample/') ? 'docker.io' : sampleHosts[host];
    await (await registry(name)).putImage(repository, tag, image);
  }
}

function secretAnswer(secrets: ReadonlyMap<string, string>, input: unknown) {
  const name = typeof input === 'object' && input !== null && 'SecretId' in input ? String(input.SecretId) : '';
  const text = secrets.get(name);
  return text === undefined
    ? { error: 'ResourceNotFoundException', message: "Secrets Manager can't find the specified secret." }
    : { output: { Name: name, SecretString: text } };
}

async function environment(
  folder: string,
  { region }: Place,
  proxy: ProxyServer,
  caFile: string,
  content: WorldOptions['content'],
): Promise<Record<string, string>> {
  for (const name of ['home', 'tmp', 'bin']) await mkdir(join(folder, name));
  const helm = tool('helm4') ?? tool('helm3');
  if (helm !== undefined) await symlink(helm, join(folder, 'bin/helm'));
  return {
    PATH: [join(folder, 'bin'), dirname(process.execPath), '/usr/bin', '/bin'].join(':'),
    HOME: join(folder, 'home'),
    TMPDIR: join(folder, 'tmp'),
    HTTPS_PROXY: proxy.url,
    NODE_EXTRA_CA_CERTS: caFile,
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    AWS_EC2_METADATA_DISABLED: 'true',
    SEEDFARMER_PROJECT_NAME: project,
    SEEDFARMER_DEPLOYMENT_NAME: 'dev',
    SEEDFARMER_MODULE_NAME: 'platform-replication',
    SEEDFARMER_PARAMETER_EKS_VERSION: '1.0',
    ...(content === 'sample' ? { SEEDFARMER_PARAMETER_HELM_REPO_SECRET_NAME: 'vault' } : {}),
  };
}
