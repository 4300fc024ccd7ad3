import type { S3 } from '@aws-sdk/client-s3';
import { isReplicationError, ReplicationError } from '../model/errors.ts';
import type { Aws } from './clients.ts';
import { awsErrorName } from './errors.ts';

export interface StoredVersion {
  readonly key: string;
  readonly versionId: string;
  /** Whether a reader of the key gets this one: the latest, and no delete marker. */
  readonly current: boolean;
}

/** The operations on buckets and objects that publishing and destroying need. */
export interface ObjectStore {
  readonly region: string;
  /** @throws `denied` when the bucket is another account's, or looking at it is not allowed */
  bucketExists(bucket: string, signal: AbortSignal): Promise<boolean>;
  /** @throws `conflict` when the name is another account's */
  createBucket(bucket: string, signal: AbortSignal): Promise<'created' | 'existing'>;
  /** Blocks public access, encrypts by default and keeps versions; what is set already is left alone. */
  secureBucket(bucket: string, signal: AbortSignal): Promise<void>;
  put(bucket: string, key: string, object: StoredObject, signal: AbortSignal): Promise<void>;
  /** The object's text, or `undefined` when there is none. @throws `corrupt` when it has more than `maxBytes` */
  get(bucket: string, key: string, maxBytes: number, signal: AbortSignal): Promise<string | undefined>;
  keys(bucket: string, signal: AbortSignal): Promise<readonly string[]>;
  /** All versions and delete markers. */
  versions(bucket: string, signal: AbortSignal): Promise<readonly StoredVersion[]>;
  /** Without a version id the object becomes a delete marker, where the bucket keeps versions. */
  delete(
    bucket: string,
    objects: readonly (StoredVersion | { readonly key: string })[],
    signal: AbortSignal,
  ): Promise<void>;
  deleteBucket(bucket: string, signal: AbortSignal): Promise<'deleted' | 'not-empty' | 'absent'>;
}

export interface StoredObject {
  readonly body: string | Uint8Array;
  readonly contentType: string;
}

/**
 * @param account owner that every bucket must have: bucket names are the same for all accounts of AWS, so somebody else
 *   may hold the one that we would take (S3 user guide, "Verifying bucket ownership")
 */
export function objectStore(aws: Aws, account: string): ObjectStore {
  const owner = { ExpectedBucketOwner: account };
  return {
    region: aws.region,
    bucketExists: (bucket, signal) => bucketExists(aws, { Bucket: bucket, ...owner }, signal),
    createBucket: (bucket, signal) => createBucket(aws, bucket, account, signal),
    secureBucket: async (bucket, signal) => secureBucket(await aws.s3(), { Bucket: bucket, ...owner }, signal),
    async put(bucket, key, { body, contentType }, signal) {
      const s3 = await aws.s3();
      await s3.putObject(
        { Bucket: bucket, ...owner, Key: key, Body: body, ContentType: contentType },
        { abortSignal: signal },
      );
    },
    get: async (bucket, key, maxBytes, signal) =>
      getText(await aws.s3(), { Bucket: bucket, ...owner, Key: key }, maxBytes, signal),
    keys: async (bucket, signal) => listKeys(await aws.s3(), { Bucket: bucket, ...owner }, signal),
    versions: async (bucket, signal) => listVersions(await aws.s3(), { Bucket: bucket, ...owner }, signal),
    delete: async (bucket, objects, signal) =>
      deleteObjects(await aws.s3(), { Bucket: bucket, ...owner }, objects, signal),
    deleteBucket: async (bucket, signal) => deleteBucket(await aws.s3(), { Bucket: bucket, ...owner }, signal),
  };
}

interface OwnBucket {
  readonly Bucket: string;
  readonly ExpectedBucketOwner: string;
}

async function bucketExists(aws: Aws, bucket: OwnBucket, signal: AbortSignal): Promise<boolean> {
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

async function createBucket(
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

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  const { setTimeout: sleep } = await import('node:timers/promises');
  await sleep(milliseconds, undefined, { signal });
}

async function secureBucket(s3: S3, bucket: OwnBucket, abortSignal: AbortSignal): Promise<void> {
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

async function getText(
  s3: S3,
  object: OwnBucket & { Key: string },
  maxBytes: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const answer = await s3.getObject(object, { abortSignal: signal });
    if ((answer.ContentLength ?? 0) > maxBytes) {
      if (answer.Body !== undefined && 'destroy' in answer.Body) answer.Body.destroy();
      throw new ReplicationError(
        'corrupt',
        `s3://${object.Bucket}/${object.Key} has ${answer.ContentLength ?? 0} bytes, more than ${maxBytes}`,
      );
    }
    return (await answer.Body?.transformToString('utf-8')) ?? '';
  } catch (error) {
    if (awsErrorName(error) === 'NoSuchKey' || awsErrorName(error) === 'NoSuchBucket') return undefined;
    throw error;
  }
}

async function listKeys(s3: S3, bucket: OwnBucket, signal: AbortSignal): Promise<readonly string[]> {
  const keys: string[] = [];
  let ContinuationToken: string | undefined;
  do {
    const page = await s3.listObjectsV2({ ...bucket, ContinuationToken }, { abortSignal: signal });
    keys.push(...(page.Contents ?? []).flatMap((object) => object.Key ?? []));
    ContinuationToken = page.NextContinuationToken;
  } while (ContinuationToken !== undefined);
  return keys;
}

async function listVersions(s3: S3, bucket: OwnBucket, signal: AbortSignal): Promise<readonly StoredVersion[]> {
  const versions: StoredVersion[] = [];
  let next: { KeyMarker: string | undefined; VersionIdMarker: string | undefined } | undefined;
  do {
    const page = await s3.listObjectVersions({ ...bucket, ...next }, { abortSignal: signal });
    const markers = (page.DeleteMarkers ?? []).map((marker) => ({ ...marker, IsLatest: false }));
    for (const { Key, VersionId, IsLatest } of [...(page.Versions ?? []), ...markers]) {
      if (Key !== undefined) versions.push({ key: Key, versionId: VersionId ?? 'null', current: IsLatest === true });
    }
    next = page.IsTruncated ? { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker } : undefined;
  } while (next !== undefined);
  return versions;
}

/** Objects in one DeleteObjects (API reference). */
const deletionsAtOnce = 1000;

async function deleteObjects(
  s3: S3,
  bucket: OwnBucket,
  objects: readonly (StoredVersion | { readonly key: string })[],
  signal: AbortSignal,
): Promise<void> {
  for (let start = 0; start < objects.length; start += deletionsAtOnce) {
    const batch = objects.slice(start, start + deletionsAtOnce);
    const Objects = batch.map((each) => ({
      Key: each.key,
      ...('versionId' in each ? { VersionId: each.versionId } : {}),
    }));
    const answer = await s3.deleteObjects({ ...bucket, Delete: { Objects, Quiet: true } }, { abortSignal: signal });
    const [failed] = answer.Errors ?? [];
    if (failed !== undefined)
      throw new ReplicationError(
        failed.Code === 'AccessDenied' ? 'denied' : 'unavailable',
        `s3://${bucket.Bucket}/${failed.Key ?? ''} cannot be deleted: ${failed.Code ?? ''} ${failed.Message ?? ''}`,
        {
          side: 'target',
          reference: bucket.Bucket,
          remedy: 'allow s3:DeleteObject and s3:DeleteObjectVersion on the bucket',
        },
      );
  }
}

async function deleteBucket(
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
