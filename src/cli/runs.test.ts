import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { bucket } from '../../test/stand-ins.ts';
import { type JsonAnswer, type JsonApiServer, startJsonApiServer } from '../../test/json-api-server.ts';
import { type ProgramRun, runProgram } from '../../test/program.ts';
import { type S3Server, startS3Server } from '../../test/s3-server.ts';

const machine = 'arn:aws:states:eu-west-1:123456789012:stateMachine:replication';
const execution = 'arn:aws:states:eu-west-1:123456789012:execution:replication:daily-1';
const location = `s3://${bucket}/runs/daily-1`;
const failure = {
  artifact: 'docker.io/library/broken:1',
  side: 'source',
  code: 'corrupt',
  cause: 'the blob is not what its digest says',
};

describe('runs', () => {
  let states: JsonApiServer;
  let s3: S3Server;
  let folder: string;
  let answers: Record<string, JsonAnswer>;
  /** Of DescribeExecution, by ARN, where it is another one. */
  let others: Record<string, unknown>;
  let region: string;
  const run = (...args: readonly string[]): Promise<ProgramRun> =>
    runProgram(['runs', ...args, '--out', join(folder, 'out')], {
      PATH: '',
      HOME: folder,
      TMPDIR: folder,
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: 'AKIARUNS',
      AWS_SECRET_ACCESS_KEY: 'runs-secret-key',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
      AWS_ENDPOINT_URL_SFN: states.url,
      AWS_ENDPOINT_URL_S3: s3.url,
    });
  const object = (name: string, value: unknown): Promise<void> => s3Put(s3.url, `runs/daily-1/${name}`, value);

  beforeEach(async () => {
    others = {};
    region = 'eu-west-1';
    answers = {
      ListExecutions: {
        output: {
          executions: [
            {
              executionArn: execution,
              name: 'daily-1',
              status: 'FAILED',
              startDate: 1_790_000_000,
              stopDate: 1_790_000_125,
            },
          ],
        },
      },
      DescribeExecution: {
        output: {
          executionArn: execution,
          stateMachineArn: machine,
          name: 'daily-1',
          status: 'FAILED',
          startDate: 1_790_000_000,
          stopDate: 1_790_000_125,
          input: '{}',
          error: 'ImagesFailed',
          cause: '1 images failed in run daily-1',
        },
      },
      GetExecutionHistory: {
        output: {
          events: [
            {
              timestamp: 1_790_000_000,
              type: 'PassStateExited',
              id: 3,
              stateExitedEventDetails: { name: 'Settings', output: JSON.stringify({ location }) },
            },
          ],
        },
      },
      ListMapRuns: {
        output: {
          mapRuns: [
            {
              executionArn: execution,
              mapRunArn: `${execution}/Shards:1`,
              stateMachineArn: machine,
              startDate: 1_790_000_000,
            },
          ],
        },
      },
      DescribeMapRun: {
        output: {
          itemCounts: {
            total: 2,
            pending: 0,
            running: 0,
            succeeded: 1,
            failed: 1,
            timedOut: 0,
            aborted: 0,
            resultsWritten: 0,
          },
        },
      },
      StartExecution: { output: { executionArn: `${execution}-again`, startDate: 1_790_000_200 } },
    };
    [states, s3, folder] = await Promise.all([
      startJsonApiServer((operation, input) => {
        const { executionArn = '', ...page } = Asked.parse(input);
        const answer = answers[operation];
        if (operation === 'ListExecutions' && answer !== undefined && 'output' in answer)
          return { output: listPage(Listed.parse(answer.output).executions, page) };
        const other = operation === 'DescribeExecution' ? others[executionArn] : undefined;
        return other === undefined ? (answers[operation] ?? { error: 'InvalidAction' }) : { output: other };
      }),
      startS3Server('123456789012'),
      mkdtemp(join(tmpdir(), 'runs-test-')),
    ]);
    await fetch(`${s3.url}/${bucket}`, { method: 'PUT' });
    const items = [0, 1].map((index) => ({
      shard: `${location}/shards/000${index}.json`,
      index,
      images: 2,
      manifests: 2,
      bytes: 10,
    }));
    const result = {
      version: 1,
      run: 'daily-1',
      attempts: 1,
      startedAt: '2026-11-21T10:00:00Z',
      finishedAt: '2026-11-21T10:01:00Z',
      outcomes: [],
      notices: [],
    };
    await object('planning.json', {
      version: 1,
      run: 'daily-1',
      job: 'images',
      plannedAt: '2026-11-21T09:59:00Z',
      shards: 2,
      images: 4,
      manifests: 4,
      bytes: 20,
      bytesFactor: 1,
      unchanged: 0,
      failures: [],
    });
    await object('shards.json', items);
    await object('failed.json', items.slice(1));
    await object('results/0000.json', {
      ...result,
      index: 0,
      counts: { copied: 2, unchanged: 0, failed: 0 },
      failures: [],
    });
    await object('results/0001.json', {
      ...result,
      index: 1,
      counts: { copied: 1, unchanged: 0, failed: 1 },
      failures: [failure],
    });
  });
  afterEach(async () => {
    await Promise.all([states.close(), s3.close(), rm(folder, { recursive: true, force: true })]);
  });

  it('lists executions, and shows one with its shards and what failed', async () => {
    const all = await run('--state-machine', machine);
    expect(all.status, all.stdout).toBe(0);
    expect(all.stdout).toMatch(
      /^daily-1 {2}failed {2}2026-09-21T14:13:20Z {2}2 min 05 s {2}ImagesFailed: 1 images failed in run daily-1$/m,
    );
    const one = await run('--state-machine', machine, 'daily-1', '--watch');
    expect(one.status, one.stdout).toBe(0);
    expect(one.stdout).toContain('shards: 1 of 2 done, 1 failed, 0 running, 0 waiting');
    expect(one.stdout).toContain('shard 0001: failed, 1 copied, 0 unchanged, 1 failed');
    expect(one.stdout).toContain(`failed ${failure.artifact}: ${failure.cause}`);
    expect(one.stdout).toContain(`/executions/details/${execution}`);
  });

  it('leaves the record of another job alone', async () => {
    await mkdir(join(folder, 'out'));
    await writeFile(join(folder, 'out/run.json'), 'of a job');
    expect((await run('--shards', location)).status).toBe(0);
    expect(await readFile(join(folder, 'out/run.json'), 'utf8')).toBe('of a job');
    expect(await readFile(join(folder, 'out/runs/run.json'), 'utf8')).toContain('"job": "runs"');
  });

  it('gives data with --json, and no text', async () => {
    const data = async (...args: readonly string[]) => {
      const { status, stdout } = await run(...args, '--json');
      expect(status, stdout).toBe(0);
      const all = stdout.trim().split('\n');
      return all.map((line) => z.looseObject({ type: z.string(), time: z.iso.datetime() }).parse(JSON.parse(line)));
    };
    const head = { arn: execution, name: 'daily-1', status: 'FAILED', started: '2026-09-21T14:13:20.000Z' };
    const list = await data('--state-machine', machine);
    expect(list).toMatchObject([
      { type: 'execution', ...head, ended: '2026-09-21T14:15:25.000Z', error: 'ImagesFailed' },
      { type: 'run-finished' },
    ]);
    const one = await data(execution);
    const counts = { copied: 3, unchanged: 0, failed: 1 };
    expect(one).toMatchObject([
      { type: 'execution', ...head, location, shards: { total: 2, succeeded: 1, failed: 1 } },
      { type: 'run', location, run: 'daily-1', images: 4, shards: 2, open: 0, ended: true, counts, failures: [] },
      { type: 'shard', index: 0, state: 'done', images: 2, attempts: 1, counts: { copied: 2 }, failures: [] },
      { type: 'shard', index: 1, state: 'failed', counts: { failed: 1 }, failures: [failure] },
      { type: 'run-finished' },
    ]);
    expect((await data('--shards', location)).map(({ type }) => type)).toEqual(one.slice(1).map(({ type }) => type));
    expect((await data(execution, '--redrive')).find(({ type }) => type === 'redrive')).toMatchObject({
      arn: `${execution}-again`,
      of: execution,
    });
  });

  it('watches with --json: what has changed, and nothing twice', async () => {
    const progress = {
      ...{ run: 'daily-1', index: 1, attempt: 2, startedAt: '2026-11-21T10:02:00Z', updatedAt: '2026-11-21T10:03:00Z' },
      ...{ images: 2, done: 1, bytesWritten: 1, worker: 'pod' },
    };
    await object('progress/0001.json', progress);
    const watched = run('--shards', location, '--watch', '--every', '0.05', '--json');
    const looks = (): number => s3.requests.filter((each) => /^GET .*shards.json$/.test(each)).length;
    await expect.poll(looks, { timeout: 30_000 }).toBeGreaterThan(2);
    await object('summary.json', { summedUpAt: '2026-11-21T10:05:00Z' });
    const lines = (await watched).stdout.trim().split('\n');
    const Line = z.looseObject({ type: z.string(), index: z.number().optional(), state: z.string().optional() });
    const told = lines.map((line) => Line.parse(JSON.parse(line)));
    expect(told.filter(({ type }) => type === 'shard').map(({ index, state }) => [index, state])).toEqual([
      [0, 'done'],
      [1, 'running'],
    ]);
    expect(told.filter(({ type }) => type === 'run').map(({ ended }) => ended)).toEqual([false, true]);
  });

  it('starts what failed again, without planning; not while the run goes on', async () => {
    const again = await run(execution, '--redrive');
    expect(again.status, again.stdout).toBe(0);
    expect(again.stdout).toContain(`1 shard of daily-1 is done again by daily-1-again: ${execution}-again`);
    const started = states.requests.find(({ operation }) => operation === 'StartExecution')?.input;
    expect(started).toMatchObject({
      stateMachineArn: machine,
      input: JSON.stringify({ location, bucket, key: 'runs/daily-1/failed.json' }),
    });
    // To be found in the list.
    expect(z.object({ name: z.string() }).parse(started).name).toMatch(/^daily-1-redrive-\d{8}T\d{6}Z$/);
    await object('failed.json', []);
    expect((await run(execution, '--redrive')).status).toBe(2);
    answers['DescribeExecution'] = {
      output: { executionArn: execution, name: 'daily-1', status: 'RUNNING', startDate: 1_790_000_000, input: '{}' },
    };
    answers['ListExecutions'] = { output: { executions: [{ ...listed('daily-1', 'RUNNING') }] } };
    const early = await run(execution, '--redrive');
    expect(early.status).toBe(2);
    expect(early.stdout).toContain('daily-1 is still running');
  });

  it('finds the folder in the region of the state machine, whatever its own is', async () => {
    region = 'us-east-1';
    s3.regions.clear();
    expect((await run(execution)).stdout).toContain('shard 0001: failed');
    expect([...s3.regions]).toEqual(['eu-west-1']);
  });

  it('watches a folder until its shards have results, or the run is summed up without', async () => {
    const progress = {
      ...{ run: 'daily-1', index: 1, attempt: 2, startedAt: '2026-11-21T10:02:00Z', updatedAt: '2026-11-21T10:03:00Z' },
      ...{ images: 2, done: 1, bytesWritten: 1, worker: 'pod' },
    };
    await object('progress/0001.json', progress);
    // It was summed up before, and is done again.
    await object('summary.json', { summedUpAt: '2026-11-21T10:01:30Z' });
    const watched = run('--shards', location, '--watch', '--every', '0.05');
    const looks = (): number => s3.requests.filter((each) => /^GET .*shards.json$/.test(each)).length;
    await expect.poll(looks, { timeout: 30_000 }).toBeGreaterThan(1);
    await object('summary.json', { summedUpAt: '2026-11-21T10:05:00Z' });
    const { status, stdout } = await watched;
    expect(status, stdout).toBe(0);
    expect(stdout).toContain('1 of 2 images');
    expect(stdout).toContain('1 of them open');
  });

  it('goes on watching when Step Functions or S3 are out of order for a while', async () => {
    others[execution] = described('daily-1', 'RUNNING');
    const asked = (): number => states.requests.filter(({ operation }) => operation === 'DescribeExecution').length;
    const watched = run(execution, '--watch', '--every', '0.05');
    try {
      await expect.poll(asked, { timeout: 30_000 }).toBeGreaterThan(1);
      others = {};
      answers['DescribeExecution'] = { status: 500, error: 'InternalServerError', message: 'out of order' };
      const before = asked();
      // More than the SDK's own tries.
      await expect.poll(asked, { timeout: 30_000 }).toBeGreaterThan(before + 6);
      s3.fail(/^GET .*shards.json$/, 503, 'ServiceUnavailable', 7);
    } finally {
      others[execution] = described('daily-1', 'SUCCEEDED');
      await watched;
    }
    const { status, stdout } = await watched;
    expect(status, stdout).toBe(0);
    expect(stdout).toMatch(/out of order.*: looking again/);
    expect(stdout).toMatch(/the run folder is asked again \(.*ServiceUnavailable/);
    expect(stdout).toContain('daily-1: succeeded');
    expect(stdout).toContain('shard 0001: failed');
  });

  it('says at once that Step Functions is out of order, where it has not been seen at work', async () => {
    answers['DescribeExecution'] = { status: 500, error: 'InternalServerError', message: 'out of order' };
    const { status, stdout } = await run(execution, '--watch', '--every', '0.05');
    expect(status).toBe(1);
    expect(stdout).not.toContain('looking again');
  });

  it('does not call a success what was skipped', async () => {
    others[execution] = {
      ...described('daily-1', 'SUCCEEDED'),
      output: JSON.stringify({ state: 'Skipped', running: `${execution}-before` }),
    };
    const { stdout } = await run(execution);
    expect(stdout).toContain('daily-1: skipped');
    expect(stdout).toContain(`it has done nothing: ${execution}-before was at work`);
  });

  it('starts no redrive that would be skipped, or that a later plan has made an old one', async () => {
    const later = (name: string, status: string): JsonAnswer => ({ output: { executions: [listed(name, status)] } });
    answers['ListExecutions'] = later('daily-2', 'RUNNING');
    const skipped = await run(execution, '--redrive');
    expect(skipped.status).toBe(2);
    expect(skipped.stdout).toContain('daily-2 is at work');
    answers['ListExecutions'] = later('daily-2', 'SUCCEEDED');
    // It was skipped; it has planned nothing; it was a redrive; it has planned.
    const arn = execution.replace('daily-1', 'daily-2');
    const output = JSON.stringify({ state: 'Skipped', running: execution });
    const own = JSON.stringify({ location: location.replace('daily-1', 'daily-2') });
    for (const more of [{ output }, { output: own }, { input: JSON.stringify({ location }) }]) {
      others[arn] = { ...described('daily-2', 'SUCCEEDED'), ...more };
      expect((await run(execution, '--redrive')).status).toBe(0);
    }
    await s3Put(s3.url, 'runs/daily-2/shards.json', []);
    others[arn] = { ...described('daily-2', 'SUCCEEDED'), output: own };
    const old = await run(execution, '--redrive');
    expect(old.status).toBe(2);
    expect(old.stdout).toContain('daily-2 has planned anew');
    expect(states.requests.filter(({ operation }) => operation === 'StartExecution')).toHaveLength(3);
  });

  it('starts no redrive of a run that was skipped, and says what was at work', async () => {
    const output = JSON.stringify({ state: 'Skipped', running: `${execution}-before` });
    others[execution] = { ...described('daily-1', 'SUCCEEDED'), output };
    const { status, stdout } = await run(execution, '--redrive');
    expect(status).toBe(2);
    expect(stdout).toContain('daily-1 was skipped');
    expect(stdout).toContain('runs daily-1-before');
  });

  it('finds a later plan behind hundreds of runs, and what is at work behind those that were skipped meanwhile', async () => {
    // A task's clock may be wrong: the folder's own time says nothing.
    const planning = z
      .looseObject({})
      .parse(await (await fetch(`${s3.url}/${bucket}/runs/daily-1/planning.json`)).json());
    await object('planning.json', { ...planning, plannedAt: '2030-01-01T00:00:00Z' });
    const skipped = Array.from({ length: 150 }, (_, number) => listed(`skipped-${number}`, 'SUCCEEDED'));
    const output = JSON.stringify({ state: 'Skipped', running: execution });
    for (const { name } of skipped)
      others[execution.replace('daily-1', name)] = { ...described(name, 'SUCCEEDED'), output };
    const planner = (status: string): JsonAnswer => ({
      output: {
        executions: [
          ...skipped,
          listed('daily-2', status),
          { ...listed('daily-1', 'FAILED'), startDate: 1_790_000_000 },
        ],
      },
    });
    await s3Put(s3.url, 'runs/daily-2/shards.json', []);
    others[execution.replace('daily-1', 'daily-2')] = {
      ...described('daily-2', 'SUCCEEDED'),
      output: JSON.stringify({ location: location.replace('daily-1', 'daily-2') }),
    };
    answers['ListExecutions'] = planner('SUCCEEDED');
    expect((await run(execution, '--redrive')).stdout).toContain('daily-2 has planned anew');
    answers['ListExecutions'] = planner('RUNNING');
    expect((await run(execution, '--redrive')).stdout).toContain('daily-2 is at work');
    expect(states.requests.some(({ operation }) => operation === 'StartExecution')).toBe(false);
  });

  it('lists what was skipped, what is a redrive, and what each has copied', async () => {
    const names = ['daily-4', 'daily-3', 'daily-2'];
    answers['ListExecutions'] = { output: { executions: names.map((name) => listed(name, 'SUCCEEDED')) } };
    const more = [
      { output: JSON.stringify({ state: 'Skipped', running: execution }) },
      { input: JSON.stringify({ location }), output: JSON.stringify({ copied: 2, unchanged: 5, failed: 0, location }) },
      { output: JSON.stringify({ copied: 0, unchanged: 7, failed: 0 }) },
    ];
    for (const [at, name] of names.entries())
      others[execution.replace('daily-1', name)] = { ...described(name, 'SUCCEEDED'), ...more[at] };
    const { stdout } = await run('--state-machine', machine);
    const lines = stdout.split('\n');
    const started = '2027-01-15T08:00:00Z  10 s';
    expect(lines.slice(0, 3)).toEqual([
      `daily-4  skipped    ${started}  daily-1 was at work`,
      `daily-3  succeeded  ${started}  redrive of daily-1; 2 copied, 5 unchanged, 0 failed`,
      `daily-2  succeeded  ${started}  0 copied, 7 unchanged, 0 failed`,
    ]);
  });

  it('says what is missing, and what there is not', async () => {
    expect((await run()).status).toBe(2);
    expect((await run('daily-1')).status).toBe(2);
    answers['DescribeExecution'] = { error: 'ExecutionDoesNotExist', message: 'no' };
    const none = await run('--state-machine', machine, 'daily-9');
    expect(none.status).toBe(2);
    expect(none.stdout).toContain('there is no execution');
    await writeFile(join(folder, 'file'), '');
    expect((await run('--shards', join(folder, 'nowhere'))).status).toBe(2);
  });
});

const Asked = z.object({
  executionArn: z.string().optional(),
  statusFilter: z.string().optional(),
  maxResults: z.number().optional(),
  nextToken: z.string().optional(),
});
const Listed = z.object({ executions: z.array(z.looseObject({ status: z.string() })) });

/** https://docs.aws.amazon.com/step-functions/latest/apireference/API_ListExecutions.html: 100 a page, unless told. */
function listPage(all: z.infer<typeof Listed>['executions'], asked: z.infer<typeof Asked>) {
  const { statusFilter, maxResults = 100, nextToken = '0' } = asked;
  const found = all.filter(({ status }) => statusFilter === undefined || status === statusFilter);
  const end = Number(nextToken) + maxResults;
  const next = end < found.length ? { nextToken: String(end) } : {};
  return { executions: found.slice(Number(nextToken), end), ...next };
}

/** Long after the plan of `daily-1`. */
function listed(name: string, status: string) {
  return { executionArn: execution.replace('daily-1', name), name, status, startDate: 1_800_000_000 };
}

function described(name: string, status: string) {
  return { ...listed(name, status), stateMachineArn: machine, stopDate: 1_800_000_010, input: '{}' };
}

async function s3Put(url: string, key: string, value: unknown): Promise<void> {
  const answer = await fetch(`${url}/${bucket}/${key}`, { method: 'PUT', body: JSON.stringify(value) });
  expect(answer.status).toBe(200);
}
