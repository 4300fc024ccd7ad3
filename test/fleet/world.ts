import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SSM } from '@aws-sdk/client-ssm';
import * as z from 'zod';
import { type Deployment, resolver, Template } from '../../deploy/aws/testing/resolve.ts';
import { templateFile } from '../../deploy/aws/template.ts';
import { createAuthority } from '../../src/testing/certificates.ts';
import { startProxyServer } from '../../src/testing/proxy-server.ts';
import { type RegistryServer, startRegistryServer } from '../../src/testing/registry-server.ts';
import type { Need } from '../iam/compare.ts';
import { accountId } from '../seedfarmer/account.ts';
import {
  bucket,
  coordinationTable,
  type FleetAccount,
  region,
  startFleetAccount,
  statusTable,
  topic,
} from './account.ts';
import type { Own } from './front.ts';
import type { Variables } from '../program.ts';
import { startTaskHost, type TaskHost } from './tasks.ts';

export const destinationAccount = '444455556666';
export const destinationHost = `${destinationAccount}.dkr.ecr.cn-northwest-1.amazonaws.com.cn`;
export const sourceHost = `${accountId}.dkr.ecr.${region}.amazonaws.com`;

const task = (kind: string): string => `arn:aws:ecs:${region}:${accountId}:task-definition/replication-${kind}:1`;

/** The stack as it is deployed here: from the ECR of its own account to another account's, by the keys of a parameter. */
export const deployment: Deployment = {
  partition: 'aws',
  region,
  account: accountId,
  parameters: {
    ecsClusterName: 'cluster',
    ecsVpcId: 'vpc-1',
    ecsSubnetA: 'subnet-a',
    ecsSubnetB: 'subnet-b',
    assignPublicIp: 'DISABLED',
    workerImage: 'ghcr.io/example/image-replication:1.0',
    destRegion: 'cn-northwest-1',
    destAccountId: destinationAccount,
    destCredential: 'drh-credentials',
    maxConcurrency: '4',
  },
  physical: {
    RunsBucket: bucket,
    StatusTable: statusTable,
    'StatusTable.Arn': `arn:aws:dynamodb:${region}:${accountId}:table/${statusTable}`,
    CoordinationTable: coordinationTable,
    'CoordinationTable.Arn': `arn:aws:dynamodb:${region}:${accountId}:table/${coordinationTable}`,
    AlarmTopic: topic,
    PlanTask: task('plan'),
    WorkerTask: task('worker'),
    SummaryTask: task('summary'),
    FinishTask: task('finish'),
    'StateMachine.Name': 'replication',
    StateMachine: `arn:aws:states:${region}:${accountId}:stateMachine:replication`,
  },
};

/** Two accounts' registries under their real names, the stack's account, and processes for its containers. */
export interface FleetWorld {
  readonly source: RegistryServer;
  readonly destination: RegistryServer;
  readonly account: FleetAccount;
  readonly tasks: TaskHost;
  /** What a container of this kind finds in its environment. */
  readonly environment: (kind: string) => Variables;
  /** A folder that is taken away with the world. */
  readonly folder: string;
  /** What the source's registry wanted from each kind of container. */
  readonly registryNeeds: () => ReadonlyMap<string, readonly Need[]>;
  /** Starts the ECR of another account and region of partition `aws`, under its real name. */
  readonly registry: (account: string, region: string) => Promise<RegistryServer>;
  /** Deploys the stack anew, with other parameters. */
  readonly deploy: (parameters: Deployment['parameters']) => Promise<void>;
  close(): Promise<void>;
}

