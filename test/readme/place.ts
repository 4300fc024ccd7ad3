import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { startChartServer } from '../../src/testing/chart-server.ts';
import { buildImage } from '../../src/testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../../src/testing/registry-server.ts';
import { sampleHosts } from '../../src/testing/sample-charts.ts';
import { pushImage, pushSampleImages, sampleCharts, sampleDataFiles } from '../../src/testing/samples.ts';
import { startJsonApiServer } from '../json-api-server.ts';
import { startS3Server } from '../s3-server.ts';
import { root, tool } from '../tools.ts';

export interface Ended {
  readonly status: number | null;
  /** Both streams, in the order they came. */
  readonly output: string;
}

/** A folder that looks like a checkout, the hosts that the examples name, and an AWS account. */
export interface Place {
  readonly folder: string;
  readonly ecr: RegistryServer;
  /** `registry.example.com` of the examples. */
  readonly mirror: RegistryServer;
  /** Runs a command line in the folder, without terminal. */
  run(command: string, more?: Readonly<Record<string, string>>): Promise<Ended>;
  close(): Promise<void>;
}

const login = { username: 'robot', password: 'readme-Pa55word' };
const account = '123456789012';

/** @param imageList content of the example's images.txt */
export async function startPlace(imageList: string): Promise<Place> {
  const [open, vault, mirror, charts, ecr, s3, folder] = await Promise.all([
    startRegistryServer({ manners: 'plain' }),
    startRegistryServer({ manners: 'plain', auth: { kind: 'bearer', ...login } }),
    startRegistryServer({ manners: 'plain' }),
    startChartServer({ charts: sampleCharts(), path: '/sample-charts' }),
    startRegistryServer({ manners: 'ecr', accountId: account, region: 'us-east-1' }),
    startS3Server(account),
    mkdtemp(join(tmpdir(), 'readme-')),
  ]);
  const secrets = await startJsonApiServer((_, input) =>
    JSON.stringify(input).includes('"team/registry"')
      ? { output: { SecretString: JSON.stringify({ [vault.host]: login }) } }
      : { error: 'ResourceNotFoundException' },
  );
  const servers = [open, vault, mirror, charts, ecr, s3, secrets];
  await pushSampleImages({ open, private: vault });
  await pushImage(open, 'prometheus/node-exporter', 'v1.9.1', buildImage({ name: 'node-exporter' }));
  await pushImage(open, 'pause', '3.10', buildImage({ name: 'pause' }));
  const data = sampleDataFiles({
    chartRepository: charts.url,
    dockerMappings: { [sampleHosts.open]: open.host, [sampleHosts.private]: vault.host, default: open.host },
  });
  await fillFolder(folder, {
    'my-data/default.yaml': data.defaults,
    'my-data/1.34.yaml': data.version,
    'images.txt': imageList
      .replaceAll(/quay\.io|registry\.k8s\.io/g, open.host)
      .replaceAll('registry.example.com', mirror.host),
  });
  const environment = {
    PATH: [join(folder, 'bin'), dirname(process.execPath), join(root, '.tools/bin'), '/usr/bin', '/bin'].join(
      delimiter,
    ),
    HOME: folder,
    npm_config_update_notifier: 'false',
    AWS_REGION: 'us-east-1',
    AWS_ACCOUNT_ID: account,
    AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_ENDPOINT_URL_ECR: ecr.url,
    AWS_ENDPOINT_URL_S3: s3.url,
    AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url,
    SEEDFARMER_PARAMETER_HELM_REPO_SECRET_NAME: 'team/registry',
  };
  return {
    folder,
    ecr,
    mirror,
    run: (command, more) =>
      shell(command.replaceAll('registry.example.com', mirror.host), folder, { ...environment, ...more }),
    async close() {
      await Promise.all(servers.map((server) => server.close()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The checkout by links, an `out` of its own, and programs that need neither network nor questions. */
async function fillFolder(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const name of ['package.json', 'scripts', 'src', 'node_modules'])
    await symlink(join(root, name), join(folder, name));
  for (const name of ['bin', 'my-data']) await mkdir(join(folder, name));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  // The real npx would link the package into its cache first, and ask the npm registry about it.
  const npx =
    '#!/bin/sh\n[ "$1" = image-replication ] || exit 127\nshift\nexec node scripts/image-replication.js "$@"\n';
  await writeFile(join(folder, 'bin/npx'), npx);
  await chmod(join(folder, 'bin/npx'), 0o755);
  const helm = tool('helm3') ?? tool('helm4');
  if (helm !== undefined) await symlink(helm, join(folder, 'bin/helm'));
}

export async function shell(command: string, cwd: string, env: NodeJS.ProcessEnv): Promise<Ended> {
  const child = spawn('bash', ['-c', `exec 2>&1; ${command}`], { cwd, env, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { status, output };
}
