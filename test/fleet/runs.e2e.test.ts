import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { on, once } from 'node:events';
import { join } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { expect } from 'vitest';
import * as z from 'zod';
import { buildImage, type ImageContent } from '../../src/testing/image-builder.ts';
import { type ProgramRun, runProgram, startProgram } from '../program.ts';
import { accountId } from '../seedfarmer/account.ts';
import { story } from '../story.ts';
import { describeWith, root } from '../tools.ts';
import { bucket, region, statusTable } from './account.ts';
import type { OwnAnswer } from './front.ts';
import type { AwsRequest } from './needs.ts';
import { type FleetWorld, sourceHost, startFleetWorld } from './world.ts';

const image = (name: string): ImageContent => buildImage({ name, index: false, platforms: ['linux/amd64'] });
const names = ['team/a', 'team/b', 'team/c', 'team/d'];
const poison = 'team/poison';
/** Its manifest is taken when the test says so. */
const held = 'team/held';
const all = [...names, poison, held];

const machine = `arn:aws:states:${region}:${accountId}:stateMachine:replication`;
const arnOf = (name: string): string => `${machine.replace(':stateMachine:', ':execution:')}:${name}`;
const log = { group: '/image-replication/stack', stream: 'worker/image-replication/0123' };
const logAddress = `https://${region}.console.aws.amazon.com/cloudwatch/home?region=${region}#logsV2:log-groups/log-group/$252Fimage-replication$252Fstack/log-events/worker$252Fimage-replication$252F0123`;

/**
 * Everything that `runs` asks of Step Functions moto answers itself: ListExecutions, DescribeExecution, GetExecutionHistory,
 * StartExecution, StopExecution, and ListMapRuns and DescribeMapRun of its own Distributed Map. What it does not: a page of a
 * list is never full, map runs of child executions have no ARN of their own, and PENDING_REDRIVE and RedriveExecution are
 * unknown to it. src/cli/runs.test.ts has the API's own shapes of these.
 */
