import { join } from 'node:path';
import { expect } from 'vitest';
import * as z from 'zod';
import { ShardResult } from '../../src/fleet/shard.ts';
import { ImageStatus } from '../../src/status/status.ts';
import { buildImage } from '../../src/testing/image-builder.ts';
import { syntheticLayer, tarLayer } from '../../src/testing/image-layers.ts';
import {
  type ProgramRun,
  type SpawnedProgram,
  type SpawnOptions,
  runProgram,
  startProgram,
  type Variables,
} from '../program.ts';
import { completedUploads } from '../world/requests.ts';
import { bucket, coordinationTable, region, statusTable } from './account.ts';
import type { Own } from './front.ts';
import type { AwsRequest } from './needs.ts';
import { destinationAccount, destinationHost, type FleetWorld, startFleetWorld } from './world.ts';

/** What a container told Step Functions. */
export interface Report {
  readonly token: string;
  readonly operation: string;
  readonly error: string;
  readonly cause: string;
}

export interface WorkerOptions extends SpawnOptions {
  /** The task that it is; without one nobody waits for it. */
  readonly token?: string;
  readonly env?: Variables;
  readonly args?: readonly string[];
}

/** The containers of a run of one shard, started one by one by the test: it stands where the state machine would. */
export interface Containers {
  readonly fleet: FleetWorld;
  /** What containers get in place of AWS's answers from now on; the test's own clients are not concerned. */
  trouble(own: Own): void;
  readonly reports: readonly Report[];
  /** Ends all trouble, at AWS and at the registries, and forgets their requests: each try of a test begins with this. */
  calm(): void;
  /**
   * Plans a run of all images into repositories of a prefix that was not used before.
   * @returns the prefix, which is the run's name as well
   */
  plan(name: string, ...more: readonly string[]): Promise<string>;
  worker(name: string, options?: WorkerOptions): SpawnedProgram;
  result(name: string): Promise<ShardResult | undefined>;
  statuses(name: string): Promise<readonly ImageStatus[]>;
  /** Every image and every status of it is what it should be: there by digest, and said to be so. */
  expectDone(name: string): Promise<void>;
  /** Statuses that say of an image that it is there, which is not. */
  lies(name: string): Promise<readonly string[]>;
  /** Blobs of a run, `repository digest`, that were put where they were before. */
  movedTwice(name: string): readonly string[];
  close(): Promise<void>;
}

export const images = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight'] as const;
/** Of the layer that two images share: it is kept on disk for the second one, as ECR mounts nothing unless it is told to. */
const largeBytes = 3_000_000;
const limit = 60_000;

const States = z.object({ taskToken: z.string(), error: z.string().default(''), cause: z.string().default('') });

