import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { type JsonAnswer, type JsonApiServer, startJsonApiServer } from '../../test/json-api-server.ts';
import { type ProgramRun, runProgram, startProgram } from '../../test/program.ts';
import { ShardProgress, ShardResult } from '../fleet/shard.ts';
import { buildImage } from '../testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';

const token = 'AQCAAAAKgAAAtaskToken+/secret=';
const patient = { timeout: 30_000 };
const Failure = z.object({ taskToken: z.literal(token), error: z.string(), cause: z.string() });

describe('a task that Step Functions waits for', () => {
  let source: RegistryServer;
  let target: RegistryServer;
  let states: JsonApiServer;
  let folder: string;
  let answer: (operation: string) => JsonAnswer;
  const file = (name: string): string => join(folder, name);
  const env = () => ({
    PATH: process.env['PATH'],
    HOME: '/nonexistent',
    TMPDIR: folder,
    TASK_TOKEN: token,
    TASK_HEARTBEAT_SECONDS: '0.1',
    AWS_REGION: 'eu-west-1',
    AWS_ACCESS_KEY_ID: 'AKIATASK',
    AWS_SECRET_ACCESS_KEY: 'task-secret-key',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
    AWS_ENDPOINT_URL_SFN: states.url,
  });
  const task = (...args: readonly string[]): Promise<ProgramRun> => runProgram([...args, '--out', file('out')], env());
  const plan = (count: string, ...more: readonly string[]): Promise<ProgramRun> =>
    task(
      'images',
      '--list',
      file('list.txt'),
      '--target',
      target.host,
      '--shards',
      file('run'),
      '--shard-count',
      count,
      ...more,
    );
  const worker = (): readonly string[] => ['worker', '--shard', file('run/shards/0000.json')];
  const last = () => states.requests.filter(({ operation }) => operation !== 'SendTaskHeartbeat').at(-1);
  const failure = () => {
    const { operation, input } = last() ?? {};
    expect(operation).toBe('SendTaskFailure');
    return Failure.parse(input);
  };
  const success = (): unknown => {
    const { operation, input } = last() ?? {};
    expect(operation).toBe('SendTaskSuccess');
    return JSON.parse(z.object({ taskToken: z.literal(token), output: z.string() }).parse(input).output);
  };

  beforeEach(async () => {
    answer = () => ({ output: {} });
    [source, target, states, folder] = await Promise.all([
      startRegistryServer({ manners: 'plain' }),
      startRegistryServer({ manners: 'plain' }),
      startJsonApiServer((operation) => answer(operation)),
      mkdtemp(join(tmpdir(), 'task-test-')),
    ]);
    for (const name of ['a', 'b', 'c']) await source.putImage(name, '1', buildImage({ name }));
    await writeFile(file('list.txt'), ['a', 'b', 'c'].map((name) => `${source.host}/${name}:1`).join('\n'));
  });
  afterEach(async () => {
    await Promise.all([source.close(), target.close(), states.close(), rm(folder, { recursive: true, force: true })]);
  });

  it('tells what was planned, what a worker did, and the sum', async () => {
    const planned = await plan('1');
    expect(planned.status, planned.stdout + planned.stderr).toBe(0);
    expect(success()).toMatchObject({ location: file('run'), key: file('run/shards.json'), shards: 1, images: 3 });
    // Nobody types here.
    expect(planned.stdout).not.toContain('next');
    const worked = await task(...worker());
    expect(worked.status, worked.stdout + worked.stderr).toBe(0);
    expect(success()).toMatchObject({ copied: 3, unchanged: 0, failed: 0 });
    expect((await task('summary', '--shards', file('run'))).status).toBe(0);
    expect(success()).toMatchObject({ copied: 3, failed: 0, failedShards: 0, key: file('run/failed.json') });
    expect(states.requests.map(({ operation }) => operation)).toContain('SendTaskHeartbeat');
  });

  it('says which images failed, and does not have that repeated; the summary succeeds in saying so', async () => {
    await plan('1');
    source.fail({ class: 'blob-get', repository: 'b', times: 'always', fault: { kind: 'status', status: 404 } });
    const worked = await task(...worker());
    expect(worked.status).toBe(1);
    expect(failure()).toMatchObject({ error: 'ImagesFailed' });
    expect(failure().cause).toContain(`${source.host}/b:1`);
    expect((await task('summary', '--shards', file('run'))).status).toBe(1);
    expect(success()).toMatchObject({ copied: 2, failed: 1, failedShards: 1 });
  });

  it('counts for each execution what no earlier one was told of, also when it asks twice', async () => {
    await plan('1');
    source.fail({ class: 'blob-get', repository: 'b', times: 'always', fault: { kind: 'status', status: 404 } });
    expect((await task(...worker())).status).toBe(1);
    const told = async (...more: readonly string[]): Promise<unknown> => {
      await task('summary', '--shards', file('run'), ...more);
      return z.looseObject({ added: z.unknown().optional() }).parse(success()).added;
    };
    const first = await told('--execution', 'first');
    expect(first).toMatchObject({ copied: 2, unchanged: 0 });
    source.reset();
    expect((await task(...worker())).status).toBe(0);
    // A look by hand is no execution.
    expect(await told()).toBeUndefined();
    const again = z
      .object({ bytes: z.number().positive() })
      .loose()
      .parse(await told('--execution', 'again'));
    expect(again).toMatchObject({ copied: 1, unchanged: 0 });
    expect(await told('--execution', 'again')).toEqual(again);
    expect(success()).toMatchObject({ copied: 3, failed: 0 });
    expect(await told('--execution', 'third')).toEqual({ copied: 0, unchanged: 0, bytes: 0 });
  });

  it('says what is configured wrong, also before a job begins', async () => {
    expect((await task('worker', '--shard', file('run/shards/0007.json'))).status).toBe(2);
    expect(failure()).toMatchObject({ error: 'Configuration' });
    expect(failure().cause).toContain('there is no');
    expect((await task('worker', '--no-such-option')).status).toBe(2);
    expect(failure()).toMatchObject({ error: 'Configuration' });
  });

  it('names credentials that are refused as trouble of the worker, which another one may not have', async () => {
    await plan('1');
    source.fail({ class: 'manifest-get', times: 'always', fault: { kind: 'status', status: 401 } });
    expect((await task(...worker())).status).toBe(1);
    expect(failure()).toMatchObject({ error: 'Failed' });
  });

  it('stops when the task is another worker’s, and leaves neither result nor status', async () => {
    await plan('1', '--status-store', `sqlite:${file('status.db')}`);
    source.fail({ class: 'blob-get', times: 'always', fault: { kind: 'stall', milliseconds: 600_000 } });
    answer = (operation) =>
      operation === 'SendTaskHeartbeat' ? { error: 'TaskTimedOut', message: 'Task Timed Out' } : { output: {} };
    const worked = await task(...worker(), '--concurrency', '1');
    expect(worked.status).toBe(1);
    expect(worked.stdout).toContain('another attempt has taken its place');
    expect(last()?.operation).not.toBe('SendTaskFailure');
    await expect(readFile(file('run/results/0000.json'))).rejects.toThrow();
    const shown = await runProgram(['status', '--store', `sqlite:${file('status.db')}`, '--out', file('out')], env());
    expect(shown.stdout).toContain('pending');
    expect(shown.stdout).not.toContain('failed');
  });

  it('leaves the result of a later attempt as it is', async () => {
    await plan('1');
    const time = new Date().toISOString();
    const later: ShardResult = {
      ...{ version: 1, run: 'run', index: 0, attempts: 2, startedAt: time, finishedAt: time },
      ...{ counts: { copied: 3, unchanged: 0, failed: 0 }, failures: [], outcomes: [], notices: [] },
    };
    const meanwhile = async (): Promise<void> => {
      await mkdir(file('run/results'));
      await writeFile(file('run/results/0000.json'), JSON.stringify(later));
    };
    source.fail({ class: 'blob-get', fault: { kind: 'call', run: meanwhile } });
    expect((await task(...worker())).status).toBe(0);
    const result = ShardResult.parse(JSON.parse(await readFile(file('run/results/0000.json'), 'utf8')));
    expect(result).toEqual(later);
  });

  it('goes on when a heartbeat does not come through', async () => {
    await plan('1');
    answer = (operation) =>
      operation === 'SendTaskHeartbeat' ? { error: 'AccessDeniedException', message: 'no' } : { output: {} };
    const worked = await task(...worker());
    expect(worked.status, worked.stdout).toBe(0);
    expect(worked.stderr).toContain('no heartbeat');
    expect(success()).toMatchObject({ copied: 3 });
  });

  it('finds what a killed process has done, moves nothing twice, and counts it', async () => {
    await plan('1');
    // Two images are copied at once, the third waits for ever.
    source.fail({
      class: 'blob-get',
      repository: 'c',
      times: 'always',
      fault: { kind: 'stall', milliseconds: 600_000 },
    });
    const killed = startProgram([...worker(), '--out', file('out')], env());
    await expect.poll(() => target.tags('b').length + target.tags('a').length, patient).toBe(2);
    await expect
      .poll(() => source.requests.of('blob-get').some(({ repository }) => repository === 'c'), patient)
      .toBe(true);
    const noted = async (): Promise<ShardProgress> =>
      ShardProgress.parse(JSON.parse(await readFile(file('run/progress/0000.json'), 'utf8')));
    await expect.poll(async () => (await noted()).copied?.length, patient).toBe(2);
    killed.process.kill('SIGKILL');
    await once(killed.process, 'close');
    expect(last()?.operation).toBe('SendTaskSuccess'); // the plan's: the killed one has said nothing
    source.reset();
    const worked = await task(...worker());
    expect(worked.status, worked.stdout).toBe(0);
    expect(new Set(source.requests.of('blob-get').map(({ repository }) => repository))).toEqual(new Set(['c']));
    expect(success()).toMatchObject({ copied: 3, unchanged: 0, failed: 0 });
    const result = ShardResult.parse(JSON.parse(await readFile(file('run/results/0000.json'), 'utf8')));
    expect(result).toMatchObject({ attempts: 2, counts: { copied: 3, unchanged: 0, failed: 0 } });
    const put = target.requests.of('upload-put').filter(({ status }) => status === 201);
    expect(result.totals?.bytesWritten).toBeGreaterThanOrEqual(put.reduce((sum, { bytesIn }) => sum + bytesIn, 0));
  });

  it('says that it was interrupted when it is told to stop', async () => {
    await plan('1');
    source.fail({ class: 'blob-get', times: 'always', fault: { kind: 'stall', milliseconds: 800 } });
    const stopped = await task(...worker(), '--concurrency', '1', '--max-minutes', '0.01');
    expect(stopped.status).toBe(1);
    expect(failure()).toMatchObject({ error: 'Interrupted' });
    const result = ShardResult.parse(JSON.parse(await readFile(file('run/results/0000.json'), 'utf8')));
    expect(result.counts.failed).toBeGreaterThan(0);
  });

  it('keeps the token out of everything that it says', async () => {
    await plan('1');
    answer = (operation) =>
      operation === 'SendTaskHeartbeat' ? { error: 'ValidationException', message: `bad ${token}` } : { output: {} };
    const worked = await task(...worker());
    expect(worked.stderr).toContain('bad ******');
    expect(worked.stdout + worked.stderr).not.toContain(token);
  });
});
