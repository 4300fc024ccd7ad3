import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { destinationAccount, type EcrWorld, startEcrWorld } from '../../test/ecr-world.ts';
import { type ProgramRun, runProgram, type SpawnedProgram, startProgram, type Variables } from '../../test/program.ts';
import { describeWith } from '../../test/tools.ts';
import { signalOfTry } from '../../test/try-signal.ts';
import { completedUploads } from '../../test/world/requests.ts';
import { ImageStatus } from '../status/status.ts';
import { buildImage } from '../testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';

// kill -9 in the middle of a blob and of a manifest: what has arrived is not moved again, the next run ends the rest, and the
// status says of no image that it is there which is not.

const names = ['one', 'two', 'three', 'four', 'five', 'six'] as const;
const moments = ['a blob', 'a manifest'] as const;
const stallMs = 500;

interface Registries {
  readonly source: RegistryServer;
  readonly target: RegistryServer;
  /** How the source hands out blobs: ECR by its storage. */
  readonly blobs: 'blob-get' | 'storage-get';
}

/** Starts the program and kills it while a request of the middle of its work is held up. @param signal of the try */
async function killedIn(
  moment: (typeof moments)[number],
  { source, target, blobs }: Registries,
  start: () => SpawnedProgram,
  signal: AbortSignal,
): Promise<void> {
  const [server, fault] =
    moment === 'a blob'
      ? [source, { class: blobs, fault: { kind: 'stall', milliseconds: stallMs, bytes: 100 } } as const]
      : [target, { class: 'manifest-put', fault: { kind: 'stall', milliseconds: stallMs } } as const];
  server.fail({ ...fault, skip: 5 });
  const program = start();
  const held = (): boolean => server.requests.count((entry) => entry.fault === 'stall') > 0;
  try {
    while (!held() && program.process.exitCode === null) await sleep(2, undefined, { signal });
  } finally {
    program.process.kill('SIGKILL');
  }
  const { status, stdout, stderr } = await program.ended;
  expect(status, stdout + stderr).toBe(null);
  // Whatever reached a server before is handled by now.
  await sleep(stallMs + 200);
}

/** Writes that ended well: blobs by upload, and manifests of images that are there. */
function written(target: RegistryServer): readonly string[] {
  const manifests = target.requests.of(({ class: kind, status }) => kind === 'manifest-put' && status === 201);
  return [
    ...completedUploads(target),
    ...manifests.flatMap(({ repository = '', reference }) =>
      target.manifest(repository, '1') === undefined ? [] : [`${repository} ${reference ?? ''}`],
    ),
  ];
}

/** A killed process may leave the mark of a lock; the next run on a schedule finds an old one. */
async function grownOld(database: string): Promise<void> {
  const lock = `${database}.lock`;
  if (existsSync(lock)) await utimes(lock, new Date(0), new Date(0));
}

function succeeded(run: ProgramRun): void {
  expect(run.status, run.stdout + run.stderr).toBe(0);
}

const trySignal = signalOfTry();

