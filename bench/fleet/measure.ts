import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as z from 'zod';
import { Shard } from '../../src/fleet/shard.ts';
import { ReplicationError } from '../../src/model/errors.ts';
import { startDynamodbServer } from '../../src/testing/dynamodb-server.ts';
import { root } from '../tools.ts';
import type { Relay } from '../relay/relay.ts';
import { putImage, type SideProfile } from '../relay/profile.ts';
import { type RegistryProcess, startRegistryProcess } from './stand-ins.ts';

/** One run of some workers over one plan. */
export const FleetRun = z.object({
  workers: z.number().int(),
  /** Whether they share a write budget. */
  budget: z.boolean(),
  /** From the start of the first worker's process to the end of the last one's. */
  seconds: z.number(),
  complete: z.boolean(),
  /** Manifests that arrived, and PUTs of manifests that were refused. */
  manifests: z.number().int(),
  refused: z.number().int(),
  /** Bodies of blobs as the source sent them. */
  sourceBytes: z.number(),
  dynamodbRequests: z.number().int(),
});
export type FleetRun = Readonly<z.infer<typeof FleetRun>>;

/** What all runs of a corpus have in common. */
export interface FleetStage {
  readonly source: RegistryProcess;
  readonly relay: Relay;
  readonly profile: SideProfile;
  /** `repository:tag` */
  readonly images: readonly string[];
  /** Blobs moved at the same time by one worker. */
  readonly concurrency: number;
  readonly folder: string;
  readonly signal: AbortSignal;
}

const region = 'eu-central-1';
const account = '123456789012';
const run = promisify(execFile);

/** Plans the copy of all images to an empty ECR for so many workers, and lets them copy it at the same time. */
export async function measureFleet(stage: FleetStage, workers: number, budget: boolean): Promise<FleetRun> {
  const folder = join(stage.folder, `${workers}-${budget ? 'budget' : 'alone'}`);
  await mkdir(folder, { recursive: true });
  const table = await startDynamodbServer();
  const target = await startRegistryProcess(folder, 'target', {
    manners: 'ecr',
    accountId: account,
    region,
    storage: 'discard',
    manifestPutRate: putImage,
  });
  try {
    const env = environment(folder, target.host, table.url);
    const location = join(folder, 'run');
    await plan(stage, { workers, budget, folder, location, env });
    stage.relay.point(Number(stage.source.host.split(':')[1]), stage.profile);
    await Promise.all([stage.source.takeLog(), target.takeLog()]);
    const started = performance.now();
    const statuses = await Promise.all(
      Array.from({ length: workers }, (_, index) =>
        program(
          ['worker', '--shards', location, '--index', String(index), '--out', join(folder, `out-${index}`)],
          env,
          stage.signal,
        ),
      ),
    );
    const seconds = (performance.now() - started) / 1000;
    const [read, written] = await Promise.all([stage.source.takeLog(), target.takeLog()]);
    const puts = written.filter((entry) => entry.class === 'manifest-put');
    return {
      workers,
      budget,
      seconds,
      complete: statuses.every((status) => status === 0),
      manifests: puts.filter(({ status }) => status === 201).length,
      refused: puts.filter(({ status }) => status === 429).length,
      sourceBytes: read.filter((entry) => entry.class === 'blob-get').reduce((sum, { bytesOut }) => sum + bytesOut, 0),
      dynamodbRequests: table.requests.entries.length,
    };
  } finally {
    await Promise.all([target.stop(), table.close()]);
  }
}

interface Planning {
  readonly workers: number;
  readonly budget: boolean;
  readonly folder: string;
  readonly location: string;
  readonly env: Readonly<Record<string, string>>;
}

async function plan(stage: FleetStage, { workers, budget, folder, location, env }: Planning): Promise<void> {
  const { relay, images, source, concurrency, signal } = stage;
  // Planning is not measured, and needs no delays.
  relay.point(Number(source.host.split(':')[1]), { ...stage.profile, rttMs: 0, bytesPerSecond: undefined });
  const status = await program(
    [
      ...['ecr', '--source-type', 'Public', '--src-list', 'SELECTED', '--once'],
      ...['--src-image-list', images.map((image) => `127.0.0.1:${relay.port}/${image}`).join(',')],
      ...['--dest-region', region, '--dest-account', account, '--dest-prefix', 'm', '--out', join(folder, 'out')],
      ...['--concurrency', String(concurrency), '--shards', location, '--shard-count', String(workers)],
      ...(budget ? ['--budget', 'dynamodb:coordination'] : []),
    ],
    env,
    signal,
  );
  if (status !== 0) throw new ReplicationError('internal', `planning for ${workers} workers ended with ${status}`);
  for (let index = 0; index < workers; index += 1) {
    const file = join(location, 'shards', `${String(index).padStart(4, '0')}.json`);
    const shard = Shard.parse(JSON.parse(await readFile(file, 'utf8')));
    // The status is no part of what is measured, and its file is for one worker at a time.
    await writeFile(file, JSON.stringify({ ...shard, status: undefined }));
  }
}

function environment(folder: string, targetHost: string, tableUrl: string): Readonly<Record<string, string>> {
  return {
    PATH: process.env['PATH'] ?? '',
    HOME: folder,
    TMPDIR: folder,
    AWS_REGION: region,
    AWS_ACCOUNT_ID: account,
    AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
    AWS_ENDPOINT_URL_ECR: `http://${targetHost}`,
    AWS_ENDPOINT_URL_DYNAMODB: tableUrl,
  };
}

/** Runs the program as users do. @returns its exit status; what it says is in the folder of its own */
async function program(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<number> {
  const out = args[args.indexOf('--out') + 1] ?? '';
  await mkdir(out, { recursive: true });
  try {
    const { stdout } = await run(process.execPath, [join(root, 'scripts/image-replication.js'), ...args], {
      env,
      signal,
      cwd: root,
      maxBuffer: 2 ** 26,
    });
    await writeFile(join(out, 'said.txt'), stdout);
    return 0;
  } catch (error) {
    signal.throwIfAborted();
    const failed = z.object({ code: z.number(), stdout: z.string(), stderr: z.string() }).parse(error);
    await writeFile(join(out, 'said.txt'), failed.stdout + failed.stderr);
    return failed.code;
  }
}
