import type { S3 } from '@aws-sdk/client-s3';
import { ReplicationError } from '../model/errors.ts';
import { awsErrorName } from './errors.ts';
import type { OwnBucket } from './s3-bucket.ts';

/** One of the contents that a key has had, where the bucket keeps versions; a delete marker is one, too. */
export interface StoredVersion {
  readonly key: string;
  readonly versionId: string;
  /** Whether a reader of the key gets this one: the latest, and no delete marker. */
  readonly current: boolean;
}

/** @returns the object's text, or `undefined` when there is none @throws ReplicationError `corrupt` when it has more than `maxBytes` */
export async function getText(
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
        {
          side: 'target',
          reference: `s3://${object.Bucket}/${object.Key}`,
          remedy: 'nothing of this program is that large: restore an earlier version of the object, or remove it',
        },
      );
    }
    return (await answer.Body?.transformToString('utf-8')) ?? '';
  } catch (error) {
    if (awsErrorName(error) === 'NoSuchKey' || awsErrorName(error) === 'NoSuchBucket') return undefined;
    throw error;
  }
}

/** All pages of ListObjectsV2: the keys that have a current object. */
export async function listKeys(s3: S3, bucket: OwnBucket, signal: AbortSignal): Promise<readonly string[]> {
  const keys: string[] = [];
  let ContinuationToken: string | undefined;
  do {
    const page = await s3.listObjectsV2({ ...bucket, ContinuationToken }, { abortSignal: signal });
    keys.push(...(page.Contents ?? []).flatMap((object) => object.Key ?? []));
    ContinuationToken = page.NextContinuationToken;
  } while (ContinuationToken !== undefined);
  return keys;
}

/** All pages of ListObjectVersions: versions and delete markers. */
export async function listVersions(s3: S3, bucket: OwnBucket, signal: AbortSignal): Promise<readonly StoredVersion[]> {
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

/**
 * Deletes the versions, or puts delete markers for keys without one, as many at once as S3 takes.
 * @throws ReplicationError `denied` or `unavailable` for the first that S3 refuses
 */
export async function deleteObjects(
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