describeWith(['moto_server'], 'ecr, killed', () => {
  let world: EcrWorld;
  beforeEach(async () => {
    world = await startEcrWorld();
    for (const name of names) await world.source.putImage(`team/${name}`, '1', buildImage({ name }));
  });
  afterEach(() => world.close());

  it.each(moments)('in the middle of %s', async (moment) => {
    const signal = trySignal();
    const { source, destination: target } = world;
    const prefix = moment === 'a blob' ? 'blob' : 'manifest';
    const out = join(world.folder, prefix);
    const args = ['ecr', '--out', out, '--src-region', 'eu-west-1', '--dest-region', 'cn-northwest-1'];
    const all = [...args, '--dest-account', destinationAccount, '--dest-prefix', prefix, '--concurrency', '2'];
    for (const server of [source, target]) server.reset();
    await killedIn(moment, { source, target, blobs: 'storage-get' }, () => startProgram(all, world.env), signal);
    await grownOld(join(out, 'status.db'));

    const statuses = async (): Promise<readonly ImageStatus[]> => {
      succeeded(await runProgram(['status', '--out', out], world.env));
      return z.array(ImageStatus).parse(JSON.parse(await readFile(join(out, 'status.json'), 'utf8')));
    };
    const atTarget = ({ target: name }: ImageStatus): string | undefined =>
      target.manifest(name.replace(/^[^/]+\//, '').replace(/:.*$/, ''), '1')?.descriptor.digest;
    const interrupted = await statuses();
    expect(interrupted).toHaveLength(names.length);
    expect(new Set(interrupted.map(({ state }) => state))).toContain('pending');
    for (const status of interrupted) {
      expect(['pending', 'copied']).toContain(status.state);
      if (status.state === 'copied') expect(atTarget(status)).toBe(status.digest);
    }

    const done = written(target);
    expect(done.length).toBeGreaterThan(0);
    for (const server of [source, target]) server.reset();
    succeeded(await runProgram(all, world.env));
    expect(written(target).filter((each) => done.includes(each))).toEqual([]);
    expect(await target.damage()).toEqual([]);
    const complete = await statuses();
    expect(complete.map(({ state }) => state).filter((state) => state !== 'copied' && state !== 'unchanged')).toEqual([]); // prettier-ignore
    for (const status of complete) expect(atTarget(status)).toBe(status.digest);
    expect(complete.map(({ digest }) => digest).sort()).toEqual(
      names.map((name) => source.manifest(`team/${name}`, '1')?.descriptor.digest).sort(),
    );
    target.reset();
    succeeded(await runProgram(all, world.env));
    expect(written(target)).toEqual([]);
  });
});

describe('mirror, killed', () => {
  let source: RegistryServer;
  let target: RegistryServer;
  let folder: string;
  beforeEach(async () => {
    [source, target, folder] = await Promise.all([
      startRegistryServer({ manners: 'plain' }),
      startRegistryServer({ manners: 'ecr', accountId: '123456789012', region: 'eu-central-1' }),
      mkdtemp(join(tmpdir(), 'image-replication-test-')),
    ]);
    for (const name of names) await source.putImage(`many/${name}`, '1', buildImage({ name }));
  });
  afterEach(async () => {
    await Promise.all([source.close(), target.close(), rm(folder, { recursive: true, force: true })]);
  });

  it.each(moments)('in the middle of %s', async (moment) => {
    const signal = trySignal();
    const project = moment === 'a blob' ? 'blob' : 'manifest';
    const config = join(folder, `${project}.ini`);
    const head = `[DEFAULT]\nrefresh = 1w\ntag = 1\nproject = ${project}\nsource-repository = ${source.host}/many\n`;
    await writeFile(config, head + names.map((name) => `[${name}]\nimage = ${name}\n`).join(''));
    const database = join(folder, `${project}.db`);
    const env: Variables = {
      PATH: process.env['PATH'],
      HOME: folder,
      AWS_DEFAULT_REGION: 'eu-central-1',
      AWS_ACCOUNT: '123456789012',
      AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
      AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_ENDPOINT_URL_ECR: target.url,
      DB_PATH: database,
    };
    const args = ['mirror', '--config', config, '--out', join(folder, 'out'), '--concurrency', '2', '--once'];
    for (const server of [source, target]) server.reset();
    await killedIn(moment, { source, target, blobs: 'blob-get' }, () => startProgram(args, env), signal);
    await grownOld(database);
    const status = async (): Promise<string> => {
      const run = await runProgram(['mirror', '--status', '--json'], env);
      succeeded(run);
      return run.stdout;
    };
    // A pass is remembered as a whole, when it has ended.
    expect(await status()).toBe('');

    const done = written(target);
    expect(done.length).toBeGreaterThan(0);
    for (const server of [source, target]) server.reset();
    succeeded(await runProgram(args, env));
    expect(written(target).filter((each) => done.includes(each))).toEqual([]);
    expect(names.map((name) => target.tags(`${project}/${name}`))).toEqual(names.map(() => ['1']));
    expect(await target.damage()).toEqual([]);
    expect((await status()).trim().split('\n')).toHaveLength(names.length);
    target.reset();
    const again = await runProgram(args, env);
    succeeded(again);
    expect(again.stdout).toContain('none of 6 sections is due');
  });
});
