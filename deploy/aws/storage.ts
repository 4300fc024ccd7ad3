import { CfnDeletionPolicy, type Stack } from 'aws-cdk-lib';
import { CfnTable } from 'aws-cdk-lib/aws-dynamodb';
import { CfnBucket, CfnBucketPolicy } from 'aws-cdk-lib/aws-s3';
import { arn, number } from './expressions.ts';
import { explain } from './explanations.ts';

/** Where runs are kept, and what their workers share. */
export interface Storage {
  readonly bucket: CfnBucket;
  readonly status: CfnTable;
  readonly coordination: CfnTable;
}

export function storage(stack: Stack): Storage {
  return {
    bucket: runsBucket(stack),
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
