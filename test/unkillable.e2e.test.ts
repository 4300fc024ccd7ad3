import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { randomFrom } from '../src/copy/test-support/random.ts';
import type { LoggedRequest } from '../src/testing/request-log.ts';
import { type ProgramRun, type SpawnedProgram, startProgram } from './program.ts';
import { corpus, type CorpusImage, lacking } from './unkillable/corpus.ts';
import { ecrPair, type Pair, plainPair, slowDown } from './unkillable/registries.ts';
import { uploadedDigest } from './world/requests.ts';

// A run may end at any moment, by any hand: what has arrived stays, is not moved again, and the next run completes the rest.

const seed = Number(process.env['SEED'] ?? 20260106);
const images: CorpusImage[] = [];
beforeAll(async () => {
  images.push(...(await corpus()));
});

/** Starts copying the corpus to repositories under a prefix. */
async function startImages(pair: Pair, prefix: string, more: readonly string[] = []): Promise<SpawnedProgram> {
  const list = join(pair.folder, `${prefix}.txt`);
  const lines = images.map(
    ({ name }) => `${pair.source.hostName}/corpus/${name}:1 ${pair.target.hostName}/${prefix}/${name}:1`,
  );
  await writeFile(list, lines.join('\n'));
  return startProgram(['images', '--list', list, '--out', join(pair.folder, prefix), ...more], pair.env);
}

/** Requests to the target about repositories under a prefix. */
function requestsUnder({ target }: Pair, prefix: string): readonly LoggedRequest[] {
  return target.requests.of((entry) => entry.repository?.startsWith(`${prefix}/`) === true);
}

const uploadOf = (entry: LoggedRequest): string => `${entry.repository ?? ''} ${uploadedDigest(entry)}`;

function said(run: ProgramRun): string {
  return `exit ${run.status ?? 'by signal'}\n${run.stdout.slice(-3000)}\n${run.stderr.slice(-1000)}`;
}

const variants = [
  { name: 'a plain registry that mounts', kills: 7, open: () => plainPair(true, images) },
  { name: 'a plain registry without mounts', kills: 6, open: () => plainPair(false, images) },
  { name: 'ECR with BLOB_MOUNTING', kills: 4, open: () => ecrPair(true, images) },
  { name: 'ECR as it is by default', kills: 3, open: () => ecrPair(false, images) },
] as const;

/** Runs at the same time, over all tests: more would only take turns on a small machine. */
const lanes = pLimit(3);

describe.concurrent('kill -9', () => {
  it.each(variants)('leaves nothing wrong and moves nothing twice, at $name', async ({ name, kills, open }) => {
    const pair = await open();
    try {
      slowDown(pair);
      const whole = await lanes(async () => (await startImages(pair, 'whole')).ended);
      expect(whole.status, said(whole)).toBe(0);
      expect(lacking(pair.target, 'whole', images)).toEqual([]);
      const requests = requestsUnder(pair, 'whole').length;

      const random = randomFrom(seed + name.length);
      const moments = Array.from({ length: kills }, () => Math.ceil(random() * requests));
      process.stdout.write(`seed ${seed}, ${name}: killed at request ${moments.join(', ')} of ${requests}\n`);
      await Promise.all(moments.map((moment, index) => lanes(() => killAndRunAgain(pair, `killed-${index}`, moment))));
    } finally {
      await pair.close();
    }
  });
});

async function killAndRunAgain(pair: Pair, prefix: string, moment: number): Promise<void> {
  const first = await startImages(pair, prefix);
  const running = (): boolean => first.process.exitCode === null;
  while (running() && requestsUnder(pair, prefix).length < moment) await sleep(2);
  first.process.kill('SIGKILL');
  await first.ended;
  const uploads = requestsUnder(pair, prefix).filter((entry) => entry.class === 'upload-put');
  const done = uploads.filter(({ status }) => status === 201).map(uploadOf);
  // One that was being answered when the kill came may have arrived or not.
  const undecided = new Set(uploads.filter(({ status }) => status === 0).map(uploadOf));
  // What reached the server before the kill is handled by now.
  await sleep(150);
  const before = requestsUnder(pair, prefix).length;

  const second = await (await startImages(pair, prefix)).ended;
  expect(second.status, said(second)).toBe(0);
  expect(lacking(pair.target, prefix, images)).toEqual([]);
  // On a busy machine a request of the killed run may be heard of this late; nobody is there to take its answer.
  const entries = requestsUnder(pair, prefix)
    .slice(before)
    .filter(({ status }) => status !== 0);
  const again = entries.filter((entry) => entry.class === 'upload-put').map(uploadOf);
  expect(again.filter((upload) => done.includes(upload) && !undecided.has(upload))).toEqual([]);
  const twice = again.filter((upload, index) => again.indexOf(upload) !== index);
  const about = entries.filter((entry) => twice.some((upload) => upload.startsWith(`${entry.repository ?? ''} `)));
  const story = about.map(({ at, method, path, status, fault }) => `${at} ${method} ${path} ${status} ${fault ?? ''}`);
  expect(twice, `${said(second)}\n${story.join('\n')}`).toEqual([]);
}

