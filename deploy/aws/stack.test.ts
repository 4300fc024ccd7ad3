import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Aspects, type Stack } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { metricNamespace, substitutions } from './state-machine.ts';
import { type RoleGrants, lacking, roleGrants, unused } from './testing/role-grants.ts';
import { type Deployment, refusals, resolver, Template } from './testing/resolve.ts';
import { templateFile, templateText } from './template.ts';

const text = await readFile(templateFile, 'utf8');
const template = Template.parse(JSON.parse(text));

/** The parameters that have no default. */
const required = {
  ecsClusterName: 'cluster',
  ecsVpcId: 'vpc-1',
  ecsSubnetA: 'subnet-a',
  ecsSubnetB: 'subnet-b',
  workerImage: '111111111111.dkr.ecr.eu-west-1.amazonaws.com/tools/image-replication:1.0',
};

function deployment(parameters: Readonly<Record<string, string>> = {}, partition = 'aws'): Deployment {
  const region = partition === 'aws-cn' ? 'cn-north-1' : 'eu-west-1';
  return { partition, region, account: '123456789012', parameters: { ...required, ...parameters } };
}

/** Resources that a resource cannot do without: they are made before it, and deleted after it. */
function dependencies(id: string, found: Set<string> = new Set()): ReadonlySet<string> {
  const written = JSON.stringify(template.Resources[id]);
  const DependsOn = z.object({ DependsOn: z.array(z.string()).default([]) }).parse(template.Resources[id]).DependsOn;
  const named = /"Ref":"(\w+)"|"Fn::GetAtt":\["(\w+)"|\$\{(\w+)[.}]/g;
  const direct = [...written.matchAll(named)].map(([, ref, attribute, sub]) => ref ?? attribute ?? sub ?? '');
  for (const each of [...direct, ...DependsOn])
    if (each in template.Resources && !found.has(each)) dependencies(each, found.add(each));
  return found;
}

const grantsWith = (parameters: Readonly<Record<string, string>> = {}, partition?: string): RoleGrants =>
  roleGrants(template, deployment(parameters, partition));

describe('the template', () => {
  let stack: Stack;
  let synthesized: string;
  beforeAll(async () => {
    synthesized = await templateText((made) => {
      stack = made;
      Aspects.of(made).add(new AwsSolutionsChecks());
    });
  });

  it('is what the stack synthesizes: npm run synth', () => {
    expect(synthesized).toBe(text);
  });

  it('follows the rules of cdk-nag, or says why not', () => {
    const told = stack.node.findAll().flatMap(({ node }) => node.metadata);
    expect(told.filter(({ type }) => /^aws:cdk:(error|warning)$/.test(type)).map(({ data }): unknown => data)).toEqual(
      [],
    );
  });

  it('is all there is to deploy: no assets, no bootstrap, nothing of the CDK', () => {
    expect(Object.keys(template.Rules)).not.toContain('CheckBootstrapVersion');
    expect(text).not.toMatch(/CDKMetadata|BootstrapVersion|cdk-hnb659fds|aws:cdk:path/);
    // Templates are launched from S3 by URL, which takes up to 1 MiB.
    expect(text.length).toBeLessThan(1024 * 1024);
  });
});

describe('parameters', () => {
  it("have the names and defaults of the ECR plugin's document", () => {
    // Its table "Available Parameters"; `undefined`: requires input.
    const documented = {
      sourceType: 'Amazon_ECR',
      srcRegion: '',
      srcAccountId: '',
      srcList: 'ALL',
      srcImageList: '',
      srcCredential: '',
      destRegion: '',
      destAccountId: '',
      destPrefix: '',
      destCredential: '',
      ecsClusterName: undefined,
      ecsVpcId: undefined,
      ecsSubnetA: undefined,
      ecsSubnetB: undefined,
      alarmEmail: '',
    };
    for (const [name, value] of Object.entries(documented)) {
      expect(template.Parameters, name).toHaveProperty(name);
      expect(template.Parameters[name]?.Default, name).toBe(value);
    }
    const asked = Object.entries(template.Parameters).filter(([, each]) => each.Default === undefined);
    expect(asked.map(([name]) => name)).toEqual([
      'ecsClusterName',
      'ecsVpcId',
      'ecsSubnetA',
      'ecsSubnetB',
      'workerImage',
    ]);
  });

  it('are all declared, described, and in a group of the console', () => {
    const Interface = z.object({
      Metadata: z.object({
        'AWS::CloudFormation::Interface': z.object({
          ParameterGroups: z.array(z.object({ Parameters: z.array(z.string()) })),
          ParameterLabels: z.record(z.string(), z.object({ default: z.string().min(1) })),
        }),
      }),
    });
    const shown = Interface.parse(template).Metadata['AWS::CloudFormation::Interface'];
    const names = Object.keys(template.Parameters);
    expect(shown.ParameterGroups.flatMap((group) => group.Parameters)).toEqual(names);
    expect(Object.keys(shown.ParameterLabels)).toEqual(names);
  });

  it.each([
    [
      'schedule',
      ['rate(1 day)', 'rate(12 hours)', 'cron(0 3 ? * MON-FRI *)', 'at(2030-01-01T03:00:00)', 'once'],
      ['daily', 'rate(0 days)'],
    ],
    ['srcImageList', ['', 'ubuntu:latest,quay.io/a/b@sha256:00, c:ALL_TAGS'], ['a"b', 'a\\b', 'a\nb', '${x}']],
    ['srcRegion', ['', 'eu-west-1', 'us-gov-west-1'], ['Europe', 'eu-west-1 ']],
    ['srcAccountId', ['', '123456789012'], ['1234']],
    ['jobInput', ['', 's3://bucket/a/list.txt'], ['list.txt', 's3://bucket', 's3://bucket/a b']],
    ['alarmEmail', ['', 'a.b+c@example.com'], ['me']],
    ['srcRole', ['', 'arn:aws-cn:iam::123456789012:role/a/b'], ['b', 'arn:aws:iam::123456789012:user/b']],
    ['srcCredential', ['', 'drh-credentials', '/a/b'], ['a b', 'a"']],
    ['workerImage', [required.workerImage, 'ghcr.io/a/b@sha256:00'], ['', 'a b', '"']],
  ])('%s takes what is right only', (name, right, wrong) => {
    const pattern = new RegExp(z.string().parse(template.Parameters[name]?.['AllowedPattern']));
    for (const each of right) expect(pattern.test(each), each).toBe(true);
    for (const each of wrong) expect(pattern.test(each), each).toBe(false);
  });

  describe('that do not go together', () => {
    const vpc = 'AWS::EC2::Subnet::Id VpcId';
    const said = (parameters: Readonly<Record<string, string>>, attributes = { [vpc]: ['vpc-1', 'vpc-1'] }) =>
      refusals(template, { ...deployment(parameters), attributes });
    const elsewhere = { srcRegion: 'us-east-1' };
    const selected = { ...elsewhere, srcList: 'SELECTED' };
    const roleArn = 'arn:aws:iam::123456789012:role/a';

    it.each([
      [{}, 'one registry'],
      [{ srcRegion: 'eu-west-1', destRegion: 'eu-west-1' }, 'one registry'],
      [{ srcList: 'SELECTED', srcImageList: 'a:1' }, 'one registry'],
      [selected, 'needs srcImageList or srcImageParameter'],
      [{ ...selected, srcImageList: 'a:1', srcImageParameter: '/a' }, 'both given'],
      [{ sourceType: 'Public' }, 'need srcList SELECTED'],
      [{ sourceType: 'Private', srcCredential: '/a' }, 'need srcList SELECTED'],
      [{ ...elsewhere, srcCredential: '/a', srcRole: roleArn }, 'srcCredential and srcRole'],
      [{ ...elsewhere, destCredential: '/a', destRole: roleArn }, 'destCredential and destRole'],
      [{ job: 'images' }, 'need jobInput'],
      [{ job: 'eks', jobInput: 's3://bucket/lock' }, 'needs eksProject'],
      [{ job: 'eks', jobInput: 's3://bucket/lock', eksProject: 'a', eksDeployment: 'b' }, 'eksModule'],
      [{ ...elsewhere, workerCpu: '256', workerMemory: '4096' }, '512, 1024 or 2048'],
      [{ ...elsewhere, workerMemory: '16384' }, '2048 to 8192'],
      [{ ...elsewhere, workerCpu: '8192', workerMemory: '17408' }, 'in steps of 4096'],
    ])('are refused: %j', (parameters, message) => {
      expect(said(parameters)).toEqual([expect.stringContaining(message)]);
    });

    it('are refused when a subnet is of another VPC', () => {
      expect(said(elsewhere, { [vpc]: ['vpc-1', 'vpc-2'] })).toEqual([expect.stringContaining('ecsVpcId')]);
    });

    it.each([
      elsewhere,
      { destRegion: 'cn-north-1', destCredential: '/a' },
      { srcAccountId: '210987654321' },
      { destAccountId: '210987654321', destRole: roleArn },
      // The account of the credentials, whichever it is.
      { srcCredential: '/another/account' },
      { srcList: 'SELECTED', srcImageParameter: '/a', destPrefix: 'copies' },
      { ...selected, srcImageList: 'a:1' },
      { sourceType: 'Public', srcList: 'SELECTED', srcImageList: 'nginx:1' },
      { sourceType: 'Private', srcList: 'SELECTED', srcImageList: 'quay.io/a/b:1', srcCredential: '/a' },
      { job: 'images', jobInput: 's3://bucket/list.txt' },
      { job: 'mirror', jobInput: 's3://bucket/config.ini' },
      { job: 'eks', jobInput: 's3://bucket/lock', eksProject: 'a', eksDeployment: 'b', eksModule: 'c' },
      { ...elsewhere, workerCpu: '256' },
      { ...elsewhere, workerCpu: '16384', workerMemory: '122880' },
      { ...elsewhere, workerCpu: '4096', workerMemory: '30720' },
    ])('are no others: %j', (parameters) => {
      expect(said(parameters)).toEqual([]);
    });
  });

  it('cannot break the JSON of the state machine', () => {
    const texts = Object.entries(template.Parameters).filter(([, each]) => each['Type'] === 'String');
    for (const [name, each] of texts) {
      if (each['AllowedValues'] !== undefined) continue;
      const pattern = new RegExp(z.string().parse(each['AllowedPattern'], { reportInput: true }));
      for (const bad of ['"', '\\', '\n', 'a"@b', 'a\\@b', 'a\n@b'])
        expect(pattern.test(bad), `${name} ${JSON.stringify(bad)}`).toBe(false);
    }
  });
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
      { job: 'images', jobInput, destPrefix: 'mirror', platforms: 'linux/amd64' },
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
    expect(eks?.finish).toEqual(['eks', '--lock', jobInput, ...module, '--publish']);
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

describe('what roles may do', () => {
  const actions = (role: string, parameters: Readonly<Record<string, string>> = {}) =>
    (grantsWith(parameters)[role] ?? []).flatMap((each) => each.actions);
  const ecr = (action: string, repository: string, place = 'eu-west-1:123456789012') => ({
    action: `ecr:${action}`,
    resource: `arn:aws:ecr:${place}:repository/${repository}`,
  });

  it('has no wildcard in an action, and in a resource only where that is explained', () => {
    for (const parameters of [
      {},
      { job: 'eks', eksProject: 'demo', jobInput: 's3://bucket/lock', helmRepoSecretName: 's' },
    ]) {
      const statements = Object.values(grantsWith(parameters)).flat();
      expect(statements.flatMap((each) => each.actions).filter((action) => action.includes('*'))).toEqual([]);
      for (const { resource, sid, resources } of statements.filter((each) => /[*?]/.test(each.resources.join()))) {
        // Arn of a log group, as GetAtt gives it: its streams.
        if (resources.every((each) => /^arn:aws:logs:.*:\*$/.test(each))) continue;
        const metadata = JSON.stringify(template.Resources[resource]?.['Metadata']);
        expect(metadata, `${resource} ${sid}`).toContain(`${sid}: `);
      }
    }
  });

  it('names every resource in its own partition', () => {
    for (const partition of ['aws', 'aws-cn', 'aws-us-gov'])
      for (const each of Object.values(grantsWith({}, partition)).flat())
        for (const resource of each.resources) expect(resource).toMatch(new RegExp(`^(\\*|arn:${partition}:.*)$`));
  });

  it('gives the workers the prefix at the destination, and reading at the source', () => {
    const grants = grantsWith({ srcRegion: 'us-east-1', destPrefix: 'mirror' });
    const WorkerRole = { role: 'WorkerRole' };
    const right = [ecr('PutImage', 'mirror/app'), ecr('BatchGetImage', 'app', 'us-east-1:123456789012')];
    expect(
      lacking(
        right.map((need) => ({ ...WorkerRole, ...need })),
        grants,
      ),
    ).toEqual([]);
    const wrong = [
      ecr('PutImage', 'app'),
      ecr('PutImage', 'mirror/app', 'us-east-1:123456789012'),
      ecr('DeleteRepository', 'mirror/app'),
    ];
    expect(
      lacking(
        wrong.map((need) => ({ ...WorkerRole, ...need })),
        grants,
      ),
    ).toHaveLength(3);
    expect(actions('PlanRole').filter((action) => /Put(?!Object)|Upload|Create|Delete/.test(action))).toEqual([]);
  });

  it('gives no rights at registries that other credentials open, and these credentials alone', () => {
    const role = 'arn:aws:iam::210987654321:role/reader';
    const parameters = {
      srcAccountId: '210987654321',
      srcRole: role,
      destAccountId: '310987654321',
      destCredential: '/keys/dest',
    };
    for (const id of ['PlanRole', 'WorkerRole']) {
      expect(actions(id, parameters).filter((action) => action.startsWith('ecr:'))).toEqual([
        'ecr:GetAccountSetting',
        'ecr:GetAuthorizationToken',
      ]);
      const statements = grantsWith(parameters)[id] ?? [];
      const of = (action: string) =>
        statements.filter((each) => each.actions.includes(action)).flatMap((each) => each.resources);
      expect(of('sts:AssumeRole')).toEqual([role]);
      expect(of('ssm:GetParameter')).toEqual(['arn:aws:ssm:eu-west-1:123456789012:parameter/keys/dest']);
    }
    expect(actions('SummaryRole', parameters).filter((action) => /^(ssm|sts|ecr):/.test(action))).toEqual([]);
  });

  it('reads drh-credentials for another account only, and its key only where one is named', () => {
    const read = (parameters: Readonly<Record<string, string>>) =>
      (grantsWith(parameters)['WorkerRole'] ?? []).filter(({ actions: [first] }) => /^(ssm|kms):/.test(first ?? ''));
    expect(read({})).toEqual([]);
    const other = read({ srcAccountId: '210987654321' });
    expect(other.flatMap((each) => each.resources)).toEqual([
      'arn:aws:ssm:eu-west-1:123456789012:parameter/drh-credentials',
    ]);
    const key = 'arn:aws:kms:eu-west-1:123456789012:key/0f1e';
    expect(read({ credentialKey: key })).toEqual([]);
    expect(read({ srcAccountId: '210987654321', credentialKey: key }).map((each) => each.actions)).toContainEqual([
      'kms:Decrypt',
    ]);
  });

  it.each([
    [
      '111111111111.dkr.ecr.eu-west-1.amazonaws.com/tools/image-replication:1.0',
      'aws',
      'eu-west-1:111111111111:repository/tools/image-replication',
    ],
    ['111111111111.dkr.ecr.cn-north-1.amazonaws.com.cn/a@sha256:00', 'aws-cn', 'cn-north-1:111111111111:repository/a'],
    ['111111111111.dkr.ecr.us-gov-west-1.amazonaws.com/a', 'aws-us-gov', 'us-gov-west-1:111111111111:repository/a'],
    [
      '111111111111.dkr.ecr-fips.us-gov-west-1.amazonaws.com/a/b:1',
      'aws-us-gov',
      'us-gov-west-1:111111111111:repository/a/b',
    ],
    ['111111111111.dkr-ecr.eu-west-1.on.aws/a/b:1', 'aws', 'eu-west-1:111111111111:repository/a/b'],
    ['111111111111.dkr-ecr-fips.us-east-1.on.aws/a', 'aws', 'us-east-1:111111111111:repository/a'],
    [
      '111111111111.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn/a@sha256:00',
      'aws-cn',
      'cn-north-1:111111111111:repository/a',
    ],
    ['public.ecr.aws/team/image-replication:1.0', 'aws', undefined],
    ['ghcr.io/team/image-replication:1.0', 'aws', undefined],
  ])('fetches %s by the name of its repository', (workerImage, partition, repository) => {
    const statements = grantsWith({ workerImage }, partition)['ExecutionRole'] ?? [];
    const image = statements.filter((each) => each.sid === 'Image').flatMap((each) => each.resources);
    expect(image).toEqual(repository === undefined ? [] : [`arn:${partition}:ecr:${repository}`]);
  });

  it('lets the removal end runs and empty their bucket, and nothing else', () => {
    const bucket = 'arn:aws:s3:::replication-runsbucket';
    const states = 'arn:aws:states:eu-west-1:123456789012';
    const needs = [
      { action: 'states:ListExecutions', resource: `${states}:stateMachine:replication-StateMachine` },
      { action: 'states:StopExecution', resource: `${states}:execution:replication-StateMachine:a-b` },
      { action: 's3:ListBucketVersions', resource: bucket },
      { action: 's3:DeleteObject', resource: `${bucket}/runs/a/plan.json` },
      { action: 's3:DeleteObjectVersion', resource: `${bucket}/runs/a/plan.json` },
    ].map((need) => ({ role: 'RemovalRole', ...need }));
    const grants = grantsWith();
    expect(lacking(needs, grants)).toEqual([]);
    // What Lambda itself does with the role.
    expect(unused(needs, grants, ['RemovalRole'])).toEqual([
      'RemovalRole: Logs logs:CreateLogStream',
      'RemovalRole: Logs logs:PutLogEvents',
    ]);
    const other = `${states}:execution:replication-StateMachine2:a-b`;
    expect(lacking([{ role: 'RemovalRole', action: 'states:StopExecution', resource: other }], grants)).toHaveLength(1);
  });

  it('stays within the size that IAM takes of the policies of a role', () => {
    // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: inline policies of a role, without white space
    const long = { ecsClusterName: 'c'.repeat(255), destPrefix: 'p'.repeat(200), srcRegion: 'ap-southeast-3' };
    const keys = { srcCredential: `/${'a'.repeat(1010)}`, destCredential: `/${'b'.repeat(1010)}` };
    const eks = { job: 'eks', eksProject: 'p'.repeat(31), jobInput: `s3://b/${'k'.repeat(1000)}` };
    for (const parameters of [keys, { ...eks, helmRepoSecretName: 's'.repeat(512) }]) {
      const place = { ...deployment({ ...long, ...parameters }, 'aws-us-gov'), stackName: 's'.repeat(128) };
      for (const [id, statements] of Object.entries(roleGrants(template, place)))
        expect(JSON.stringify(statements).length, id).toBeLessThan(10_240);
    }
  });

  it('leaves the rest of the EKS job to a role that is there for this job only', () => {
    expect(Object.keys(grantsWith())).not.toContain('FinishRole');
    const eks = { job: 'eks', eksProject: 'demo', jobInput: 's3://locks/demo.json', helmRepoSecretName: 'team/helm' };
    const grants = grantsWith(eks);
    const needs = [
      ecr('PutImage', 'demo-charts/x'),
      { action: 's3:GetObject', resource: 'arn:aws:s3:::locks/demo.json' },
      { action: 's3:PutObject', resource: 'arn:aws:s3:::demo-dkr-img-rep-md-eu-west-1-123456789012/x.json' },
      {
        action: 'secretsmanager:GetSecretValue',
        resource: 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:team/helm-AbCdEf',
      },
    ].map((need) => ({ role: 'FinishRole', ...need }));
    expect(lacking(needs, grants)).toEqual([]);
    expect(lacking([{ role: 'FinishRole', ...ecr('PutImage', 'demo2-x') }], grants)).toHaveLength(1);
    expect(unused(needs, grants, ['FinishRole'])).toContain('FinishRole: ResultBucket s3:CreateBucket');
  });
});

describe('what moto does not make', () => {
  const resolved = (id: string, parameters: Readonly<Record<string, string>> = {}) => {
    const resource = template.Resources[id];
    const resolve = resolver(template, deployment(parameters));
    if (resource?.Condition !== undefined && resolve({ Condition: resource.Condition }) !== true) return undefined;
    return resolve(resource?.Properties);
  };
  const machine = 'arn:aws:states:eu-west-1:123456789012:stateMachine:replication-StateMachine';

  it('starts the machine on its schedule, unless it runs once', () => {
    expect(resolved('Schedule')).toMatchObject({
      ScheduleExpression: 'rate(1 day)',
      ScheduleExpressionTimezone: 'UTC',
      Target: { Arn: machine, Input: '{}', RoleArn: 'arn:aws:iam::123456789012:role/replication-ScheduleRole' },
    });
    for (const id of ['Schedule', 'NoSuccessAlarm']) expect(resolved(id, { schedule: 'once' })).toBeUndefined();
    // There is no next run to wait for.
    const once = { schedule: 'at(2030-01-01T03:00:00)' };
    expect([resolved('Schedule', once), resolved('NoSuccessAlarm', once)]).toEqual([expect.anything(), undefined]);
    for (const schedule of ['rate(1 day)', 'cron(0 3 * * ? *)'])
      expect(resolved('NoSuccessAlarm', { schedule })).toBeDefined();
    expect(grantsWith()['ScheduleRole']?.flatMap(({ actions, resources }) => [...actions, ...resources])).toEqual([
      'states:StartExecution',
      machine,
    ]);
    expect([...dependencies('Schedule')]).toEqual(
      expect.arrayContaining(['StateMachinePolicy', 'PlanPolicy', 'WorkerPolicy', 'SchedulePolicy']),
    );
  });

  it('starts it right after every deployment of this stack', () => {
    expect(resolved('AfterDeployment')).toMatchObject({
      EventPattern: {
        source: ['aws.cloudformation'],
        'detail-type': ['CloudFormation Stack Status Change'],
        detail: {
          'stack-id': ['arn:aws:cloudformation:eu-west-1:123456789012:stack/replication/0'],
          'status-details': { status: ['CREATE_COMPLETE', 'UPDATE_COMPLETE'] },
        },
      },
      Targets: [{ Arn: machine, Input: '{}' }],
    });
  });

  it('raises an alarm when no hour of two intervals had a success', () => {
    const topic = 'arn:aws:sns:eu-west-1:123456789012:replication-AlarmTopic';
    expect(resolved('NoSuccessAlarm', { alarmAfterHours: '24' })).toMatchObject({
      Namespace: metricNamespace,
      MetricName: 'Succeeded',
      Dimensions: [{ Name: 'StateMachine', Value: 'replication-StateMachine' }],
      Period: 3600,
      EvaluationPeriods: '24',
      ComparisonOperator: 'LessThanThreshold',
      Threshold: 1,
      TreatMissingData: 'breaching',
      AlarmActions: [topic],
    });
    expect(resolved('AlarmSubscription')).toBeUndefined();
    const mail = { TopicArn: topic, Protocol: 'email', Endpoint: 'a@example.com' };
    expect(resolved('AlarmSubscription', { alarmEmail: 'a@example.com' })).toEqual(mail);
  });

  it('takes requests by TLS only, of the bucket and of the topic', () => {
    for (const id of ['RunsBucketPolicy', 'AlarmTopicPolicy'])
      expect(resolved(id), id).toMatchObject({
        PolicyDocument: {
          Statement: expect.arrayContaining([
            expect.objectContaining({
              Effect: 'Deny',
              Principal: '*',
              Condition: { Bool: { 'aws:SecureTransport': 'false' } },
            }),
          ]) as unknown,
        },
      });
  });

  it.each([
    ['aws', 'logs.eu-west-1.amazonaws.com'],
    ['aws-cn', 'logs.cn-north-1.amazonaws.com.cn'],
    ['aws-us-gov', 'logs.eu-west-1.amazonaws.com'],
  ])('lets only logs and alarms of its own use the key, in %s', (partition, logs) => {
    const resolve = resolver(template, deployment({}, partition));
    const Key = z.object({
      KeyPolicy: z.object({ Statement: z.array(z.looseObject({ Principal: z.record(z.string(), z.string()) })) }),
    });
    const { Statement } = Key.parse(resolve(template.Resources['Key']?.Properties)).KeyPolicy;
    const services = Statement.filter(({ Principal }) => 'Service' in Principal);
    const groups = Object.values(template.Resources).filter(({ Type }) => Type === 'AWS::Logs::LogGroup');
    const place = `arn:${partition}:logs:${deployment({}, partition).region}:123456789012:log-group:`;
    const names = groups.map(({ Properties }) => `${place}${String(resolve(Properties['LogGroupName']))}`);
    expect(services).toMatchObject([
      {
        Principal: { Service: logs },
        Condition: { ArnEquals: { 'kms:EncryptionContext:aws:logs:arn': expect.arrayContaining(names) as unknown } },
      },
      {
        Principal: { Service: 'cloudwatch.amazonaws.com' },
        Condition: { StringEquals: { 'aws:SourceAccount': '123456789012' } },
      },
    ]);
    expect(groups).toHaveLength(2);
    for (const { Properties } of groups) expect(Properties['KmsKeyId']).toEqual({ 'Fn::GetAtt': ['Key', 'Arn'] });
  });

  it('has roles that services assume for its own account only', () => {
    const roles = Object.keys(template.Resources).filter((id) => template.Resources[id]?.Type === 'AWS::IAM::Role');
    expect(roles.length).toBeGreaterThan(7);
    for (const id of roles.filter((each) => each !== 'RemovalRole')) {
      const { AssumeRolePolicyDocument } = z
        .looseObject({ AssumeRolePolicyDocument: z.unknown() })
        .parse(resolved(id, { job: 'eks' }));
      expect(AssumeRolePolicyDocument, id).toMatchObject({
        Statement: [{ Condition: { StringEquals: { 'aws:SourceAccount': '123456789012' } } }],
      });
    }
  });

  it('is removed by the code that is tested', async () => {
    const code = await readFile(join(import.meta.dirname, 'removal.cjs'), 'utf8');
    expect(template.Resources['RemovalFunction']?.Properties['Code']).toEqual({ ZipFile: code });
    expect(code.length).toBeLessThan(4096);
  });
});

describe('deletion', () => {
  it('leaves nothing behind', () => {
    for (const [id, each] of Object.entries(template.Resources)) {
      expect(each['DeletionPolicy'] ?? 'Delete', id).toBe('Delete');
      expect(each['UpdateReplacePolicy'] ?? 'Delete', id).toBe('Delete');
    }
  });

  it('ends runs when nothing starts them any more, and while all is there that they use', () => {
    const starting = Object.entries(template.Resources).filter(([, { Type }]) =>
      ['AWS::Events::Rule', 'AWS::Scheduler::Schedule'].includes(Type),
    );
    expect(starting).toHaveLength(2);
    for (const [id] of starting) expect([...dependencies(id)], id).toContain('Removal');
    // What would not be deleted while a run goes on, and what tasks need to learn that theirs is over.
    expect([...dependencies('Removal')]).toEqual(
      expect.arrayContaining([
        ...['StateMachine', 'SecurityGroup', 'RunsBucket', 'StatusTable', 'CoordinationTable', 'Logs'],
        ...['PlanTask', 'WorkerTask', 'SummaryTask', 'TaskTokenPolicy', 'WorkerPolicy', 'RemovalPolicy'],
      ]),
    );
    expect(template.Resources['Removal']?.Properties).toMatchObject({
      Bucket: { Ref: 'RunsBucket' },
      StateMachine: { Ref: 'StateMachine' },
    });
    // A function ends within 15 minutes.
    expect(Number(template.Resources['Removal']?.Properties['TasksEndSeconds'])).toBeLessThan(600);
  });
});
