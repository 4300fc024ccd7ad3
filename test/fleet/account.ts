import { join } from 'node:path';
import { DynamoDB } from '@aws-sdk/client-dynamodb';
import { S3 } from '@aws-sdk/client-s3';
import { type DescribeExecutionOutput, SFN } from '@aws-sdk/client-sfn';
import { SNS } from '@aws-sdk/client-sns';
import * as z from 'zod';
import { accountId, startAccount } from '../seedfarmer/account.ts';
import { type Front, type Own, startFront } from './front.ts';

export const region = 'eu-west-1';
export const bucket = 'runs-bucket';
export const coordinationTable = 'coordination';
export const statusTable = 'status';
export const topic = `arn:aws:sns:${region}:${accountId}:failures`;
const stateMachineName = 'replication';
const stateMachineArn = `arn:aws:states:${region}:${accountId}:stateMachine:${stateMachineName}`;

/** An account with the stack's own things in it, whose Step Functions interprets the definition. */
export interface FleetAccount {
  readonly front: Front;
  readonly s3: S3;
  readonly sfn: SFN;
  readonly dynamodb: DynamoDB;
  readonly stateMachineArn: string;
  /** Puts a definition in place; executions that began before keep theirs. */
  define(definition: string): Promise<void>;
  /** @returns the execution's ARN */
  start(name: string, input?: unknown): Promise<string>;
  /** Waits for an execution's end. */
  end(executionArn: string): Promise<DescribeExecutionOutput>;
  /** Texts of the messages sent so far. */
  mails(): Promise<readonly string[]>;
  close(): Promise<void>;
}

export async function startFleetAccount(own: Own): Promise<FleetAccount> {
  const front = await startFront(accountId, own);
  // The interpreter calls other services at localhost:MOTO_PORT (moto/stepfunctions/parser/asl/utils/boto_client.py).
  const moto = await startAccount(region, {
    MOTO_PORT: String(front.port),
    PYTHONPATH: join(import.meta.dirname, 'moto'),
  });
  front.relayTo(moto.endpoint);
  await fetch(`${moto.endpoint}/moto-api/config`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ stepfunctions: { execute_state_machine: true } }),
  });
  const settings = {
    endpoint: front.url,
    region,
    credentials: { accessKeyId: 'TEST', secretAccessKey: 'test' },
  };
  const [s3, sfn, dynamodb, sns] = [
    new S3({ ...settings, forcePathStyle: true }),
    new SFN(settings),
    new DynamoDB(settings),
    new SNS(settings),
  ];
  await s3.createBucket({ Bucket: bucket, CreateBucketConfiguration: { LocationConstraint: region } });
  await sns.createTopic({ Name: 'failures' });
  for (const [TableName, key] of [
    [coordinationTable, 'id'],
    [statusTable, 'target'],
  ] as const)
    await dynamodb.createTable({
      TableName,
      BillingMode: 'PAY_PER_REQUEST',
      KeySchema: [{ AttributeName: key, KeyType: 'HASH' }],
      AttributeDefinitions: [{ AttributeName: key, AttributeType: 'S' }],
    });
  let made = false;
  return {
    front,
    s3,
    sfn,
    dynamodb,
    stateMachineArn,
    async define(text) {
      // moto's grammar knows percentages with a decimal point only; it tolerates all failures whatever it reads there.
      const definition = text.replace('"ToleratedFailurePercentage":100', '$&.0');
      const roleArn = `arn:aws:iam::${accountId}:role/machine`;
      if (made) await sfn.updateStateMachine({ stateMachineArn, definition });
      else await sfn.createStateMachine({ name: stateMachineName, roleArn, definition });
      made = true;
    },
    async start(name, input = {}) {
      const { executionArn } = await sfn.startExecution({ stateMachineArn, name, input: JSON.stringify(input) });
      return executionArn ?? '';
    },
    async end(executionArn) {
      for (;;) {
        const execution = await sfn.describeExecution({ executionArn });
        if (execution.status !== 'RUNNING') return execution;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    },
    async mails() {
      const answer: unknown = await (await fetch(`${moto.endpoint}/moto-api/data.json`)).json();
      return (Data.parse(answer).sns?.Topic ?? []).flatMap(({ sent_notifications }) => sent_notifications.map(String));
    },
    async close() {
      for (const client of [s3, sfn, dynamodb, sns]) client.destroy();
      await moto.stop();
      await front.close();
    },
  };
}

const Data = z.looseObject({
  sns: z.looseObject({ Topic: z.array(z.looseObject({ sent_notifications: z.array(z.unknown()) })) }).optional(),
});
