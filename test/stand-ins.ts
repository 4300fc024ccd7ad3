import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import * as z from 'zod';
import { type ChartServer, startChartServer } from '../src/testing/chart-server.ts';
import {
  type RegistryServer,
  type RegistryServerOptions,
  startRegistryServer,
} from '../src/testing/registry-server.ts';
import { sampleHosts } from '../src/testing/sample-charts.ts';
import { pushSampleImages, sampleCharts, sampleDataFiles } from '../src/testing/samples.ts';
import { type JsonApiServer, startJsonApiServer } from './json-api-server.ts';
import { type S3Server, startS3Server } from './s3-server.ts';

const account = '123456789012';
const region = 'us-east-1';
const project = 'app';
export const bucket = `${project}-dkr-img-rep-md-${region}-${account}`;

/** Everything that the module meets, on this machine and inside this process: the sample charts' hosts and an AWS account. */
export interface StandIns {
  /** Chart repository, and the registries of images for everybody and for those with credentials. */
  readonly charts: ChartServer;
  readonly open: RegistryServer;
  readonly vault: RegistryServer;
  readonly ecr: RegistryServer;
  readonly s3: S3Server;
  readonly secretsManager: JsonApiServer;
  /** Secrets by name; a test may change them. One with the text `denied` may not be read. */
  readonly secrets: Map<string, string>;
  /** A folder of this test's own, with `data`, `home`, `tmp` and `out` in it. */
  readonly folder: string;
  /** Data files of the sample charts: `1.0` with all of them, `1.1` with the chart `worker` and its image alone. */
  readonly dataDir: string;
  readonly out: string;
  /** The environment of a build by Seed-Farmer in this account. */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** The user and password that the private registry wants; the secret `vault` holds them. */
export const vaultLogin = { username: 'robot', password: 'vault-Pa55/word+1' };

export interface StandInOptions {
  readonly ecr?: Partial<RegistryServerOptions>;
  readonly vault?: Partial<RegistryServerOptions>;
}

export async function startStandIns(options: StandInOptions = {}): Promise<StandIns> {
  const secrets = new Map<string, string>();
  const [open, vault, charts, ecr, s3, secretsManager, folder] = await Promise.all([
    startRegistryServer({ manners: 'plain' }),
    startRegistryServer({
      manners: 'plain',
      auth: { kind: 'bearer', ...vaultLogin, separateTokenServer: true },
      ...options.vault,
    }),
    startChartServer({ charts: sampleCharts(), path: '/sample-charts' }),
    startRegistryServer({ manners: 'ecr', accountId: account, region, ...options.ecr }),
    startS3Server(account),
    startJsonApiServer((operation, input) => answerSecret(secrets, operation, input)),
    mkdtemp(join(tmpdir(), 'image-replication-test-')),
  ]);
  await pushSampleImages({ open, private: vault });
  secrets.set('vault', JSON.stringify({ [vault.host]: vaultLogin }));
  const [dataDir, home, temporary] = ['data', 'home', 'tmp'].map((name) => join(folder, name));
  if (dataDir === undefined || home === undefined || temporary === undefined) throw new Error('three names');
  for (const each of [dataDir, home, temporary]) await mkdir(each);
  const files = sampleDataFiles({
    chartRepository: charts.url,
    dockerMappings: { [sampleHosts.open]: open.host, [sampleHosts.private]: vault.host, default: open.host },
  });
  await writeFile(join(dataDir, 'default.yaml'), files.defaults);
  await writeFile(join(dataDir, '1.0.yaml'), files.version);
  await writeFile(join(dataDir, '1.1.yaml'), withCharts(files.version, ['worker']));
  const servers = [open, vault, charts, ecr, s3, secretsManager];
  return {
    charts,
    open,
    vault,
    ecr,
    s3,
    secretsManager,
    secrets,
    folder,
    dataDir,
    out: join(folder, 'out'),
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: home,
      TMPDIR: temporary,
      AWS_REGION: region,
      AWS_ACCOUNT_ID: account,
      AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
      AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
      AWS_ENDPOINT_URL_ECR: ecr.url,
      AWS_ENDPOINT_URL_S3: s3.url,
      AWS_ENDPOINT_URL_SECRETS_MANAGER: secretsManager.url,
      SEEDFARMER_PROJECT_NAME: project,
      SEEDFARMER_DEPLOYMENT_NAME: 'dev',
      SEEDFARMER_MODULE_NAME: 'platform-replication',
      SEEDFARMER_PARAMETER_EKS_VERSION: '1.0',
      SEEDFARMER_PARAMETER_HELM_REPO_SECRET_NAME: 'vault',
    },
    async close() {
      await Promise.all(servers.map((server) => server.close()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A version file's text that skips all charts but some, and has no additional images. */
export function withCharts(version: string, wanted: readonly string[]): string {
  const file = z
    .object({ charts: z.record(z.string(), z.object({})), docker_mappings: z.unknown() })
    .parse(parse(version));
  const charts: Record<string, { skip: boolean }> = {};
  for (const key of Object.keys(file.charts)) charts[key] = { skip: !wanted.includes(key) };
  return stringify({ charts, docker_mappings: file.docker_mappings });
}

function answerSecret(secrets: ReadonlyMap<string, string>, operation: string, input: unknown) {
  const name = typeof input === 'object' && input !== null && 'SecretId' in input ? String(input.SecretId) : 'no name';
  const text = secrets.get(name);
  if (text === 'denied')
    return {
      error: 'AccessDeniedException',
      message: `User: arn:aws:sts::${account}:assumed-role/module-role/session is not authorized to perform: secretsmanager:GetSecretValue on resource: ${name} because no identity-based policy allows the secretsmanager:GetSecretValue action`,
    };
  if (operation !== 'GetSecretValue') return { error: 'UnknownOperationException' };
  return text === undefined
    ? { error: 'ResourceNotFoundException', message: "Secrets Manager can't find the specified secret." }
    : { output: { Name: name, SecretString: text } };
}

/** Arguments of the main job with the sample data files; helm is not needed. */
export function eksArguments(world: StandIns, ...more: readonly string[]): readonly string[] {
  return ['eks', '--data-dir', world.dataDir, '--out', world.out, '--no-render', ...more];
}
