import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer, json } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { CloudFormation } from '@aws-sdk/client-cloudformation';
import { DynamoDB } from '@aws-sdk/client-dynamodb';
import { S3 } from '@aws-sdk/client-s3';
import { SFN } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import * as z from 'zod';
import { passOn } from '../../test/pass-on.ts';
import { type Account, startAccount } from '../../test/seedfarmer/account.ts';
import { describeWith, requireTool } from '../../test/tools.ts';
import { handler } from './removal.cjs';
import { templateFile } from './template.ts';
import { roleGrants } from './testing/role-grants.ts';
import { Template } from './testing/resolve.ts';

const template = Template.parse(JSON.parse(await readFile(templateFile, 'utf8')));
const parameters = {
  destRegion: 'us-east-1',
  ecsClusterName: 'cluster',
  ecsVpcId: 'vpc-1',
  ecsSubnetA: 'subnet-a',
  ecsSubnetB: 'subnet-b',
  workerImage: 'ghcr.io/team/image-replication:1.0',
};

describeWith(['cfn-lint', 'python'], 'cfn-lint', () => {
  it('finds nothing to complain about, in any partition', () => {
    const regions = ['us-east-1', 'eu-central-1', 'us-gov-west-1', 'us-gov-east-1', 'cn-north-1', 'cn-northwest-1'];
    execFileSync(requireTool('cfn-lint'), ['--regions', ...regions, '--', templateFile], { stdio: 'pipe' });
  });

  it("knows no resource for what is allowed on all without a condition: AWS's service authorization reference", () => {
    const print = `import cfnlint, pathlib; print((pathlib.Path(cfnlint.__file__).parent / 'data/AdditionalSpecs/Policies.json').read_text())`;
    const printed = execFileSync(requireTool('python'), ['-c', print], { encoding: 'utf8', maxBuffer: 64 * 2 ** 20 });
    const Reference = z.record(
      z.string(),
      z.object({ Actions: z.record(z.string(), z.object({ Resources: z.array(z.string()).optional() })) }),
    );
    const reference = Reference.parse(JSON.parse(printed));
    const deployment = { partition: 'aws', region: 'eu-west-1', account: '123456789012' };
    for (const job of ['ecr', 'eks']) {
      const grants = roleGrants(template, { ...deployment, parameters: { ...parameters, job, jobInput: 's3://b/k' } });
      for (const { sid, actions, resources, condition } of Object.values(grants).flat())
        for (const action of actions) {
          const [service = '', name = ''] = action.toLowerCase().split(':');
          const known = reference[service]?.Actions[name];
          expect(known, `${action} exists`).toBeDefined();
          // PutMetricData's optional resource is no namespace; a condition names that.
          if (resources.includes('*') && condition === undefined)
            expect(known?.Resources ?? [], `${sid} ${action}`).toEqual([]);
        }
    }
  });
});

/** Resource types that moto 5.2 knows nothing of: stack.test.ts looks at these. Custom resources it runs in docker. */
const unknownToMoto = [
  'AWS::CloudWatch::Alarm',
  'AWS::S3::BucketPolicy',
  'AWS::SNS::Subscription',
  'AWS::SNS::TopicPolicy',
  'AWS::Scheduler::Schedule',
  'Custom::Removal',
];

