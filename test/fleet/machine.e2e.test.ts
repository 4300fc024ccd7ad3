import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { describeWith } from '../tools.ts';
import { bucket, coordinationTable, type FleetAccount, startFleetAccount } from './account.ts';
import { definition } from './definition.ts';
import { ecsStandIn, type Refusal, type TaskRequest } from './ecs.ts';

type Report =
  { readonly output: unknown } | { readonly error: string; readonly cause?: string } | 'silent' | NonNullable<Refusal>;

const times = { heartbeat: 10, retry: 1 };

const shards = [0, 1, 2].map((index) => ({ shard: `s3://${bucket}/runs/r/shards/000${index}.json`, index }));
const planned = {
  location: `s3://${bucket}/runs/r`,
  bucket,
  key: 'runs/r/shards.json',
  shards: 3,
  images: 9,
  bytes: 1,
};
const fine = {
  copied: 9,
  unchanged: 0,
  failed: 0,
  bytes: 4096,
  seconds: 2.5,
  failedShards: 0,
  added: { copied: 9, unchanged: 0, bytes: 4096 },
};

describeWith(['moto_server'], 'the state machine, with tasks that report what the test says', () => {
  let account: FleetAccount;
  let asked: TaskRequest[] = [];
  let answer: (task: TaskRequest, nth: number) => Report;
  let runs = 0;
  /** What CloudWatch was sent. */
  let metrics = '';
  /** How often Step Functions does not know an execution yet. */
  let unknownYet = 0;

  beforeAll(async () => {
    const ecs = ecsStandIn((task) => {
      const nth = asked.filter(({ command }) => command.join() === task.command.join()).length;
      asked.push(task);
      const report = answer(task, nth);
      if (report === 'silent') return undefined;
      if ('message' in report) return report;
      setTimeout(() => void heard(() => tell(task.environment['TASK_TOKEN'] ?? '', report)), 50);
      return undefined;
    });
    account = await startFleetAccount((request) => {
      if (request.target.endsWith('.DescribeExecution') && unknownYet > 0) {
        unknownYet -= 1;
        return { status: 400, body: { __type: 'ExecutionDoesNotExist', message: 'Execution Does Not Exist' } };
      }
      if (request.service === 'monitoring') metrics += request.body;
      return ecs(request);
    });
    await account.s3.putObject({ Bucket: bucket, Key: planned.key, Body: JSON.stringify(shards) });
    await account.s3.putObject({ Bucket: bucket, Key: 'runs/r/failed.json', Body: JSON.stringify([shards[1]]) });
  });
  beforeEach(async () => {
    await endAll();
    [asked, metrics, unknownYet] = [[], '', 0];
    answer = reports({});
    await account.define(definition({ PlanCommand: '["ecr","--src-region",""]' }, times));
  });
  afterAll(() => account.close());

  async function tell(
    taskToken: string,
    report: { output: unknown } | { error: string; cause?: string },
  ): Promise<void> {
    if ('output' in report) await account.sfn.sendTaskSuccess({ taskToken, output: JSON.stringify(report.output) });
    else await account.sfn.sendTaskFailure({ taskToken, error: report.error, cause: report.cause ?? 'because' });
  }
  /** What a test has left that failed. */
  async function endAll(): Promise<void> {
    const { stateMachineArn, sfn } = account;
    if (runs === 0) return;
    const { executions = [] } = await sfn.listExecutions({ stateMachineArn, statusFilter: 'RUNNING' });
    for (const { executionArn } of executions) {
      await sfn.stopExecution({ executionArn });
      await account.end(executionArn ?? '');
    }
  }
  /** Starts an execution under a name that there was not before. */
  const start = (name: string, input: unknown = {}): Promise<string> => account.start(`${name}-${++runs}`, input);
  const run = async (input: unknown = {}) => account.end(await start('run', input));
  const kinds = () => asked.map(({ kind }) => kind);
  const recorded = () => [...new Set(metrics.match(/Images(?:Copied|Unchanged|Failed)|Bytes|Duration|Succeeded/g))];
  const workers = () => asked.filter(({ kind }) => kind === 'worker').map(({ command }) => command);

  it('plans, copies every shard, sums up', async () => {
    const ended = await run();
    expect(ended.status, ended.cause).toBe('SUCCEEDED');
    expect(JSON.parse(ended.output ?? '')).toEqual(fine);
    expect(asked[0]).toMatchObject({
      kind: 'plan',
      command: ['ecr', '--src-region', '', '--shards', `s3://${bucket}/runs/run-${runs}`],
    });
    expect(workers().sort()).toEqual(shards.map(({ shard }) => ['worker', '--shard', shard]));
    const summary = ['summary', '--shards', `s3://${bucket}/runs/run-${runs}`, '--execution', `run-${runs}`];
    expect(asked.at(-1)?.command).toEqual(summary);
    expect(recorded()).toEqual(['ImagesCopied', 'ImagesUnchanged', 'Bytes', 'Duration', 'ImagesFailed', 'Succeeded']);
  });

  it('repeats a lost task, and one that was interrupted, with a token of its own', async () => {
    answer = reports({ '0001': once('silent'), '0002': once({ error: 'Interrupted' }) });
    expect((await run()).status).toBe('SUCCEEDED');
    for (const shard of ['0001', '0002'])
      expect(workers().filter(([, , each]) => each?.includes(shard))).toHaveLength(2);
    expect(new Set(asked.map(({ environment }) => environment['TASK_TOKEN'])).size).toBe(asked.length);
    const [lost] = asked.filter(({ command }) => command[2]?.includes('0001'));
    const late = account.sfn.sendTaskHeartbeat({ taskToken: lost?.environment['TASK_TOKEN'] });
    // TaskTimedOut at AWS; moto forgets the tokens of executions that are over.
    await expect(late).rejects.toMatchObject({ name: 'InvalidToken' });
  });

  it('waits for capacity, which costs no try', async () => {
    const refusal = { error: 'ThrottlingException', message: 'Rate exceeded' };
    await account.define(definition({ Retries: '0' }, times));
    answer = reports({ plan: once(refusal) });
    expect((await run()).status).toBe('SUCCEEDED');
    expect(kinds().filter((kind) => kind === 'plan')).toHaveLength(2);
  });

  it('repeats neither images that failed nor a wrong configuration; the other shards go on, and a mail tells', async () => {
    await account.define(definition({ Retries: '1' }, times));
    answer = reports({
      '0000': () => ({ error: 'ImagesFailed' }),
      '0001': () => ({ error: 'Configuration' }),
      '0002': () => ({ error: 'Failed' }),
      summary: () => ({
        output: { ...fine, copied: 6, failed: 3, failedShards: 1, failures: ['team/poison: broken'] },
      }),
    });
    const ended = await run();
    expect(ended).toMatchObject({ status: 'FAILED', error: 'ImagesFailed' });
    expect(ended.cause).toMatch(/^Run run-\d+: 3 failed, 6 copied, 0 unchanged; shards to be run again: 1\./);
    expect(
      workers()
        .map(([, , shard]) => shard?.slice(-9, -5))
        .sort(),
    ).toEqual(['0000', '0001', '0002', '0002']);
    expect((await account.mails()).at(-1)).toContain('team/poison: broken');
  });

  it('tells when a run breaks off', async () => {
    answer = reports({ plan: () => ({ error: 'Configuration', cause: 'no such registry' }) });
    const ended = await run();
    expect(ended).toMatchObject({ status: 'FAILED', error: 'RunBroken' });
    expect(ended.cause).toContain('Configuration: no such registry');
    expect(ended.cause).toContain(`image-replication runs ${ended.executionArn}`);
    expect((await account.mails()).at(-1)).toContain('no such registry');
    expect(kinds()).toEqual(['plan']);
  });

  it('sums up a map that cannot begin', async () => {
    answer = reports({
      plan: () => ({ output: { ...planned, key: 'runs/r/nowhere.json' } }),
      summary: () => ({ output: { copied: 0, unchanged: 0, failed: 9, bytes: 0, seconds: 1, failedShards: 3 } }),
    });
    expect(await run()).toMatchObject({ status: 'FAILED', error: 'ImagesFailed' });
    expect(kinds()).toEqual(['plan', 'summary']);
  });

  it('starts no worker when there is nothing to copy', async () => {
    answer = reports({ plan: () => ({ output: { ...planned, shards: 0 } }) });
    expect((await run()).status).toBe('SUCCEEDED');
    expect(kinds()).toEqual(['plan', 'summary']);
  });

  it('copies the shards of a redrive, and plans nothing', async () => {
    const ended = await run({ location: planned.location, bucket, key: 'runs/r/failed.json' });
    expect(ended.status, ended.cause).toBe('SUCCEEDED');
    expect(asked.map(({ command }) => command)).toEqual([
      ['worker', '--shard', shards[1]?.shard],
      ['summary', '--shards', planned.location, '--execution', `run-${runs}`],
    ]);
    // Its summary says what the run itself has not counted; how long that took says nothing.
    expect(recorded()).toEqual(['ImagesCopied', 'ImagesUnchanged', 'Bytes', 'ImagesFailed', 'Succeeded']);
  });

  it('ends the job when all images are there, and only then', async () => {
    await account.define(definition({ FinishCommand: '["eks","--lock","l.json","--publish"]' }, times));
    expect((await run()).status).toBe('SUCCEEDED');
    expect(asked.at(-1)).toMatchObject({ kind: 'finish', command: ['eks', '--lock', 'l.json', '--publish'] });
    asked = [];
    answer = reports({ summary: () => ({ output: { ...fine, failed: 1 } }) });
    expect((await run()).status).toBe('FAILED');
    expect(kinds()).not.toContain('finish');
  });

  it('skips a run while another one goes on, and takes over from one that was aborted', async () => {
    answer = reports({ plan: () => 'silent' });
    const first = await start('stuck');
    await until(() => asked.length > 0);
    const second = await run();
    expect(second.status).toBe('SUCCEEDED');
    expect(JSON.parse(second.output ?? '')).toEqual({ state: 'Skipped', running: first });
    expect(asked).toHaveLength(1);
    await account.sfn.stopExecution({ executionArn: first });
    await account.end(first);
    answer = reports({});
    expect(JSON.parse((await run()).output ?? '')).toEqual(fine);
  });

  it('skips a run, too, when the one that has just begun is not known everywhere yet', async () => {
    await account.define(definition({ Retries: '99' }, times));
    answer = reports({ plan: () => 'silent' });
    const first = await start('begun');
    await until(() => asked.length > 0);
    unknownYet = 1;
    const second = await start('beside');
    await until(() => unknownYet === 0);
    const ended = await account.end(second);
    expect(ended.status, `${ended.error ?? ''} ${ended.cause ?? ''}`).toBe('SUCCEEDED');
    expect(JSON.parse(ended.output ?? '')).toEqual({ state: 'Skipped', running: first });
    expect(new Set(asked.map(({ command }) => command.join())).size).toBe(1);
    await account.sfn.stopExecution({ executionArn: first });
    await account.end(first);
  });

  it('gives the turn to one of several that find it with a run that has broken off', async () => {
    await account.define(definition({ Retries: '99' }, times));
    answer = reports({ plan: () => ({ error: 'Configuration' }) });
    expect((await run()).status).toBe('FAILED');
    asked = [];
    answer = () => 'silent';
    const again = { location: planned.location, bucket, key: 'runs/r/failed.json' };
    // The schedule's, one by hand and a redrive.
    const inputs = [{}, {}, again];
    const started = await Promise.all(inputs.map((input) => start('beside', input)));
    const ends = Promise.all(started.map((each) => account.end(each)));
    await until(() => asked.length > 0);
    const describe = (executionArn: string) => account.sfn.describeExecution({ executionArn });
    const skipped = async (): Promise<readonly unknown[]> => {
      const all = await Promise.all(started.map(describe));
      return all.flatMap(({ output }) => (output === undefined ? [] : [JSON.parse(output) as unknown]));
    };
    await expect.poll(async () => (await skipped()).length, { timeout: 60_000 }).toBe(2);
    const all = await Promise.all(started.map(describe));
    const [owner] = all.filter(({ status }) => status === 'RUNNING');
    const nothing = { state: 'Skipped', running: owner?.executionArn };
    expect(await skipped()).toEqual([nothing, nothing]);
    expect(new Set(asked.map(({ command }) => command.join())).size).toBe(1);
    await account.sfn.stopExecution({ executionArn: owner?.executionArn });
    await ends;
  });

  it('takes a turn that has nobody’s name, whoever has written it', async () => {
    await account.dynamodb.putItem({ TableName: coordinationTable, Item: { id: { S: 'run' } } });
    expect(JSON.parse((await run()).output ?? '')).toEqual(fine);
  });

  it('takes over from a run that Step Functions has forgotten, and is not stopped by itself', async () => {
    const put = (owner: string) =>
      account.dynamodb.putItem({ TableName: coordinationTable, Item: { id: { S: 'run' }, owner: { S: owner } } });
    await put(account.stateMachineArn.replace(':stateMachine:', ':execution:') + ':long-ago');
    expect(JSON.parse((await run()).output ?? '')).toEqual(fine);
    // The write came through, its answer did not.
    await put(`${account.stateMachineArn.replace(':stateMachine:', ':execution:')}:run-${runs + 1}`);
    expect(JSON.parse((await run()).output ?? '')).toEqual(fine);
  });

  function reports(special: Partial<Record<string, (nth: number) => Report | 'usual'>>) {
    return (task: TaskRequest, nth: number): Report => {
      const own = special[task.kind === 'worker' ? (task.command[2] ?? '').slice(-9, -5) : task.kind]?.(nth) ?? 'usual';
      return own === 'usual' ? { output: task.kind === 'plan' ? planned : fine } : own;
    };
  }
});

/** A report for the first attempt only. */
function once(report: Report): (nth: number) => Report | 'usual' {
  return (nth) => (nth === 0 ? report : 'usual');
}

/** Says it again while nobody waits for it yet: the task was begun, and its token is not known everywhere. */
async function heard(say: () => Promise<void>): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    try {
      await say();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 20));
}
