import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CfnDeletionPolicy, CfnResource, Fn, type Stack } from 'aws-cdk-lib';
import type { CfnPolicy } from 'aws-cdk-lib/aws-iam';
import type { CfnKey } from 'aws-cdk-lib/aws-kms';
import { CfnFunction } from 'aws-cdk-lib/aws-lambda';
import { CfnLogGroup } from 'aws-cdk-lib/aws-logs';
import type { CfnBucket } from 'aws-cdk-lib/aws-s3';
import type { CfnStateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { arn } from './expressions.ts';
import { removalLogGroupName } from './notices.ts';
import { policy, role } from './roles.ts';

export interface Removed {
  readonly machine: CfnStateMachine;
  readonly bucket: CfnBucket;
  /** What tasks need to learn that their run is over: it is deleted later. */
  readonly ready: readonly CfnPolicy[];
}

/**
 * How long a task may go on after its run was stopped, in seconds: it is told at its next heartbeat, which is its first one
 * where Fargate was still fetching the image.
 */
const tasksEnd = 180;

/**
 * Ends the runs and empties the bucket when the stack is deleted. The code is part of the template, so that there is no asset
 * to stage. Nothing else of a stack can do it: lifecycle rules take a day at least, and a run of the state machine would be
 * one of those that have to end.
 * @returns what has to be there before anything starts runs, and so is deleted when nothing starts them any more
 */
export function removal(stack: Stack, key: CfnKey, { machine, bucket, ready }: Removed): CfnResource {
  const grants = removalRole(stack, key);
  const run = new CfnFunction(stack, 'RemovalFunction', {
    description: 'Ends the runs and empties their bucket when the stack is deleted',
    runtime: 'nodejs24.x',
    handler: 'index.handler',
    role: Fn.getAtt('RemovalRole', 'Arn').toString(),
    timeout: 900,
    memorySize: 256,
    code: { zipFile: readFileSync(join(import.meta.dirname, 'removal.cjs'), 'utf8') },
    loggingConfig: { logGroup: Fn.ref('RemovalLogs') },
  });
  const removed = new CfnResource(stack, 'Removal', {
    type: 'Custom::Removal',
    properties: {
      ServiceToken: run.attrArn,
      // CloudFormation waits for an hour where a function dies.
      ServiceTimeout: 960,
      Bucket: bucket.ref,
      StateMachine: machine.ref,
      TasksEndSeconds: tasksEnd,
    },
  });
  for (const each of [grants, ...ready]) removed.addResourceDependency(each);
  return removed;
}

function removalRole(stack: Stack, key: CfnKey): CfnPolicy {
  const logs = new CfnLogGroup(stack, 'RemovalLogs', {
    logGroupName: Fn.sub(removalLogGroupName),
    kmsKeyId: key.attrArn,
    retentionInDays: 7,
  });
  logs.cfnOptions.deletionPolicy = CfnDeletionPolicy.DELETE;
  const remover = role(
    stack,
    'RemovalRole',
    'lambda.amazonaws.com',
    'Ends the runs and empties their bucket when the stack is deleted',
  );
  return policy(
    stack,
    'RemovalPolicy',
    [remover],
    [
      { Sid: 'Runs', Action: ['states:ListExecutions'], Resource: Fn.ref('StateMachine') },
      {
        Sid: 'End',
        Action: ['states:StopExecution'],
        Resource: arn('states:${AWS::Region}:${AWS::AccountId}:execution:${StateMachine.Name}:*'),
        wildcard: 'executions of this machine, which get their names when they start',
      },
      { Sid: 'List', Action: ['s3:ListBucketVersions'], Resource: arn('s3:::${RunsBucket}') },
      {
        Sid: 'Empty',
        Action: ['s3:DeleteObject', 's3:DeleteObjectVersion'],
        Resource: arn('s3:::${RunsBucket}/*'),
        wildcard: 'whatever is in the bucket, which is the point',
      },
      {
        Sid: 'Logs',
        Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
        Resource: Fn.getAtt('RemovalLogs', 'Arn').toString(),
      },
    ],
  );
}