export async function startContainers(): Promise<Containers> {
  const reports: Report[] = [];
  let trouble: Own = () => undefined;
  const fleet = await startFleetWorld(1, async (request) => {
    if (request.accessKeyId === 'TEST') return undefined;
    return (await trouble(request)) ?? heard(request, reports);
  });
  const { source, destination, account, folder } = fleet;
  const large = await syntheticLayer('large', largeBytes);
  for (const name of images) {
    const own = tarLayer([{ path: name, content: name.repeat(500) }]);
    const layers = () => (name === 'one' || name === 'two' ? [large, own] : [own]);
    await source.putImage(name, '1', buildImage({ name, index: false, platforms: ['linux/amd64'], layers }));
  }
  let runs = 0;
  const digestOf = (server: typeof source, name: string) => server.manifest(name, '1')?.descriptor.digest;
  const start = (kind: string, args: readonly string[], { env, ...options }: WorkerOptions): SpawnedProgram =>
    startProgram(
      [...args, ...(args.includes('--out') ? [] : ['--out', join(folder, 'out')])],
      { ...fleet.environment(kind), ...env },
      options,
    );
  const statuses = async (name: string): Promise<readonly ImageStatus[]> => {
    const { Items = [] } = await account.dynamodb.scan({ TableName: statusTable, ConsistentRead: true });
    return Items.map(({ tries, ...texts }) => {
      const values = Object.entries(texts).map(([key, value]) => [key, value.S ?? null]);
      const nothing = { digest: null, finished: null, error: null };
      return ImageStatus.parse({ ...nothing, ...Object.fromEntries(values), tries: Number(tries?.N) });
    }).filter(({ target }) => target.startsWith(`${destinationHost}/${name}/`));
  };
  const lies = async (name: string): Promise<readonly string[]> =>
    (await statuses(name)).flatMap(({ target, state, digest }) => {
      const repository = target.slice(destinationHost.length + 1).replace(/:1$/, '');
      const there = digestOf(destination, repository);
      const said = state === 'copied' || state === 'unchanged';
      return said && (digest === null || there !== digest) ? [`${target} ${state} ${String(digest)}`] : [];
    });
  return {
    fleet,
    reports,
    trouble: (own) => (trouble = own),
    calm() {
      trouble = () => undefined;
      for (const server of [source, destination]) server.reset();
    },
    async plan(prefix, ...more) {
      const name = `${prefix}-${(runs += 1)}`;
      const args = ['ecr', '--src-region', region, '--dest-region', 'cn-northwest-1'];
      args.push('--dest-account', destinationAccount, '--dest-prefix', name);
      args.push('--shards', `s3://${bucket}/runs/${name}`, '--shard-count', '1', '--workers', '4');
      args.push('--status-store', `dynamodb:${statusTable}`, '--budget', `dynamodb:${coordinationTable}`, ...more);
      const planned = await runProgram([...args, '--out', join(folder, 'out')], fleet.environment('plan'));
      expect(planned.status, planned.stdout + planned.stderr).toBe(0);
      return name;
    },
    worker(name, { token, args = [], ...options } = {}) {
      const task = token === undefined ? {} : { TASK_TOKEN: token, TASK_HEARTBEAT_SECONDS: '0.2' };
      const shard = `s3://${bucket}/runs/${name}/shards/0000.json`;
      return start('worker', ['worker', '--shard', shard, ...args], { ...options, env: { ...task, ...options.env } });
    },
    async result(name) {
      const { Contents = [] } = await account.s3.listObjectsV2({ Bucket: bucket, Prefix: `runs/${name}/results/` });
      if (Contents.length === 0) return undefined;
      const { Body } = await account.s3.getObject({ Bucket: bucket, Key: `runs/${name}/results/0000.json` });
      return ShardResult.parse(JSON.parse((await Body?.transformToString()) ?? ''));
    },
    statuses,
    lies,
    async expectDone(name) {
      expect(images.filter((each) => digestOf(source, each) !== digestOf(destination, `${name}/${each}`))).toEqual([]);
      expect(await destination.damage()).toEqual([]);
      const known = await statuses(name);
      expect(known.map(({ target }) => target).sort()).toEqual(
        images.map((each) => `${destinationHost}/${name}/${each}:1`).sort(),
      );
      expect(known.filter(({ state }) => state !== 'copied' && state !== 'unchanged')).toEqual([]);
      expect(await lies(name)).toEqual([]);
    },
    movedTwice(name) {
      const keys = completedUploads(destination).filter((each) => each.startsWith(`${name}/`));
      return keys.filter((key, index) => keys.indexOf(key) !== index);
    },
    close: () => fleet.close(),
  };
}

/** Step Functions, as far as a task that it waits for speaks to it. */
function heard({ service, target, body }: AwsRequest, reports: Report[]): ReturnType<Own> {
  if (service !== 'states') return undefined;
  const { taskToken: token, error, cause } = States.parse(JSON.parse(body));
  reports.push({ token, operation: target.split('.').at(-1) ?? '', error, cause });
  return { status: 200, body: {} };
}

/** The last word of a task, which is no heartbeat. */
export function lastWord(reports: readonly Report[], token: string): Report | undefined {
  return reports.filter((each) => each.token === token && each.operation !== 'SendTaskHeartbeat').at(-1);
}

export function said({ stdout, stderr }: ProgramRun): string {
  return stdout + stderr;
}

/** Waits for what another process does. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const late = AbortSignal.timeout(limit);
  while (!(await holds())) {
    late.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
