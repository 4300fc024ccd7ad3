import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { parseSize } from '../../src/cli/size.ts';
import { exceededLimits, mapRunUses } from '../../src/shards/limits.ts';
import { mostShards } from '../../src/shards/partition.ts';
import { substitutions } from './state-machine.ts';
import { deployment, grantsWith, template } from './testing/deployed.ts';
import { resolver } from './testing/resolve.ts';
import { lacking } from './testing/role-grants.ts';

it('tasks keep blobs on their disk up to a size that leaves room for the image', () => {
  const Task = z.looseObject({
    EphemeralStorage: z.object({ SizeInGiB: z.coerce.number() }),
    ContainerDefinitions: z.tuple([
      z.looseObject({ Environment: z.array(z.object({ Name: z.string(), Value: z.string() })) }),
    ]),
  });
  for (const workerDisk of ['21', '200']) {
    const resolve = resolver(template, deployment({ workerDisk }));
    for (const id of ['PlanTask', 'WorkerTask', 'SummaryTask', 'FinishTask']) {
      const { EphemeralStorage, ContainerDefinitions } = Task.parse(resolve(template.Resources[id]?.Properties));
      const [{ Environment }] = ContainerDefinitions;
      const { Value } = Environment.find(({ Name }) => Name === 'IMAGE_REPLICATION_SPOOL_BYTES') ?? {};
      const share = parseSize(Value ?? '') / (EphemeralStorage.SizeInGiB * 2 ** 30);
      expect([share > 0.9, share < 0.95], id).toEqual([true, true]);
    }
  }
});

