import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { GetParameterCommand, ParameterNotFound, SSMClient } from '@aws-sdk/client-ssm';
import * as z from 'zod';
import { requireTool } from '../tools.ts';
import { type Account, clientSettings, prepareProject } from './account.ts';
import { type ModuleFiles, type ProjectSpec, writeDocker, writeProject } from './project.ts';

export interface SeedFarmerRun {
  readonly status: number;
  /** What the CLI and the build printed, both streams in the order they came. */
  readonly log: string;
  /** Whether a build ran at all: Seed-Farmer leaves unchanged modules alone. */
  readonly built: boolean;
}

/** A Seed-Farmer project in a folder of its own, driven by the real CLI in `--local` mode. */
export interface SeedFarmer {
  readonly folder: string;
  /** `seedfarmer apply`: writes the manifests and data files of `spec` first. */
  apply(spec: ProjectSpec): Promise<SeedFarmerRun>;
  /** `seedfarmer destroy` of the deployment that `spec` describes. */
  destroy(spec: ProjectSpec): Promise<SeedFarmerRun>;
  /** The module's metadata in SSM, or `undefined` where Seed-Farmer stored none. */
  metadata(spec: ProjectSpec): Promise<Readonly<Record<string, unknown>> | undefined>;
  /** Text of an object in S3. */
  object(bucket: string, key: string): Promise<string>;
  keys(bucket: string): Promise<readonly string[]>;
  close(): void;
}

export interface SeedFarmerOptions {
  readonly account: Account;
  readonly module: ModuleFiles;
  /** Further environment of the operator's shell; names that begin with AWS_ reach the build, as with the real CLI. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Environment that the build's image would have: proxies, certificates. */
  readonly buildEnvironment?: Readonly<Record<string, string>>;
}

/** Longest time for one apply or destroy, milliseconds. */
const limitMs = 280_000;

export function openSeedFarmer(options: SeedFarmerOptions): SeedFarmer {
  const { account } = options;
  const folder = mkdtempSync(join(tmpdir(), 'seedfarmer-'));
  options.module(join(folder, 'modules/replication'));
  const bin = writeDocker(folder);
  const environment = {
    HOME: folder,
    LANG: 'C.UTF-8',
    PATH: `${bin}:/usr/local/bin:/usr/bin:/bin`,
    PYTHONPATH: join(import.meta.dirname, 'quick-sleep'),
    PYTHONDONTWRITEBYTECODE: '1',
    ...account.environment,
    ...options.environment,
    STAND_IN_ENVIRONMENT: JSON.stringify({ ...networkOfThisMachine(), ...options.buildEnvironment }),
  };
  const s3 = new S3Client({ ...clientSettings(account), forcePathStyle: true });
  const ssm = new SSMClient(clientSettings(account));
  return {
    folder,
    async apply(spec) {
      const manifest = writeProject(folder, spec);
      await prepareProject(account, spec.project);
      return seedfarmer(['apply', manifest, '--local', '--region', spec.region], folder, environment);
    },
    destroy: (spec) =>
      seedfarmer(['destroy', spec.deployment, '--local', '--region', spec.region], folder, environment),
    metadata: (spec) => metadata(ssm, spec),
    async object(Bucket, Key) {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
      return Body === undefined ? '' : Body.transformToString();
    },
    async keys(Bucket) {
      const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket }));
      return Contents.map((each) => each.Key ?? '');
    },
    close() {
      s3.destroy();
      ssm.destroy();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function seedfarmer(
  argv: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>>,
): Promise<SeedFarmerRun> {
  // One shell joins both streams in order; `exec` keeps the pid, the group of which is ended on a timeout.
  const child = spawn('/bin/sh', ['-c', 'exec "$0" "$@" 2>&1', requireTool('seedfarmer'), ...argv], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const timer = setTimeout(() => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  }, limitMs);
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 137));
  });
  try {
    const [log, status] = await Promise.all([text(child.stdout), ended]);
    return { status, log, built: log.includes('[Container] Entering phase') };
  } finally {
    clearTimeout(timer);
  }
}

async function metadata(
  ssm: SSMClient,
  { project, deployment, group, module }: ProjectSpec,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  try {
    const Name = `/${project.toLowerCase()}/${deployment}/${group}/${module}/metadata`;
    const { Parameter } = await ssm.send(new GetParameterCommand({ Name }));
    return z.record(z.string(), z.unknown()).parse(JSON.parse(Parameter?.Value ?? '{}'));
  } catch (error) {
    if (error instanceof ParameterNotFound) return undefined;
    throw error;
  }
}

/** How builds reach the npm registry from here: certificates, proxies and npm's own settings, and its cache to be quick. */
function networkOfThisMachine(): Record<string, string> {
  const wanted = /^(?:NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|https?_proxy|no_proxy|npm_config_registry)$/i;
  const found = Object.entries(process.env).filter(([name]) => wanted.test(name));
  const cache = execFileSync('npm', ['config', 'get', 'cache'], { stdio: ['ignore', 'pipe', 'ignore'] });
  return {
    ...Object.fromEntries(found.map(([name, value]) => [name, value ?? ''])),
    npm_config_cache: cache.toString('utf8').trim(),
  };
}