/** @param own what answers in place of AWS, before anything else is asked */
export async function startFleetWorld(shardCount: number, own?: Own): Promise<FleetWorld> {
  const [authority, proxy, folder] = await Promise.all([
    createAuthority(),
    startProxyServer(),
    mkdtemp(join(tmpdir(), 'image-replication-test-')),
  ]);
  const registry = async (
    id: string,
    at: string,
    partition: string,
    suffix: string,
    put?: { perSecond: number; burst: number },
  ) => {
    const [hostName, storage, api] = [
      `${id}.dkr.ecr.${at}.${suffix}`,
      `prod-${at}-starport-layer-bucket.s3.${at}.${suffix}`,
      `api.ecr.${at}.${suffix}`,
    ];
    const tls = await authority.issue([hostName, storage, api]);
    const server = await startRegistryServer({
      ...{ manners: 'ecr', accountId: id, region: at, partition, hostName, storageHostName: storage, tls },
      manifestPutRate: put,
    });
    for (const name of [hostName, api]) proxy.route(`${name}:443`, server.host);
    proxy.route(`${storage}:443`, server.storageHost);
    return server;
  };
  const source = await registry(accountId, region, 'aws', 'amazonaws.com');
  const limit = { perSecond: 10, burst: 10 };
  const destination = await registry(destinationAccount, 'cn-northwest-1', 'aws-cn', 'amazonaws.com.cn', limit);
  const more: RegistryServer[] = [];
  await writeFile(join(folder, 'ca.pem'), authority.certificate);
  for (const name of ['home', 'tmp']) await mkdir(join(folder, name));
  const registryNeeds = new Map<string, Need[]>();
  let last = '';
  const note = (): void => {
    registryNeeds.set(last, [...(registryNeeds.get(last) ?? []), ...source.iam.used()]);
    source.iam.reset();
  };
  let endpoint = '';
  const tasks = await startTaskHost(
    folder,
    (kind) => environment(kind, folder, proxy.url, endpoint),
    (kind) => {
      // Containers of different kinds never run at the same time.
      if (kind !== last) note();
      last = kind;
    },
  );
  const account = await startFleetAccount(async (request) => (await own?.(request)) ?? tasks.own(request));
  endpoint = account.front.url;
  const keys = JSON.stringify({ access_key_id: 'AKIACHINA', secret_access_key: 'china-secret-access-key' });
  const ssm = new SSM({ endpoint, region, credentials: { accessKeyId: 'TEST', secretAccessKey: 'test' } });
  await ssm.putParameter({ Name: 'drh-credentials', Value: keys, Type: 'SecureString' });
  ssm.destroy();
  await account.define(await deployedDefinition(shardCount));
  return {
    source,
    destination,
    account,
    tasks,
    environment: (kind) => environment(kind, folder, proxy.url, endpoint),
    folder,
    registryNeeds: () => {
      note();
      return registryNeeds;
    },
    async registry(id, at) {
      const server = await registry(id, at, 'aws', 'amazonaws.com');
      more.push(server);
      return server;
    },
    deploy: async (parameters) => account.define(await deployedDefinition(shardCount, parameters)),
    async close() {
      await tasks.close();
      await Promise.all([source, destination, proxy, account, ...more].map((each) => each.close()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What Fargate and the task's role give to a container. The role is told by its access key. */
function environment(kind: string, folder: string, proxy: string, endpoint: string) {
  return {
    PATH: process.env['PATH'],
    HOME: join(folder, 'home'),
    TMPDIR: join(folder, 'tmp'),
    HTTPS_PROXY: proxy,
    NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem'),
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: kind,
    AWS_SECRET_ACCESS_KEY: 'secret-access-key',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
    ...Object.fromEntries(
      ['S3', 'SSM', 'SNS', 'STS', 'SFN', 'DYNAMODB'].map((service) => [`AWS_ENDPOINT_URL_${service}`, endpoint]),
    ),
    TASK_HEARTBEAT_SECONDS: '2',
    // Answered by tests that have logs of tasks.
    ECS_CONTAINER_METADATA_URI_V4: `${endpoint}/task-metadata`,
  };
}

const Definition = z.looseObject({
  States: z.looseObject({ Settings: z.looseObject({ Parameters: z.looseObject({ plan: z.array(z.string()) }) }) }),
});

/**
 * The definition out of the template, as CloudFormation gives it to Step Functions. Other are here: the times, and the
 * number of shards, which would be one for so few bytes.
 */
async function deployedDefinition(shardCount: number, parameters = deployment.parameters): Promise<string> {
  const template = Template.parse(JSON.parse(await readFile(templateFile, 'utf8')));
  const text = resolver(template, { ...deployment, parameters })(
    template.Resources['StateMachine']?.Properties['DefinitionString'],
  );
  const definition = Definition.parse(JSON.parse(z.string().parse(text)));
  definition.States.Settings.Parameters.plan.push('--shard-count', String(shardCount));
  return JSON.stringify(definition, (key, value: unknown) => {
    if (key === 'HeartbeatSeconds') return 20;
    return key === 'IntervalSeconds' ? 1 : value;
  });
}
