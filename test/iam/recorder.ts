import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import * as z from 'zod';
import { passOn } from '../pass-on.ts';
import type { Need } from './compare.ts';

/** A relay in front of an account's endpoint that notes which IAM permissions the requests of the JavaScript SDK need. */
export interface Recorder {
  readonly url: string;
  needs(): readonly Need[];
  close(): Promise<void>;
}

export interface RecorderOptions {
  readonly endpoint: string;
  readonly partition: string;
  readonly region: string;
  readonly account: string;
}

export async function startRecorder(options: RecorderOptions): Promise<Recorder> {
  const needs: Need[] = [];
  const server = createServer((incoming, outgoing) => {
    relay(options.endpoint, incoming, outgoing)
      .then((body) => needs.push(...needsOf(incoming, body, options)))
      .catch(() => outgoing.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A server that listens on a port has an AddressInfo; only pipes have a string.
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${String(port)}`,
    needs: () => needs,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Passes the request on and the answer back. Returns the request's body: the module's are small. */
async function relay(endpoint: string, incoming: IncomingMessage, outgoing: ServerResponse): Promise<string> {
  const body = await buffer(incoming);
  await passOn(endpoint, incoming, body, outgoing);
  return body.toString('utf8');
}

/** Requests of other programs in a build (the seedfarmer CLI's) are Seed-Farmer's business. */
function needsOf(incoming: IncomingMessage, body: string, options: RecorderOptions): readonly Need[] {
  if (!(incoming.headers['user-agent'] ?? '').startsWith('aws-sdk-js/')) return [];
  const scope = /Credential=[^/]+\/\d+\/[^/]+\/([^/]+)\//.exec(incoming.headers.authorization ?? '');
  const service = scope?.[1] ?? 'unknown';
  if (service === 's3') return s3Needs(incoming, body, options.partition);
  // GetCallerIdentity needs no permission (IAM user guide: it works even with an explicit deny).
  if (service === 'sts') return [];
  const target = incoming.headers['x-amz-target'];
  const operation = typeof target === 'string' ? (target.split('.')[1] ?? '') : 'unknown';
  return [{ action: `${service}:${operation}`, resource: secretArn(body, options) }];
}

/** Secrets Manager puts a hyphen and six characters behind the name. */
function secretArn(body: string, { partition, region, account }: RecorderOptions): string {
  const { SecretId } = z.object({ SecretId: z.string() }).parse(JSON.parse(body));
  return `arn:${partition}:secretsmanager:${region}:${account}:secret:${SecretId}-AbCdEf`;
}

/**
 * Method, subresource and whether there is a key decide the action.
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
 */
function s3Needs(incoming: IncomingMessage, body: string, partition: string): readonly Need[] {
  const url = new URL(incoming.url ?? '/', 'http://any');
  const [bucket = '', ...rest] = url.pathname.slice(1).split('/');
  const key = rest.join('/');
  const arn = `arn:${partition}:s3:::${bucket}`;
  const method = incoming.method ?? 'GET';
  if (key !== '') {
    const version = url.searchParams.has('versionId') ? 'Version' : '';
    return [{ action: `s3:${objectActions[method] ?? method}${version}`, resource: `${arn}/${key}` }];
  }
  if (url.searchParams.has('delete')) return deletions(body, arn);
  const subresource = Object.keys(bucketActions).find((name) => url.searchParams.has(name)) ?? '';
  const action = bucketActions[subresource]?.[method] ?? `s3:${method}?${url.searchParams.toString()}`;
  return [{ action, resource: arn }];
}

/** DeleteObjects (XML): with a version id it needs another permission. */
function deletions(body: string, arn: string): readonly Need[] {
  return [...body.matchAll(/<Object>(.*?)<\/Object>/gs)].map(([, object = '']) => ({
    action: object.includes('<VersionId>') ? 's3:DeleteObjectVersion' : 's3:DeleteObject',
    resource: `${arn}/${/<Key>(.*?)<\/Key>/.exec(object)?.[1] ?? ''}`,
  }));
}

const objectActions: Readonly<Record<string, string>> = {
  PUT: 'PutObject',
  GET: 'GetObject',
  HEAD: 'GetObject',
  DELETE: 'DeleteObject',
};

const bucketActions: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  publicAccessBlock: { GET: 's3:GetBucketPublicAccessBlock', PUT: 's3:PutBucketPublicAccessBlock' },
  encryption: { GET: 's3:GetEncryptionConfiguration', PUT: 's3:PutEncryptionConfiguration' },
  versioning: { GET: 's3:GetBucketVersioning', PUT: 's3:PutBucketVersioning' },
  versions: { GET: 's3:ListBucketVersions' },
  '': { GET: 's3:ListBucket', HEAD: 's3:ListBucket', PUT: 's3:CreateBucket', DELETE: 's3:DeleteBucket' },
};
