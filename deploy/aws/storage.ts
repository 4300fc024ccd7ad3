import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CfnDeletionPolicy, CfnResource, Fn, type Stack } from 'aws-cdk-lib';
import { CfnTable } from 'aws-cdk-lib/aws-dynamodb';
import type { CfnKey } from 'aws-cdk-lib/aws-kms';
import { CfnFunction } from 'aws-cdk-lib/aws-lambda';
import { CfnLogGroup } from 'aws-cdk-lib/aws-logs';
import { CfnBucket, CfnBucketPolicy } from 'aws-cdk-lib/aws-s3';
import { arn, number } from './expressions.ts';
import { explain } from './explanations.ts';
import { logGroupName } from './notices.ts';
import { policy, role } from './roles.ts';

/** Where runs are kept, and what their workers share. */
export interface Storage {
  readonly bucket: CfnBucket;
  /** Must outlive, when the stack is deleted, whatever may still write to the bucket. */
  readonly emptied: CfnResource;
  readonly status: CfnTable;
  readonly coordination: CfnTable;
}

export function storage(stack: Stack, key: CfnKey): Storage {
  const bucket = runsBucket(stack);
  return {
    bucket,
    emptied: emptiedBucket(stack, bucket, key),
    status: table(stack, 'StatusTable', 'target', true),
    coordination: table(stack, 'CoordinationTable', 'id', false),
  };
}

/** Plans, shards, results and reports: derived from the registries, so they expire instead of being versioned. */
function runsBucket(stack: Stack): CfnBucket {
  const bucket = new CfnBucket(stack, 'RunsBucket', {
    bucketEncryption: {
      serverSideEncryptionConfiguration: [{ serverSideEncryptionByDefault: { sseAlgorithm: 'AES256' } }],
    },
    publicAccessBlockConfiguration: {
      blockPublicAcls: true,
      blockPublicPolicy: true,
      ignorePublicAcls: true,
      restrictPublicBuckets: true,
    },
    ownershipControls: { rules: [{ objectOwnership: 'BucketOwnerEnforced' }] },
    lifecycleConfiguration: {
      rules: [
        {
          id: 'runs-expire',
          status: 'Enabled',
          expirationInDays: number('runRetentionDays'),
          abortIncompleteMultipartUpload: { daysAfterInitiation: 1 },
        },
      ],
    },
  });
  bucket.cfnOptions.deletionPolicy = CfnDeletionPolicy.DELETE;
  explain(
    bucket,
    'AwsSolutions-S1',
    'Only the roles of this stack can read and write it, and CloudTrail tells who did; a bucket for the logs would be left behind by the stack.',
  );
  const all = [arn('s3:::${RunsBucket}'), arn('s3:::${RunsBucket}/*')];
  new CfnBucketPolicy(stack, 'RunsBucketPolicy', {
    bucket: bucket.ref,
    policyDocument: {
      Version: '2012-10-17',
      Statement: [
        {
          Sid: 'TlsOnly',
          Effect: 'Deny',
          Principal: '*',
          Action: 's3:*',
          Resource: all,
          Condition: { Bool: { 'aws:SecureTransport': 'false' } },
        },
      ],
    },
  });
  return bucket;
}

/**
 * Empties the bucket when the stack is deleted. The code is part of the template, so that there is no asset to stage.
 * Nothing else of a stack can do it: CloudFormation deletes empty buckets only, lifecycle rules take a day at least, and a
 * run of the state machine could not be waited for.
 */
function emptiedBucket(stack: Stack, bucket: CfnBucket, key: CfnKey): CfnResource {
  const logs = new CfnLogGroup(stack, 'EmptyBucketLogs', {
    logGroupName: Fn.sub(`${logGroupName}/empty-bucket`),
    kmsKeyId: key.attrArn,
    retentionInDays: 7,
  });
  logs.cfnOptions.deletionPolicy = CfnDeletionPolicy.DELETE;
  const emptier = role(
    stack,
    'EmptyBucketRole',
    'lambda.amazonaws.com',
    'Empties the bucket of runs when the stack is deleted',
  );
  const grants = policy(
    stack,
    'EmptyBucketPolicy',
    [emptier],
    [
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
        Resource: Fn.getAtt('EmptyBucketLogs', 'Arn').toString(),
      },
    ],
  );
  const run = new CfnFunction(stack, 'EmptyBucketFunction', {
    description: 'Empties the bucket of runs when the stack is deleted',
    runtime: 'nodejs24.x',
    handler: 'index.handler',
    role: emptier.attrArn,
    timeout: 900,
    memorySize: 256,
    code: { zipFile: readFileSync(join(import.meta.dirname, 'empty-bucket.cjs'), 'utf8') },
    loggingConfig: { logGroup: logs.ref },
  });
  const emptied = new CfnResource(stack, 'EmptyBucket', {
    type: 'Custom::EmptyBucket',
    properties: { ServiceToken: run.attrArn, Bucket: bucket.ref },
  });
  emptied.addResourceDependency(grants);
  return emptied;
}

/** Encrypted with the key that AWS manages for DynamoDB: its users need no rights on it. */
function table(stack: Stack, id: string, key: string, recoverable: boolean): CfnTable {
  const made = new CfnTable(stack, id, {
    attributeDefinitions: [{ attributeName: key, attributeType: 'S' }],
    keySchema: [{ attributeName: key, keyType: 'HASH' }],
    billingMode: 'PAY_PER_REQUEST',
    sseSpecification: { sseEnabled: true },
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: recoverable },
  });
  made.cfnOptions.deletionPolicy = CfnDeletionPolicy.DELETE;
  made.cfnOptions.updateReplacePolicy = CfnDeletionPolicy.DELETE;
  if (!recoverable)
    explain(
      made,
      'AwsSolutions-DDB3',
      "It holds the lock of the current run and the workers' next free slots, worth nothing a minute later.",
    );
  return made;
}
