import type { Aws } from './clients.ts';
import { bucketExists, createBucket, deleteBucket, secureBucket } from './s3-bucket.ts';
import { deleteObjects, getText, listKeys, listVersions, type StoredVersion } from './s3-objects.ts';

/** The operations on buckets and objects that publishing and destroying need. */
export interface ObjectStore {
  readonly region: string;
  /** @throws `denied` when the bucket is another account's, or looking at it is not allowed */
  bucketExists(bucket: string, signal: AbortSignal): Promise<boolean>;
  /** @throws `conflict` when the name is another account's */
  createBucket(bucket: string, signal: AbortSignal): Promise<'created' | 'existing'>;
  /** Blocks public access, encrypts by default and keeps versions; what is set already is left alone. */
  secureBucket(bucket: string, signal: AbortSignal): Promise<void>;
  /** Writes the object as a whole; readers see the earlier one until then. */
  put(bucket: string, key: string, object: StoredObject, signal: AbortSignal): Promise<void>;
  /** The object's text, or `undefined` when there is none. @throws `corrupt` when it has more than `maxBytes` */
  get(bucket: string, key: string, maxBytes: number, signal: AbortSignal): Promise<string | undefined>;
  /** Keys of all current objects. */
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

/** What is put, and what browsers are told that it is. */
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
