import { mkdir, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { main } from '../src/cli/main.ts';
import { startChartServer } from '../src/testing/chart-server.ts';
import { startJsonApiServer } from '../test/json-api-server.ts';
import { type RegistryServer, startRegistryServer } from '../src/testing/registry-server.ts';
import { startS3Server } from '../test/s3-server.ts';
import { pushSampleImages, sampleCharts, sampleDataFiles } from '../src/testing/samples.ts';
import { sampleHosts } from '../src/testing/sample-charts.ts';

/**
 * The whole main job without AWS and without internet: this process serves a chart repository, two source registries (one
 * behind Bearer tokens) and stand-ins for ECR, S3 and Secrets Manager, then runs the same program that the module runs.
 * The ECR stand-in keeps its content in out/demo-ecr, so that a second run finds everything there.
 */
export async function demo(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { out: { type: 'string', default: 'out' }, target: { type: 'string' } },
    strict: false,
    allowPositionals: true,
  });
  const out = resolve(typeof values.out === 'string' ? values.out : 'out');
  const login = { username: 'demo', password: 'demo-only-password' };
  const account = '123456789012';
  const secured = await startRegistryServer({
    manners: 'plain',
    auth: { kind: 'bearer', ...login, separateTokenServer: true },
  });
  const [open, charts, ecr, s3, secrets] = await Promise.all([
    startRegistryServer({ manners: 'plain' }),
    // The last segment of its address becomes part of repository names: it has to stay the same from run to run.
    startChartServer({ charts: sampleCharts(), path: '/sample-charts' }),
    startRegistryServer({
      manners: 'ecr',
      accountId: account,
      region: 'us-east-1',
      storage: { directory: join(out, 'demo-ecr') },
      manifestPutRate: { perSecond: 10, burst: 10 },
    }),
    startS3Server(account),
    startJsonApiServer((operation) =>
      operation === 'GetSecretValue'
        ? { output: { SecretString: JSON.stringify({ [secured.host]: login }) } }
        : { status: 400, error: 'InvalidRequestException' },
    ),
  ]);
  try {
    await pushSampleImages({ open, private: secured });
    const dataDir = await writeDataFiles(join(out, 'demo-data'), charts.url, open, secured);
    const settings = {
      AWS_REGION: 'us-east-1',
      AWS_ACCOUNT_ID: account,
      AWS_ACCESS_KEY_ID: 'demo',
      AWS_SECRET_ACCESS_KEY: 'demo-only-secret',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_ENDPOINT_URL_ECR: ecr.url,
      AWS_ENDPOINT_URL_S3: s3.url,
      AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url,
      SEEDFARMER_PROJECT_NAME: 'demo',
      SEEDFARMER_DEPLOYMENT_NAME: 'local',
      SEEDFARMER_MODULE_NAME: 'replication-demo',
      SEEDFARMER_PARAMETER_EKS_VERSION: '1.0',
      SEEDFARMER_PARAMETER_HELM_REPO_SECRET_NAME: 'demo-registry',
    };
    // The AWS SDK looks for endpoints and credentials in the process environment itself.
    Object.assign(process.env, settings);
    for (const name of ['AWS_PROFILE', 'AWS_SESSION_TOKEN', 'AWS_ENDPOINT_URL'])
      Reflect.deleteProperty(process.env, name);
    // Without a helm on PATH the program would fetch one from the internet.
    const render = helmOnPath() ? [] : ['--no-render'];
    if (render.length > 0)
      process.stdout.write(
        'there is no helm on PATH: charts are not rendered, so nothing is found or proven in them\n',
      );
    const publish = args.some((arg) => arg.startsWith('--target')) ? [] : ['--publish'];
    const argv = [
      process.execPath,
      'image-replication',
      'eks',
      '--data-dir',
      dataDir,
      '--out',
      out,
      ...publish,
      ...render,
      ...args.filter((arg, position) => !isOut(args, position, arg)),
    ];
    const status = await main(argv, { env: process.env, stdout: process.stdout, stderr: process.stderr });
    if (positionals.length > 0) return 2;
    return status;
  } finally {
    await Promise.all([open, secured, charts, ecr, s3, secrets].map((server) => server.close()));
  }
}

function helmOnPath(): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'helm')));
}

function isOut(args: readonly string[], position: number, arg: string): boolean {
  return arg === '--out' || arg.startsWith('--out=') || args[position - 1] === '--out';
}

/** Data files for the sample charts; docker mappings lead from their registry names to the servers of this process. */
async function writeDataFiles(
  folder: string,
  chartRepository: string,
  open: RegistryServer,
  secured: RegistryServer,
): Promise<string> {
  const files = sampleDataFiles({
    chartRepository,
    dockerMappings: { [sampleHosts.open]: open.host, [sampleHosts.private]: secured.host, default: open.host },
  });
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'default.yaml'), files.defaults);
  await writeFile(join(folder, '1.0.yaml'), files.version);
  return folder;
}