describeWith(['moto_server'], 'the stack, in moto', () => {
  let account: Account;
  let cloudFormation: CloudFormation;
  let s3: S3;
  beforeAll(async () => {
    account = await startAccount('eu-west-1');
  });
  beforeEach(async () => {
    // Nothing that a test has left is there for the next one, or for its own second try.
    // https://docs.getmoto.org/en/latest/docs/server_mode.html#reset-api
    await fetch(`${account.endpoint}/moto-api/reset`, { method: 'POST' });
    vi.unstubAllEnvs();
    for (const [name, value] of Object.entries(account.environment)) vi.stubEnv(name, value);
    cloudFormation = new CloudFormation();
    s3 = new S3({ forcePathStyle: true });
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await account.stop();
  });

  it('is created from a URL, and deleted without anything left', async () => {
    const { Removal, ...Resources } = template.Resources;
    expect(Removal?.Type).toBe('Custom::Removal');
    await s3.createBucket({ Bucket: 'templates', CreateBucketConfiguration: { LocationConstraint: 'eu-west-1' } });
    const Body = JSON.stringify({ ...template, Resources }).replaceAll('"Removal",', '');
    await s3.putObject({ Bucket: 'templates', Key: 'template.json', Body });
    await cloudFormation.createStack({
      StackName: 'replication',
      TemplateURL: 'https://templates.s3.amazonaws.com/template.json',
      Capabilities: ['CAPABILITY_IAM'],
      Parameters: Object.entries(parameters).map(([ParameterKey, ParameterValue]) => ({
        ParameterKey,
        ParameterValue,
      })),
    });
    const { Stacks: [stack] = [] } = await cloudFormation.describeStacks({ StackName: 'replication' });
    expect(stack?.StackStatus).toBe('CREATE_COMPLETE');
    const output = (key: string) => stack?.Outputs?.find(({ OutputKey }) => OutputKey === key)?.OutputValue ?? '';
    const { StackResources = [] } = await cloudFormation.describeStackResources({ StackName: 'replication' });
    const made = new Set(StackResources.map(({ LogicalResourceId }) => LogicalResourceId));
    const missing = Object.entries(Resources).filter(([id, each]) => !made.has(id) && each.Condition === undefined);
    expect(missing.filter(([, { Type }]) => !unknownToMoto.includes(Type))).toEqual([]);

    const stateMachineArn = output('StateMachineArn');
    const { definition } = await new SFN().describeStateMachine({ stateMachineArn });
    expect(definition).not.toContain('${');
    const States = z.looseObject({
      States: z.record(z.string(), z.looseObject({ Parameters: z.unknown().optional() })),
    });
    const { Plan, Settings } = States.parse(JSON.parse(definition ?? '')).States;
    expect(JSON.stringify(Plan)).toContain('"TaskDefinition":"replication-plan"');
    expect(JSON.stringify(Settings)).toContain(`["ecr","--source-type","Amazon_ECR","--src-region","eu-west-1"`);
    const Bucket = /^s3:\/\/([^/]+)\//.exec(output('RunsLocation'))?.[1] ?? '';
    const { ServerSideEncryptionConfiguration } = await s3.getBucketEncryption({ Bucket });
    expect(ServerSideEncryptionConfiguration?.Rules).toHaveLength(1);
    const tables = await new DynamoDB().listTables();
    expect(tables.TableNames).toHaveLength(2);

    await cloudFormation.deleteStack({ StackName: 'replication' });
    expect((await new DynamoDB().listTables()).TableNames).toEqual([]);
    expect((await s3.listBuckets()).Buckets?.map(({ Name }) => Name)).toEqual(['templates']);
    expect((await new SFN().listStateMachines()).stateMachines).toEqual([]);
  });

  describe('what removes runs', () => {
    const gone = 'arn:aws:states:eu-west-1:123456789012:stateMachine:gone';
    const tasksEndSeconds = 2;
    const event = (url: string, RequestType: string, Bucket: string, StateMachine: string) => ({
      RequestType,
      ResponseURL: url,
      StackId: 'stack',
      RequestId: 'request',
      LogicalResourceId: 'Removal',
      // CloudFormation makes texts of numbers.
      ResourceProperties: { Bucket, StateMachine, TasksEndSeconds: String(tasksEndSeconds) },
    });
    /** What CloudFormation is answered. */
    async function answers(RequestType: string, Bucket: string, machine = gone): Promise<unknown> {
      const told: unknown[] = [];
      const url = await listening((request, response) => {
        void json(request).then((body) => {
          told.push(request.method, body);
          response.end();
        });
      });
      await handler(event(url, RequestType, Bucket, machine));
      return told;
    }
    /** The URL of a server that is there until the test has ended. */
    async function listening(answer: RequestListener): Promise<string> {
      const server = createServer(answer).listen(0, '127.0.0.1');
      onTestFinished(() => {
        server.close();
        server.closeAllConnections();
      });
      await once(server, 'listening');
      // A server that listens on a port has an AddressInfo; only pipes have a string.
      const { port } = server.address() as AddressInfo;
      return `http://127.0.0.1:${port}/`;
    }
    const answer = (Bucket: string, Status = 'SUCCESS', more: object = {}) => [
      'PUT',
      {
        ...{ Status, PhysicalResourceId: Bucket, StackId: 'stack', RequestId: 'request' },
        LogicalResourceId: 'Removal',
        ...more,
      },
    ];

    it('empties their bucket before it is deleted, versions and all, and at no other time', async () => {
      const Bucket = 'runs';
      await s3.createBucket({ Bucket, CreateBucketConfiguration: { LocationConstraint: 'eu-west-1' } });
      await s3.putBucketVersioning({ Bucket, VersioningConfiguration: { Status: 'Enabled' } });
      for (const Key of ['runs/a/plan.json', 'runs/a/plan.json', 'runs/b ü/report.html'])
        await s3.putObject({ Bucket, Key, Body: '{}' });
      await s3.deleteObject({ Bucket, Key: 'runs/a/plan.json' });
      for (const type of ['Create', 'Update']) expect(await answers(type, Bucket)).toEqual(answer(Bucket));
      expect((await s3.listObjectVersions({ Bucket })).Versions).toHaveLength(3);
      expect(await answers('Delete', Bucket)).toEqual(answer(Bucket));
      await s3.deleteBucket({ Bucket });
    });

    it('ends a run that is at work, and gives its tasks time to notice before the bucket is emptied', async () => {
      const sfn = new SFN();
      const { stateMachineArn = '' } = await sfn.createStateMachine({
        name: 'runs',
        definition: JSON.stringify({ StartAt: 'Wait', States: { Wait: { Type: 'Wait', Seconds: 3600, End: true } } }),
        roleArn: 'arn:aws:iam::123456789012:role/runs',
      });
      const { executionArn = '' } = await sfn.startExecution({ stateMachineArn });
      const status = async () => (await sfn.describeExecution({ executionArn })).status;
      const Bucket = 'runs-at-work';
      await s3.createBucket({ Bucket, CreateBucketConfiguration: { LocationConstraint: 'eu-west-1' } });
      // What a task still writes when its run is over already.
      const over = new AbortController();
      onTestFinished(() => over.abort());
      const late = (async () => {
        while (!over.signal.aborted && (await status()) === 'RUNNING') await setTimeout(20);
        await s3.putObject({ Bucket, Key: 'runs/a/results/0000.json', Body: '{}' });
      })();
      late.catch(() => undefined);
      // Whoever empties the bucket is let to it when the task has written: whether that has had the time is told by the clock.
      let emptying = 0;
      const bucketUrl = await listening((request, response) => {
        emptying ||= Date.now();
        Promise.all([buffer(request), late])
          .then(([body]) => passOn(account.endpoint, request, body, response))
          .catch(() => response.destroy());
      });
      vi.stubEnv('AWS_ENDPOINT_URL_S3', bucketUrl);
      for (const type of ['Create', 'Update']) await answers(type, Bucket, stateMachineArn);
      expect(await status()).toBe('RUNNING');
      expect(await answers('Delete', Bucket, stateMachineArn)).toEqual(answer(Bucket));
      expect(await status()).toBe('ABORTED');
      await late;
      const { stopDate } = await sfn.describeExecution({ executionArn });
      // Timers may ring a millisecond early.
      expect(emptying - (stopDate?.getTime() ?? NaN)).toBeGreaterThanOrEqual(tasksEndSeconds * 1000 - 5);
      await s3.deleteBucket({ Bucket });
    });

    it('is not stopped by a bucket that is gone already, but by one that may not be read', async () => {
      expect(await answers('Delete', 'gone')).toEqual(answer('gone'));
      vi.stubEnv('AWS_ENDPOINT_URL', 'http://127.0.0.1:9');
      const Reason = z.string().regex(/./);
      const [, told] = z
        .tuple([z.string(), z.looseObject({ Status: z.string(), Reason })])
        .parse(await answers('Delete', 'away'));
      expect(told.Status).toBe('FAILED');
    });
  });
});
