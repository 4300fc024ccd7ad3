import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import * as z from 'zod';
import { ChartIsolation } from '../src/model/isolation.ts';
import { splitTarget } from '../src/model/target-name.ts';
import { type ChartSpec, packageChart, sampleHosts } from '../src/testing/sample-charts.ts';
import { type ProgramRun, runProgram } from './program.ts';
import { bucket, startStandIns, type StandIns } from './stand-ins.ts';
import { requireTool } from './tools.ts';

const Result = z.object({
  charts: z.record(
    z.string(),
    z.object({ helm: z.object({ version: z.string() }), values: z.record(z.string(), z.unknown()) }),
  ),
});
type ResultChart = z.infer<typeof Result>['charts'][string];

const Tokens = z.object({ authorizationData: z.array(z.object({ authorizationToken: z.string() })) });

/** Runs of the main job on charts of a test's own, with the real helm, and what they leave. */
export interface ChartRuns {
  readonly world: StandIns;
  /** P: `<registry>/<project>-` */
  readonly prefix: string;
  /**
   * Writes data files with just these charts, and runs the job on them, with `--publish`.
   * @param wanted further keys of each chart in the data file, by its name
   * @param changes parameters: `UNCONTROLLED_IMAGES`
   */
  eks(
    wanted: Readonly<Record<string, object>>,
    changes?: Readonly<Record<string, string>>,
    ...args: readonly string[]
  ): Promise<ProgramRun>;
  /** A JSON file that the last run has left. */
  json<T>(name: string, schema: z.ZodType<T>): Promise<T>;
  /** A text file that it has left. */
  text(name: string): Promise<string>;
  /** What it found out about its only chart. */
  isolation(): Promise<ChartIsolation>;
  /** What its result says of a chart. */
  result(key: string): Promise<ResultChart>;
  /** Whether the target has it. */
  isThere(target: string): boolean;
  /** The manifest that the target has, as text. */
  manifest(target: string): string;
  published(): boolean;
  /** Pulls a chart from the target with helm. @returns path of the package */
  pull(address: string, version: string): Promise<string>;
  /** `helm template`. @returns what it prints */
  template(helm: 'helm3' | 'helm4', chart: string, args: readonly string[]): Promise<string>;
  close(): Promise<void>;
}

/** A reference, what becomes of it, and its proof. */
export function fates({ references }: ChartIsolation): readonly string[] {
  return references.map(({ reference, outcome, proof }) => `${reference} ${outcome} ${proof}`);
}

export async function startChartRuns(charts: readonly ChartSpec[]): Promise<ChartRuns> {
  const world = await startStandIns();
  for (const chart of charts) await world.charts.add(packageChart(chart));
  const bin = join(world.folder, 'bin');
  await mkdir(bin);
  await symlink(requireTool('helm4'), join(bin, 'helm'));
  const env = { ...world.env, PATH: [bin, dirname(process.execPath), '/usr/bin', '/bin'].join(':') };
  const text = (name: string): Promise<string> => readFile(join(world.out, name), 'utf8');
  const json = async <T>(name: string, schema: z.ZodType<T>): Promise<T> => schema.parse(JSON.parse(await text(name)));
  const manifestAt = (target: string): ReturnType<typeof world.ecr.manifest> => {
    const { repository, tag, digest } = splitTarget(target);
    return world.ecr.manifest(repository, digest ?? tag ?? 'latest');
  };
  return {
    world,
    prefix: `${world.ecr.host}/app-`,
    async eks(wanted, changes = {}, ...args) {
      await writeDataFiles(world, charts, wanted);
      const parameters = Object.entries(changes).map(
        ([name, value]) => [`SEEDFARMER_PARAMETER_${name}`, value] as const,
      );
      return runProgram(['eks', '--data-dir', world.dataDir, '--out', world.out, '--publish', ...args], {
        ...env,
        SEEDFARMER_PARAMETER_EKS_VERSION: '1.30',
        ...Object.fromEntries(parameters),
      });
    },
    json,
    text,
    async isolation() {
      const [chart] = await json('isolation.json', z.array(ChartIsolation));
      if (chart === undefined) throw new Error('there is no chart in isolation.json');
      return chart;
    },
    async result(key) {
      const chart = (await json('replication_result.json', Result)).charts[key];
      if (chart === undefined) throw new Error(`there is no chart ${key} in the result`);
      return chart;
    },
    isThere: (target) => manifestAt(target) !== undefined,
    manifest: (target) => Buffer.from(manifestAt(target)?.bytes ?? []).toString('utf8'),
    published: () => world.s3.buckets.get(bucket)?.versions.some(({ key }) => key.endsWith('.json')) === true,
    async pull(address, version) {
      const to = join(world.folder, 'pulled', version);
      await mkdir(to, { recursive: true });
      // helm 4 sends its credentials along when the registry redirects to another port of this machine.
      const login = ['--username', 'AWS', '--password', await ecrPassword(world), '--plain-http'];
      await runTool('helm3', ['pull', address, '--version', version, '--destination', to, ...login], env);
      const [file = ''] = await readdir(to);
      return join(to, file);
    },
    template: (helm, chart, args) => runTool(helm, ['template', 'release', chart, ...args], env),
    close: () => world.close(),
  };
}

async function runTool(name: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
  const path = `${dirname(requireTool(name))}:${env['PATH'] ?? ''}`;
  const { stdout } = await promisify(execFile)(requireTool(name), args, { env: { ...env, PATH: path } });
  return stdout;
}

async function writeDataFiles(
  world: StandIns,
  charts: readonly ChartSpec[],
  wanted: Readonly<Record<string, object>>,
): Promise<void> {
  const { open } = sampleHosts;
  const entries = Object.entries(wanted).map(([key, more]) => {
    const spec = charts.find(({ name }) => name === key);
    return [key, { name: key, repository: world.charts.url, version: spec?.version, ...more }] as const;
  });
  await writeFile(join(world.dataDir, 'default.yaml'), stringify({ charts: Object.fromEntries(entries) }));
  const mappings = { [open]: world.open.host, default: world.open.host };
  await writeFile(join(world.dataDir, '1.30.yaml'), stringify({ docker_mappings: mappings }));
}

async function ecrPassword(world: StandIns): Promise<string> {
  const target = 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken';
  const authorization =
    'AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/ecr/aws4_request, SignedHeaders=host, Signature=0';
  const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': target, authorization };
  const answer = await fetch(world.ecr.url, { method: 'POST', headers, body: '{}' });
  const [data] = Tokens.parse(await answer.json()).authorizationData;
  return Buffer.from(data?.authorizationToken ?? '', 'base64')
    .toString('utf8')
    .slice('AWS:'.length);
}