const Record = z.looseObject({
  ok: z.boolean(),
  outcomes: z.array(z.looseObject({ kind: z.string(), artifact: z.string() })),
  failures: z.array(z.looseObject({ artifact: z.string(), code: z.string(), cause: z.string() })),
});

async function recordOf(pair: Pair, prefix: string): Promise<z.infer<typeof Record>> {
  return Record.parse(JSON.parse(await readFile(join(pair.folder, prefix, 'run.json'), 'utf8')));
}

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 60_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error('waited for 60 s in vain');
    await sleep(5);
  }
}

// Each has registries of its own, so that they may run side by side: they mostly wait.
describe.concurrent('SIGTERM', () => {
  const pairs: Pair[] = [];
  const open = async (): Promise<Pair> => {
    const pair = await plainPair(false, images);
    pairs.push(pair);
    return pair;
  };
  afterAll(() => Promise.all(pairs.map((pair) => pair.close())));
  const uploading = ({ target }: Pair, count: number): Promise<void> =>
    until(() => target.requests.count('upload-put') >= count);

  it('lets what is under way end, begins nothing, says what is left, and the next run does that', async () => {
    const pair = await open();
    pair.target.fail({ class: 'upload-put', times: 'always', fault: { kind: 'stall', milliseconds: 400 } });
    const program = await startImages(pair, 'stopped', ['--concurrency', '2']);
    await uploading(pair, 3);
    program.process.kill('SIGTERM');
    const atSignal = pair.target.requests.count('upload-put');
    const run = await program.ended;
    expect(run.status, said(run)).toBe(1);
    // Two for the source and two for the target are under way with this concurrency.
    expect(pair.target.requests.count('upload-put') - atSignal).toBeLessThanOrEqual(4);
    expect(run.stdout).toContain('stopped by SIGTERM');
    expect(run.stdout).toContain('run again');
    const record = await recordOf(pair, 'stopped');
    expect(record.ok).toBe(false);
    expect(record.outcomes).toHaveLength(images.length);
    const left = record.outcomes.filter(({ kind }) => kind === 'failed').map(({ artifact }) => artifact);
    expect(left.length).toBeGreaterThan(0);
    for (const artifact of left) expect(run.stdout).toContain(artifact);
    expect(record.failures.map(({ code }) => code)).toEqual(record.failures.map(() => 'cancelled'));

    pair.target.faults.clear();
    const done = pair.target.requests
      .of(({ status, class: kind }) => kind === 'upload-put' && status === 201)
      .map(uploadOf);
    const before = pair.target.requests.entries.length;
    const next = await (await startImages(pair, 'stopped')).ended;
    expect(next.status, said(next)).toBe(0);
    expect(lacking(pair.target, 'stopped', images)).toEqual([]);
    const again = pair.target.requests.entries.slice(before).filter((entry) => entry.class === 'upload-put');
    expect(again.map(uploadOf).filter((upload) => done.includes(upload))).toEqual([]);
  });

  it('breaks off what does not end, within 30 s', async () => {
    const pair = await open();
    pair.target.fail({
      class: 'upload-put',
      skip: 3,
      times: 'always',
      fault: { kind: 'stall', milliseconds: 120_000 },
    });
    const program = await startImages(pair, 'hanging');
    await uploading(pair, 4);
    const signalled = Date.now();
    program.process.kill('SIGTERM');
    const run = await program.ended;
    expect(Date.now() - signalled).toBeLessThan(30_000);
    expect(run.status, said(run)).toBe(1);
    expect(run.stdout).toContain('stopped by SIGTERM');
    expect((await recordOf(pair, 'hanging')).failures.length).toBeGreaterThan(0);
  });

  it('that comes twice breaks everything off at once, still in order', async () => {
    const pair = await open();
    pair.target.fail({ class: 'upload-put', times: 'always', fault: { kind: 'stall', milliseconds: 120_000 } });
    const program = await startImages(pair, 'twice');
    await uploading(pair, 1);
    let heard = '';
    program.process.stdout?.on('data', (chunk: string) => (heard += chunk));
    program.process.kill('SIGTERM');
    await until(() => heard.includes('SIGTERM'));
    const second = Date.now();
    program.process.kill('SIGTERM');
    const run = await program.ended;
    // Less than the time that one signal leaves to what is under way.
    expect(Date.now() - second).toBeLessThan(15_000);
    expect(run.status, said(run)).toBe(1);
    expect(run.stdout).toContain('stopped by SIGTERM');
    expect(existsSync(join(pair.folder, 'twice', 'run.json'))).toBe(true);
  });
});
