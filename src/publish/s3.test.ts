import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { refusal } from '../../test/refusal.ts';
import { type S3Server, startS3Server } from '../../test/s3-server.ts';
import type { Aws } from '../aws/clients.ts';
import { awsAt } from '../aws/test-support.ts';
import { objectStore } from '../aws/s3.ts';
import { bucketName, objectName, sideObjectName } from './names.ts';
import { type Publication, publishResult } from './s3.ts';

const account = '123456789012';
const signal = new AbortController().signal;
const key = objectName('dev', 'group-replication');

describe('publishing to S3', () => {
  let server: S3Server;
  let aws: Aws;

  beforeEach(async () => {
    server = await startS3Server(account);
    aws = awsAt({ S3: server.url });
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await aws.close();
    await server.close();
  });

  const bucket = bucketName('app', 'eu-central-1', account);
  const publish = (publication: Partial<Publication> = {}): Promise<void> =>
    publishResult({
      s3: objectStore(aws, account),
      bucket,
      key,
      body: '{"charts":{}}',
      extra: [
        { key: sideObjectName(key, 'lock'), body: '{"lock":1}' },
        { key: sideObjectName(key, 'inventory'), body: '{}' },
      ],
      signal,
      ...publication,
    });
  const puts = (): string[] => server.requests.filter((line) => line.startsWith('PUT') && line.includes('/'));

  it('creates a private, encrypted bucket that keeps versions, and puts the result last', async () => {
    await publish();
    const made = server.buckets.get(bucket);
    expect(made?.location).toBe('eu-central-1');
    expect(made?.publicAccessBlock?.match(/>true</g)).toHaveLength(4);
    expect(made?.encryption).toContain('AES256');
    expect(made?.versioning).toBe('Enabled');
    expect(puts()).toEqual([
      `PUT ${bucket}/dev-group-replication-metadata.lock.json`,
      `PUT ${bucket}/dev-group-replication-metadata.inventory.json`,
      `PUT ${bucket}/dev-group-replication-metadata.json`,
    ]);
  });

  it('says of an object that is too large what it is and what to do', async () => {
    await publish();
    const error = await refusal(objectStore(aws, account).get(bucket, key, 5, signal));
    expect(error).toMatchObject({ code: 'corrupt', side: 'target', reference: `s3://${bucket}/${key}` });
    expect(error.message).toContain(`s3://${bucket}/${key} has 13 bytes, more than 5`);
    expect(error.remedy).toContain('restore an earlier version');
  });

  it('names no location in us-east-1', async () => {
    aws = awsAt({ S3: server.url }, { region: 'us-east-1' });
    await publish({ s3: objectStore(aws, account) });
    expect(server.buckets.get(bucket)?.location).toBe('');
  });

  it('leaves the settings of an existing bucket alone, and the old result in its versions', async () => {
    await publish();
    server.requests.length = 0;
    const made = server.buckets.get(bucket);
    if (made !== undefined) made.versioning = 'Suspended';
    await publish({ body: '{"charts":{"x":1}}' });
    expect(server.requests.filter((line) => line.startsWith('PUT') && line.includes('?'))).toEqual([]);
    expect(made?.versioning).toBe('Suspended');
  });

  it('adds what an existing bucket lacks', async () => {
    await objectStore(aws, account).createBucket(bucket, signal);
    await publish();
    expect(server.buckets.get(bucket)).toMatchObject({ versioning: 'Enabled' });
    expect(server.buckets.get(bucket)?.publicAccessBlock).toBeDefined();
  });

  it('does not touch the old result when something beside it cannot be written', async () => {
    await publish({ body: '{"charts":{"old":1}}' });
    server.requests.length = 0;
    server.fail(/inventory/, 403, 'AccessDenied');
    const error = await refusal(publish({ body: '{"charts":{"new":1}}' }));
    expect(error.code).toBe('denied');
    expect(error.message).toContain(`s3:PutObject on s3://${bucket}/`);
    expect(await objectStore(aws, account).get(bucket, key, 1000, signal)).toBe('{"charts":{"old":1}}');
  });

  it('says so when the bucket is another account’s', async () => {
    server.buckets.set(bucket, {
      owner: '999999999999',
      location: '',
      publicAccessBlock: undefined,
      encryption: undefined,
      versioning: undefined,
      versions: [],
    });
    const error = await refusal(publish());
    expect(error.code).toBe('denied');
    expect(error.message).toContain(`bucket ${bucket} does not belong to account ${account}`);
    expect(server.buckets.get(bucket)?.versions).toEqual([]);
  });

  it('says so when the name was taken by another account in between', async () => {
    server.fail(/^PUT [^/?]+$/, 409, 'BucketAlreadyExists');
    const error = await refusal(publish());
    expect(error.code).toBe('conflict');
    expect(error.remedy).toContain('unique in all of AWS');
  });

  it('waits until a bucket that was just created is known everywhere', async () => {
    server.fail(/\?publicAccessBlock/, 404, 'NoSuchBucket');
    server.fail(/^PUT .*\?versioning/, 409, 'OperationAborted');
    await publish();
    expect(server.buckets.get(bucket)?.versioning).toBe('Enabled');
  });

  it('goes on when several runs create the bucket at once', async () => {
    server.fail(/^PUT [^/?]+$/, 409, 'OperationAborted');
    await Promise.all([publish(), publish(), publish()]);
    expect(server.buckets.get(bucket)?.versioning).toBe('Enabled');
  });
});
