import type { S3 } from '@aws-sdk/client-s3';
import { isReplicationError, ReplicationError } from '../model/errors.ts';
import type { Aws } from './clients.ts';
import { awsErrorName } from './errors.ts';
import { pause } from './pause.ts';

/** A bucket, and the account that it has to belong to. */
export interface OwnBucket {
  readonly Bucket: string;
  readonly ExpectedBucketOwner: string;
}

/** @throws ReplicationError `conflict` when it is in another region, `denied` when it may not be looked at */
export async function bucketExists(aws: Aws, bucket: OwnBucket, signal: AbortSignal): Promise<boolean> {
  try {
    await (await aws.s3()).headBucket(bucket, { abortSignal: signal });
    return true;
  } catch (error) {
    if (isReplicationError(error, 'not-found')) return false;
    if (isReplicationError(error) && error.status === 301)
      throw new ReplicationError('conflict', `bucket ${bucket.Bucket} is in another region than ${aws.region}`, {
        side: 'target',
        reference: bucket.Bucket,
        remedy: 'rename or remove that bucket, or correct AWS_REGION',
        cause: error,
      });
    if (!isReplicationError(error, 'denied')) throw error;
    throw foreignBucket(bucket.Bucket, bucket.ExpectedBucketOwner, 'denied', error);
  }
}

function foreignBucket(bucket: string, account: string, code: 'denied' | 'conflict', cause: unknown): ReplicationError {
  const why = code === 'denied' ? ', or s3:ListBucket on it is not allowed' : '';
  return new ReplicationError(code, `bucket ${bucket} does not belong to account ${account}${why}`, {
    side: 'target',
    reference: bucket,
    remedy:
      code === 'denied'
        ? `allow s3:ListBucket on ${bucket}; if another account owns a bucket of this name, choose another project name`
        : 'bucket names are unique in all of AWS: choose another project name, or have that bucket removed',
    cause,
  });
}

/** Tries at CreateBucket while another run creates the same bucket, and milliseconds between them. */
const creationTries = 5;
const creationPauseMs = 1000;

/**
 * Creates the bucket in the region of `aws`, or finds it. Waits out a creation or deletion of the same name that is still under way.
 * @param account who has to own it
 * @throws ReplicationError `conflict` when it belongs to somebody else; what S3 refuses
 */
export async function createBucket(
  aws: Aws,
  bucket: string,
  account: string,
  signal: AbortSignal,
): Promise<'created' | 'existing'> {
  const s3 = await aws.s3();
  const constraint = locationOf(aws.region);
  for (let attempt = 1; ; attempt += 1) {
    try {
      await s3.createBucket({ Bucket: bucket, ...constraint }, { abortSignal: signal });
      return 'created';
    } catch (error) {
      const name = awsErrorName(error);
      if (name === 'BucketAlreadyOwnedByYou') return 'existing';
      if (name === 'BucketAlreadyExists') throw foreignBucket(bucket, account, 'conflict', error);
      // 409 OperationAborted: "A conflicting conditional operation is currently in progress against this resource."
      if (name !== 'OperationAborted' || attempt === creationTries) throw error;
      await pause(creationPauseMs, signal);
      if (await bucketExists(aws, { Bucket: bucket, ExpectedBucketOwner: account }, signal)) return 'existing';
    }
  }
}

/** us-east-1 is S3's default location and refused as a constraint (API reference, CreateBucket). */
function locationOf(region: string): {
  CreateBucketConfiguration?: NonNullable<Parameters<S3['createBucket']>[0]>['CreateBucketConfiguration'];
} {
  if (region === 'us-east-1') return {};
  // The SDK's type lists the regions known when it was published; S3 takes any.
  return { CreateBucketConfiguration: { LocationConstraint: region as 'eu-west-1' } };
}

/** The names of answers that mean "not yet": a bucket is known everywhere only some seconds after it was made. */
const unsettled = ['NoSuchBucket', 'OperationAborted'];

/** Makes a bucket private, encrypted and versioned where it is not; waits until S3 knows a new bucket everywhere. */
export async function secureBucket(s3: S3, bucket: OwnBucket, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await applySettings(s3, bucket, signal);
      return;
    } catch (error) {
      if (!unsettled.includes(awsErrorName(error) ?? '') || attempt === creationTries) throw error;
      await pause(creationPauseMs, signal);
    }
  }
}

async function applySettings(s3: S3, bucket: OwnBucket, abortSignal: AbortSignal): Promise<void> {
  const options = { abortSignal };
  const [access, encryption, versioning] = await Promise.all([
    unset(['NoSuchPublicAccessBlockConfiguration'], () => s3.getPublicAccessBlock(bucket, options)),
    unset(['ServerSideEncryptionConfigurationNotFoundError'], () => s3.getBucketEncryption(bucket, options)),
    s3.getBucketVersioning(bucket, options),
  ]);
  const block = access?.PublicAccessBlockConfiguration;
  if (!(block?.BlockPublicAcls && block.BlockPublicPolicy && block.IgnorePublicAcls && block.RestrictPublicBuckets))
    await s3.putPublicAccessBlock(
      {
        ...bucket,
        PublicAccessBlockConfiguration: {
          BlockPublicAcls: true,
          BlockPublicPolicy: true,
          IgnorePublicAcls: true,
          RestrictPublicBuckets: true,
        },
      },
      options,
    );
  if ((encryption?.ServerSideEncryptionConfiguration?.Rules ?? []).length === 0)
    await s3.putBucketEncryption(
      {
        ...bucket,
        ServerSideEncryptionConfiguration: {
          Rules: [{ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }],
        },
      },
      options,
    );
  // A bucket whose versioning somebody suspended stays so: that was a decision.
  if (versioning.Status === undefined)
    await s3.putBucketVersioning({ ...bucket, VersioningConfiguration: { Status: 'Enabled' } }, options);
}

async function unset<T>(names: readonly string[], read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (names.includes(awsErrorName(error) ?? '')) return undefined;
    throw error;
  }
}

/** Deletes the bucket where nothing is in it, versions included. */
export async function deleteBucket(
  s3: S3,
  bucket: OwnBucket,
  signal: AbortSignal,
): Promise<'deleted' | 'not-empty' | 'absent'> {
  try {
    await s3.deleteBucket(bucket, { abortSignal: signal });
    return 'deleted';
  } catch (error) {
    if (awsErrorName(error) === 'BucketNotEmpty') return 'not-empty';
    if (awsErrorName(error) === 'NoSuchBucket') return 'absent';
    throw error;
  }
}