describe("the state machine's definition", () => {
  const Definition = z.looseObject({ States: z.record(z.string(), z.looseObject({ Type: z.string() })) });
  const definition = (parameters: Readonly<Record<string, string>>, partition?: string) => {
    const written = template.Resources['StateMachine']?.Properties['DefinitionString'];
    const resolved = resolver(template, deployment(parameters, partition))(written);
    return Definition.parse(JSON.parse(z.string().parse(resolved)));
  };
  const commands = (parameters: Readonly<Record<string, string>>) =>
    z
      .looseObject({ plan: z.array(z.string()), finish: z.array(z.string()) })
      .parse(definition(parameters).States['Settings']?.['Parameters']);
  /** Options with a value: an empty one counts as not given. */
  const given = (words: readonly string[]) => {
    const pairs = words.flatMap((word, at) => (word.startsWith('--') ? [[word, words[at + 1] ?? ''] as const] : []));
    return Object.fromEntries(pairs.filter(([, value]) => value !== '' && !value.startsWith('--')));
  };

  it('has a value for everything that it leaves open', () => {
    const written = JSON.stringify(template.Resources['StateMachine']?.Properties['DefinitionString']);
    for (const name of substitutions) expect(written, name).toContain(`\${${name}}`);
    expect(JSON.stringify(definition({}))).not.toContain('${');
  });

  it('passes the parameters of the ECR job on, and the region of the stack for none', () => {
    const { plan, finish } = commands({
      srcAccountId: '210987654321',
      srcList: 'SELECTED',
      srcImageList: 'a:1, b',
      destRegion: 'cn-north-1',
      destCredential: '/keys/china',
      tries: '5',
    });
    expect(plan[0]).toBe('ecr');
    expect(given(plan)).toEqual({
      '--source-type': 'Amazon_ECR',
      '--src-region': 'eu-west-1',
      '--src-account': '210987654321',
      '--src-list': 'SELECTED',
      '--src-image-list': 'a:1, b',
      '--dest-region': 'cn-north-1',
      '--dest-credential': '/keys/china',
      '--tries': '5',
      '--status-store': 'dynamodb:replication-StatusTable',
      '--budget': 'dynamodb:replication-CoordinationTable',
      '--workers': '10',
    });
    expect(finish).toEqual([]);
  });

  it('knows the other jobs', () => {
    const jobInput = 's3://bucket/input';
    const [images, mirror, eks] = [
      { job: 'images', jobInput, destPrefix: 'mirror', platforms: 'linux/amd64', tries: '2' },
      { job: 'mirror', jobInput, destRegion: 'us-east-1', destAccountId: '210987654321' },
      { job: 'eks', jobInput, eksProject: 'demo', eksDeployment: 'dev', eksModule: 'core-replication' },
    ].map(commands);
    expect(images?.plan.slice(0, 7)).toEqual([
      ...['images', '--list', jobInput, '--target', '123456789012.dkr.ecr.eu-west-1.amazonaws.com/mirror'],
      ...['--platforms', 'linux/amd64'],
    ]);
    expect(mirror?.plan.slice(0, 6)).toEqual([
      ...['mirror', '--once', '--config', jobInput, '--target', '210987654321.dkr.ecr.us-east-1.amazonaws.com'],
    ]);
    const module = ['--project', 'demo', '--deployment', 'dev', '--module', 'core-replication'];
    expect(eks?.plan.slice(0, 9)).toEqual(['eks', '--lock', jobInput, ...module]);
    expect(eks?.finish).toEqual(['eks', '--lock', jobInput, ...module, '--tries', '3', '--publish']);
    expect([images, mirror, eks].map((each) => given(each?.plan ?? [])['--tries'])).toEqual(['2', '3', '3']);
    expect([images?.finish, mirror?.finish]).toEqual([[], []]);
  });

  it('runs the latest task definitions, so that a run that is at work outlives an update of the stack', () => {
    const { States } = definition({ job: 'eks', eksProject: 'demo' });
    const Task = z.looseObject({ Parameters: z.looseObject({ TaskDefinition: z.string() }) });
    const worker = z.looseObject({ ItemProcessor: z.looseObject({ States: z.looseObject({ Worker: z.unknown() }) }) });
    const written = {
      PlanTask: States['Plan'],
      WorkerTask: worker.parse(States['Copy']).ItemProcessor.States.Worker,
      SummaryTask: States['Summary'],
      FinishTask: States['Finish'],
    };
    const resolve = resolver(template, deployment());
    for (const [id, state] of Object.entries(written)) {
      const family = Task.parse(state).Parameters.TaskDefinition;
      expect(family, id).toBe(resolve(template.Resources[id]?.Properties['Family']));
      const resource = `arn:aws:ecs:eu-west-1:123456789012:task-definition/${family}:7`;
      const need = { role: 'StateMachineRole', action: 'ecs:RunTask', resource };
      expect(lacking([need], grantsWith({ job: 'eks', eksProject: 'demo' }))).toEqual([]);
    }
  });

  it('lets a shard wait for a place as long as the one that has it may take', () => {
    const Retry = z.array(z.looseObject({ ErrorEquals: z.array(z.string()), MaxAttempts: z.number() }));
    const Worker = z.looseObject({ TimeoutSeconds: z.number(), Retry });
    const Copy = z.looseObject({ ItemProcessor: z.looseObject({ States: z.looseObject({ Worker }) }) });
    const { TimeoutSeconds, Retry: retries } = Copy.parse(definition({}).States['Copy']).ItemProcessor.States.Worker;
    const waiting = retries.find(({ ErrorEquals }) => ErrorEquals.includes('ECS.ThrottlingException'));
    // With jitter a wait is half of MaxDelaySeconds in the mean.
    expect(waiting).toMatchObject({ MaxDelaySeconds: 600, JitterStrategy: 'FULL' });
    expect((waiting?.MaxAttempts ?? 0) * 300).toBeGreaterThanOrEqual(TimeoutSeconds);
  });

  it('hands on the longest list of images within what RunTask takes', () => {
    const named = {
      srcCredential: `/${'a'.repeat(99)}`,
      destCredential: `/${'a'.repeat(99)}`,
      destPrefix: 'p'.repeat(100),
    };
    const srcImageList = 'a'.repeat(4096);
    const pattern = new RegExp(z.string().parse(template.Parameters['srcImageList']?.['AllowedPattern']));
    expect([pattern.test(srcImageList), pattern.test(`${srcImageList}a`)]).toEqual([true, false]);
    const { plan } = commands({ ...named, srcList: 'SELECTED', srcImageList });
    const location = `s3://${'b'.repeat(63)}/runs/${'n'.repeat(80)}`;
    // https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskHeartbeat.html: the token
    const environment = [{ name: 'TASK_TOKEN', value: 't'.repeat(2048) }];
    const container = { name: 'image-replication', command: [...plan, '--shards', location], environment };
    // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html: with JSON's own characters
    expect(JSON.stringify({ containerOverrides: [container] }).length).toBeLessThan(8192);
  });

  it('keeps a run of as many shards as there may be within the payloads and histories of Step Functions', () => {
    const Retry = z.array(z.looseObject({ MaxAttempts: z.number() })).default([]);
    const attemptsOf = (state: unknown): number =>
      z
        .looseObject({ Retry })
        .parse(state)
        .Retry.reduce((sum, { MaxAttempts }) => sum + MaxAttempts, 1);
    const Copy = z.looseObject({ ItemProcessor: z.looseObject({ States: z.record(z.string(), z.unknown()) }) });
    const { States } = definition({ job: 'eks', eksProject: 'demo', tries: '5' });
    const children = Object.values(Copy.parse(States['Copy']).ItemProcessor.States).map(attemptsOf);
    expect(children).toHaveLength(1);
    const items = Array.from({ length: mostShards }, (_, index) => ({
      shard: `s3://${'b'.repeat(63)}/runs/${'n'.repeat(80)}/shards/${String(index).padStart(4, '0')}.json`,
      ...{ index, images: 100, manifests: 1_000_000, bytes: 20e12 },
    }));
    const ofChild = mapRunUses(items, { attempts: children[0] });
    const attempts = Object.values(States).map(attemptsOf);
    const ofRun = mapRunUses(items, { attempts: Math.max(...attempts), states: attempts.length });
    expect([...exceededLimits(ofChild), ...exceededLimits(ofRun)]).toEqual([]);
    // Neither what children return nor what they were given is handed on: it would be more than a payload.
    expect(States['Copy']).toMatchObject({ ResultPath: null });
    expect(Object.values(Copy.parse(States['Copy']).ItemProcessor.States)).toMatchObject([{ OutputPath: null }]);
    expect(States['Plan']).toHaveProperty('ResultSelector');
  });

  it('passes as many states as docs/fleet.md says that a run costs', async () => {
    const Next = z.looseObject({ Next: z.string().optional(), Default: z.string().optional() });
    const { StartAt, States } = definition({});
    // The turn is with an earlier run that has ended, and all goes well.
    const passed: string[] = [];
    let at: string | undefined = z.string().parse(StartAt);
    while (at !== undefined) {
      passed.push(at);
      const { Next: next, Default } = Next.parse(States[at]);
      at = at === 'Take turn' ? 'Whose turn' : (Default ?? next);
    }
    expect(passed).toEqual(expect.arrayContaining(['Take over', 'Plan', 'Copy', 'Summary', 'Succeeded']));
    const page = await readFile(join(import.meta.dirname, '../../docs/fleet.md'), 'utf8');
    // And its start: https://aws.amazon.com/step-functions/pricing/
    expect(page).toContain(`(${passed.length + 1} + 4 n) × 0.025 / 1000 `);
  });

  it('counts repetitions, not tries, and names services in its own partition', () => {
    const plan = definition({ tries: '3' }).States['Plan'];
    expect(
      z
        .array(z.looseObject({ MaxAttempts: z.number() }))
        .parse(plan?.['Retry'])
        .at(-1)?.MaxAttempts,
    ).toBe(2);
    expect(definition({}, 'aws-cn').States['Plan']?.['Resource']).toMatch(/^arn:aws-cn:states:::/);
  });
});
