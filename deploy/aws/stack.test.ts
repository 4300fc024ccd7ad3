import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Aspects, type Stack } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { metricNamespace } from './state-machine.ts';
import { deployment, grantsWith, required, template, text } from './testing/deployed.ts';
import { resolver } from './testing/resolve.ts';
import { templateText } from './template.ts';

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

describe('what the stack is given', () => {
  it('is a cluster, a VPC and two subnets: it makes none, and tasks run in these', () => {
    const types = Object.values(template.Resources).map(({ Type }) => Type);
    expect(types.filter((type) => /^AWS::(ECS::(Cluster|Service)|EC2::(?!SecurityGroup$))/.test(type))).toEqual([]);
    const resolve = resolver(template, deployment({ assignPublicIp: 'DISABLED' }));
    expect(resolve(template.Resources['SecurityGroup']?.Properties)).toMatchObject({ VpcId: 'vpc-1' });
    // Nothing can connect to the tasks.
    expect(template.Resources['SecurityGroup']?.Properties).not.toHaveProperty('SecurityGroupIngress');
    const definition = z.string().parse(resolve(template.Resources['StateMachine']?.Properties['DefinitionString']));
    const places = [...definition.matchAll(/"Cluster":"([^"]+)"|"AwsvpcConfiguration":(\{[^}]+\})/g)];
    const clusters = places.flatMap(([, cluster]) => cluster ?? []);
    const networks = places.flatMap(([, , network]) => network ?? []).map((text): unknown => JSON.parse(text));
    expect([clusters.length, networks.length]).toEqual([4, 4]);
    expect(new Set(clusters)).toEqual(new Set(['arn:aws:ecs:eu-west-1:123456789012:cluster/cluster']));
    for (const network of networks)
      expect(network).toEqual({
        Subnets: [required.ecsSubnetA, required.ecsSubnetB],
        SecurityGroups: [resolve({ 'Fn::GetAtt': ['SecurityGroup', 'GroupId'] })],
        AssignPublicIp: 'DISABLED',
      });
  });

  it('may be a VPC without internet, with endpoints for all that tasks call: docs/fleet.md lists them', async () => {
    const eks = { job: 'eks', eksProject: 'demo', jobInput: 's3://b/k', helmRepoSecretName: 'a' };
    const ecr = { srcRole: 'arn:aws:iam::123456789012:role/a', destCredential: 'keys', srcImageParameter: 'list' };
    const ofTasks = ['PlanRole', 'WorkerRole', 'SummaryRole', 'FinishRole', 'ExecutionRole'];
    const called = [ecr, eks].flatMap((parameters) => {
      const grants = grantsWith({ ...parameters, workerImage: required.workerImage });
      return ofTasks.flatMap((role) => (grants[role] ?? []).flatMap(({ actions }) => actions));
    });
    const services = [...new Set(called.map((action) => action.split(':')[0] ?? ''))];
    const page = await readFile(join(import.meta.dirname, '../../docs/fleet.md'), 'utf8');
    const [, listed = ''] = /by these endpoints:([^]*?)\. The endpoints/.exec(page) ?? [];
    const documented = [...listed.matchAll(/`([a-z0-9.]+)`/g)].map(([, each]) => each);
    const wanted = services.flatMap((service) => (service === 'ecr' ? ['ecr.api', 'ecr.dkr'] : [service]));
    expect(documented.sort()).toEqual(wanted.sort());
  });
});

describe('what is kept', () => {
  it('is encrypted: tables, topic, bucket, logs', () => {
    const encrypted: Readonly<Record<string, unknown>> = {
      'AWS::DynamoDB::Table': { SSESpecification: { SSEEnabled: true } },
      'AWS::SNS::Topic': { KmsMasterKeyId: { Ref: 'Key' } },
      'AWS::Logs::LogGroup': { KmsKeyId: { 'Fn::GetAtt': ['Key', 'Arn'] } },
      'AWS::S3::Bucket': {
        BucketEncryption: {
          ServerSideEncryptionConfiguration: [{ ServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }],
        },
      },
    };
    for (const [type, properties] of Object.entries(encrypted)) {
      const found = Object.values(template.Resources).filter(({ Type }) => Type === type);
      expect(found.length, type).toBeGreaterThan(0);
      for (const each of found) expect(each.Properties, type).toMatchObject(properties as object);
    }
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