describeWith(['moto_server'], 'runs, at the command line, of a state machine that is at work', () => {
  let world: FleetWorld;
  const metrics: string[] = [];
  const gates: (() => void)[] = [];
  /** Programs that look on. */
  const looking: ChildProcess[] = [];
  let gate: Promise<void>;
  const close = (): void => {
    gate = new Promise((resolve) => gates.push(resolve));
  };
  const open = (): void => gates.forEach((resolve) => resolve());

  const part = story(
    async () => {
      metrics.length = 0;
      world = await startFleetWorld(2, own);
      for (const name of all) await world.source.putImage(name, '1', image(name));
      close();
      hold();
      world.source.fail({ class: 'manifest-get', repository: poison, times: 'always', fault: { kind: 'corrupt' } });
    },
    async () => {
      open();
      // Those that are there still after a failure.
      for (const each of looking.splice(0)) each.kill('SIGKILL');
      await world.close();
    },
  );

  function own({ service, path, body }: AwsRequest): OwnAnswer | undefined {
    if (service === 'monitoring') metrics.push(body);
    if (path !== '/task-metadata') return undefined;
    const LogOptions = { 'awslogs-group': log.group, 'awslogs-region': region, 'awslogs-stream': log.stream };
    return { status: 200, body: { LogOptions } };
  }
  function hold(): void {
    const fault = { kind: 'call', run: () => gate } as const;
    world.destination.fail({ class: 'manifest-put', repository: held, times: 'always', fault });
  }
  const env = () => ({ ...world.environment('runs'), IMAGE_REPLICATION_STATE_MACHINE: machine });
  const out = (): readonly string[] => ['--out', join(world.folder, 'out')];
  const runs = (...args: readonly string[]): Promise<ProgramRun> => runProgram(['runs', ...args, ...out()], env());
  const linesOf = ({ stdout }: ProgramRun): readonly string[] => stdout.split('\n');

  /** Until the worker of the held image has noted that the others of its shard are copied. */
  async function untilHeld(run: string): Promise<void> {
    await expect.poll(() => world.destination.requests.of(isHeld).length, { timeout: 120_000 }).toBeGreaterThan(0);
    await expect
      .poll(async () => (await runs(run)).stdout, { timeout: 120_000 })
      .toMatch(/ 1 running, 0 waiting[^]*running, (1 of 2|2 of 3) images/);
  }
  const isHeld = (entry: { class: string; repository?: string | undefined }): boolean =>
    entry.class === 'manifest-put' && entry.repository === held;

  let watchers: {
    readonly plain: Promise<ProgramRun>;
    readonly json: Promise<ProgramRun>;
    terminals: readonly Terminal[];
  };

  part('lists them, and shows one that is at work, shard by shard', async () => {
    await world.account.start('first');
    await untilHeld('first');
    const watch = ['runs', 'first', '--watch', '--every', '0.5', ...out()];
    const [plain, json] = [startProgram(watch, env()), startProgram([...watch, '--json'], env())];
    const terminals = [0, 100].flatMap((columns) => atTerminal(watch, env(), columns));
    looking.push(plain.process, json.process, ...terminals.map((terminal) => terminal.process));
    watchers = { plain: plain.ended, json: json.ended, terminals };
    // They are to see it at work, however long they take to start.
    const looked = [
      shows(plain.process.stdout, /^shard 000\d: running, /m),
      shows(json.process.stdout, /"state":"running"/),
      ...terminals.map(({ text }) => expect.poll(text, { timeout: 120_000 }).toMatch(/first: running, from 20/)),
    ];
    await world.account.end(await world.account.start('meanwhile'));
    const list = linesOf(await runs());
    expect(list[0]).toMatch(/^meanwhile {2}skipped {2}20\S+Z {2}.* s +first was at work$/);
    expect(list[1]).toMatch(/^first {6}running {2}20\S+Z$/);
    const one = linesOf(await runs('first'));
    expect(one[0]).toMatch(/^first: running, from 20/);
    // The poisoned image may be in either shard.
    expect(one.find((line) => line.startsWith('shards: '))).toMatch(
      /^shards: (1 of 2 done, 0 failed|0 of 2 done, 1 failed), 1 running, 0 waiting$/,
    );
    expect(one).toContain(`s3://${bucket}/runs/first: 6 images in 2 shards, 1 of them open`);
    expect(
      one.filter((line) => /^shard 000\d: (done, 3|failed, 2) copied, 0 unchanged, [01] failed/.test(line)),
    ).toHaveLength(1);
    const [open = ''] = one.filter((line) => line.includes(': running, 2 of 3 images'));
    expect(open).toMatch(/^shard 000\d: running, 2 of 3 images, .* written, seen 20\S+Z, log https:/);
    expect(open).toContain(logAddress);
    await Promise.all(looked);
  });

  part('shows what was skipped, and starts no redrive of it, nor of what is at work', async () => {
    const skipped = await runs('meanwhile');
    expect(linesOf(skipped)[0]).toMatch(/^meanwhile: skipped in /);
    expect(skipped.stdout).toContain(`it has done nothing: ${arnOf('first')} was at work`);
    for (const [run, why] of [
      ['meanwhile', 'meanwhile was skipped: it has planned nothing'],
      ['first', 'first is still running'],
      ['nowhere', `there is no execution ${arnOf('nowhere')}`],
    ] as const) {
      const refused = await runs(run, '--redrive');
      expect(refused.status, run).toBe(2);
      expect(refused.stdout).toContain(why);
    }
  });

  part('counts what each has done, in its lines and in the metrics', async () => {
    open();
    const ended = await world.account.end(arnOf('first'));
    expect(ended, String(ended.cause)).toMatchObject({ status: 'FAILED', error: 'ImagesFailed' });
    const shown = linesOf(await runs('first'));
    expect(shown[0]).toMatch(/^first: failed in .* s, from 20/);
    expect(shown.find((line) => /copied \(/.test(line))).toMatch(/^5 copied \(.*\), 0 unchanged, 1 failed$/);
    expect(recorded()).toEqual({ ImagesCopied: [5], ImagesUnchanged: [0], ImagesFailed: [1], Succeeded: [0] });
  });

  part('shows what failed and why, with what to do and the log', async () => {
    const shown = linesOf(await runs('first'));
    expect(shown.find((line) => line.startsWith('ImagesFailed: '))).toContain(`runs --redrive ${arnOf('first')}`);
    expect(shown.find((line) => /^shard 000\d: failed, /.test(line))).toContain(`, log ${logAddress}`);
    const [failed = ''] = shown.filter((line) => line.startsWith(`failed ${sourceHost}/${poison}:1: `));
    expect(failed).toMatch(/the manifest is sha256:\w+, expected sha256:/);
    expect(shown).toContain(
      `https://${region}.console.aws.amazon.com/states/home?region=${region}#/v2/executions/details/${arnOf('first')}`,
    );
  });

  part('has watched it to its end: in a log, as JSON and at a terminal, each line once', async () => {
    const plain = await watchers.plain;
    expect(plain.status, plain.stderr).toBe(0);
    const lines = linesOf(plain);
    expect(lines[0]).toMatch(/^first: running/);
    expect(lines.filter((line) => line.startsWith('first: failed in'))).toHaveLength(1);
    expect(lines.filter((line) => /^shard 000\d: running, /.test(line)).length).toBeGreaterThan(0);
    expect(lines.filter((line) => line.startsWith(`failed ${sourceHost}/${poison}`))).toHaveLength(1);
    // eslint-disable-next-line no-control-regex -- a log has none
    expect(lines.join('')).not.toMatch(/\u001b/);
    const json = (await watchers.json).stdout.trim().split('\n');
    const data = json.map((line) => Datum.parse(JSON.parse(line)));
    const executions = data.filter(({ type }) => type === 'execution');
    expect(executions[0]).toMatchObject({ arn: arnOf('first'), status: 'RUNNING' });
    expect(executions.filter(({ status }) => status === 'FAILED')).toHaveLength(1);
    const shards = data.filter(({ type }) => type === 'shard');
    expect(shards.some(({ state }) => state === 'running')).toBe(true);
    const failed = shards.flatMap(({ failures = [] }) => failures.map(({ artifact }) => artifact));
    expect(failed).toEqual([`${sourceHost}/${poison}:1`]);
    expect(data.filter(({ type }) => type === 'notice')).toEqual([]);
    for (const terminal of watchers.terminals) {
      await terminal.ended;
      const screen = terminal.text();
      expect(screen).toMatch(/first: running, from 20/);
      expect(screen).toMatch(/first: failed in/);
      expect(screen.match(/failed \S+\/team\/poison:1: /g)).toHaveLength(1);
    }
  });

  part('does again what failed: status, summary, metrics; the mail of the failure stays the only one', async () => {
    world.source.reset();
    metrics.length = 0;
    const done = await startProgram(['runs', 'first', '--redrive', '--watch', '--every', '0.5', ...out()], env()).ended;
    expect(done.status, done.stdout + done.stderr).toBe(0);
    const [started = '', ...lines] = linesOf(done);
    expect(started).toMatch(/^1 shard of first is done again by first-redrive-\d{8}T\d{6}Z: arn:aws:states:/);
    expect(lines.find((line) => line.includes('succeeded'))).toMatch(
      /^first-redrive-\S+: succeeded in .*, redrive of first$/,
    );
    expect(lines.filter((line) => /copied \(/.test(line)).at(-1)).toMatch(/^6 copied \(.*\), 0 unchanged, 0 failed$/);
    expect(different()).toEqual([]);
    const { Items = [] } = await world.account.dynamodb.scan({ TableName: statusTable });
    // What its worker had copied before was there for the next attempt.
    expect(Items.map(({ state }) => state?.S?.replace('unchanged', 'copied'))).toEqual(all.map(() => 'copied'));
    // Five were counted when the run ended first.
    expect(recorded()).toEqual({ ImagesCopied: [1], ImagesUnchanged: [0], ImagesFailed: [0], Succeeded: [1] });
    expect(await world.account.mails()).toHaveLength(1);
    expect(linesOf(await runs())[0]).toMatch(
      /^first-redrive-\S+ {2}succeeded .* redrive of first; 6 copied, 0 unchanged, 0 failed$/,
    );
    const again = await runs('first', '--redrive');
    expect(again.status).toBe(2);
    expect(again.stdout).toContain('no shard of first has failed');
  });

  part('leaves the turn of a run that was stopped to the next one, whose redrive does what it has not', async () => {
    for (const name of [...names, held]) await world.source.putImage(name, '1', image(`${name} moved`));
    world.destination.requests.reset();
    close();
    hold();
    await world.account.start('stopped');
    await untilHeld('stopped');
    await world.account.sfn.stopExecution({ executionArn: arnOf('stopped') });
    await world.account.end(arnOf('stopped'));
    // Its containers end with their next heartbeat (task.test.ts); these with their machine.
    const left = world.tasks.running('worker');
    for (const { process } of left) process.kill('SIGKILL');
    await Promise.all(left.map(({ ended }) => ended));
    open();
    expect((await runs('stopped')).stdout).toMatch(/^stopped: aborted in /);
    const early = await runs('stopped', '--redrive');
    expect(early.status).toBe(2);
    expect(early.stdout).toContain('stopped was not summed up');
    const location = `s3://${bucket}/runs/stopped`;
    expect(early.stdout).toContain(`image-replication summary --shards ${location}`);
    const summed = await runProgram(['summary', '--shards', location, ...out()], env());
    expect(summed.status, summed.stdout).toBe(1);
    const done = await runs('stopped', '--redrive', '--watch', '--every', '0.5');
    expect(done.stdout).toMatch(/stopped-redrive-\S+: succeeded/);
    // What the killed worker had copied counts as copied, by its note; the held image arrived without its knowing.
    const counts = linesOf(done).filter((line) => /copied \(/.test(line));
    expect(counts.at(-1)).toMatch(/^(4 copied \(.*\), 2|5 copied \(.*\), 1) unchanged, 0 failed$/);
    expect(different()).toEqual([]);
    const old = await runs('first', '--redrive');
    expect(old.stdout).toContain('no shard of first has failed');
  });

  const digest = (server: FleetWorld['source'], name: string) => server.manifest(name, '1')?.descriptor.digest;
  const different = (): readonly string[] =>
    all.filter((name) => digest(world.source, name) !== digest(world.destination, name));

  /** Values of the metrics, by name. */
  function recorded(): Readonly<Record<string, readonly number[]>> {
    const found: Record<string, number[]> = {};
    for (const body of metrics)
      for (const [key, name] of new URLSearchParams(body))
        if (key.endsWith('.MetricName') && !/Bytes|Duration/.test(name)) {
          const value = Number(new URLSearchParams(body).get(key.replace('MetricName', 'Value')));
          found[name] = [...(found[name] ?? []), value];
        }
    return found;
  }
});

const Datum = z.looseObject({
  type: z.string(),
  time: z.iso.datetime(),
  status: z.string().optional(),
  state: z.string().optional(),
  failures: z.array(z.looseObject({ artifact: z.string() })).optional(),
});

/** Until a program has written something. */
async function shows(stream: Readable | null, what: RegExp): Promise<void> {
  let seen = '';
  for await (const chunk of on(stream ?? new PassThrough(), 'data', { close: ['close'] })) {
    seen += String(chunk);
    if (what.test(seen)) return;
  }
  throw new Error(`it has ended with: ${seen}`);
}

interface Terminal {
  readonly process: ChildProcess;
  readonly ended: Promise<unknown>;
  readonly text: () => string;
}

/** Starts the program at a terminal of so many columns that script(1) of util-linux makes; nothing where there is none. */
function atTerminal(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  columns: number,
): readonly Terminal[] {
  if (spawnSync('script', ['-qec', 'true', '/dev/null']).status !== 0) return [];
  const words = [process.execPath, join(root, 'scripts/image-replication.js'), ...args].map((word) => `'${word}'`);
  const command = `stty cols ${columns} rows 40; exec ${words.join(' ')}`;
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    env: { ...env, TERM: 'xterm' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let seen = '';
  child.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString()));
  return [{ process: child, ended: once(child, 'close'), text: () => seen }];
}
