import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/**
 * A small S3 in memory, addressed by path: buckets with owner, location, settings and versions, and objects. Enough for
 * what this project asks of S3; answers are XML as in the API reference. Requests are listed as operations.
 */
export interface S3Server {
  readonly url: string;
  /** `PUT bucket/key`, `GET bucket?versions`, … in order of arrival. */
  readonly requests: string[];
  /** That requests were signed for. */
  readonly regions: Set<string>;
  readonly buckets: Map<string, Bucket>;
  /** Answers the next matching requests with an error. */
  fail(pattern: RegExp, status: number, code: string, times?: number): void;
  close(): Promise<void>;
}

export interface Bucket {
  readonly owner: string;
  location: string;
  publicAccessBlock: string | undefined;
  encryption: string | undefined;
  versioning: string | undefined;
  /** Newest last. */
  versions: Version[];
}

interface Version {
  readonly key: string;
  readonly id: string;
  /** `undefined` is a delete marker. */
  readonly body: string | undefined;
}

class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string) {
    super(code);
    this.status = status;
    this.code = code;
  }
}

interface Fault {
  readonly pattern: RegExp;
  readonly status: number;
  readonly code: string;
  left: number;
}

/** @param account who asks; buckets of others are refused */
export async function startS3Server(account: string): Promise<S3Server> {
  const requests: string[] = [];
  const regions = new Set<string>();
  const faults: Fault[] = [];
  const buckets = new Map<string, Bucket>();
  const ids = { next: 1 };
  const server = createServer((request, response) => {
    void (async () => {
      const url = new URL(request.url ?? '/', 'http://s3');
      const [name = '', ...rest] = decodeURIComponent(url.pathname).slice(1).split('/');
      url.searchParams.delete('x-id');
      const query = [...url.searchParams.keys()].sort().join('&');
      const line = `${request.method ?? ''} ${[name, ...rest].join('/').replace(/\/$/, '')}${query === '' ? '' : `?${query}`}`;
      requests.push(line);
      const [, region] = /Credential=[^/]+\/\d+\/([^/]+)\//.exec(request.headers.authorization ?? '') ?? [];
      if (region !== undefined) regions.add(region);
      const body = await text(request);
      try {
        const fault = faults.find((each) => each.left > 0 && each.pattern.test(line));
        if (fault !== undefined) {
          fault.left -= 1;
          throw new Refusal(fault.status, fault.code);
        }
        answer({ request, response, url, name, key: rest.join('/'), body, buckets, account, ids });
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        response.statusCode = error.status;
        response.setHeader('content-type', 'application/xml');
        const xml = `<Error><Code>${error.code}</Code><Message>${error.code} said the server</Message></Error>`;
        response.end(request.method === 'HEAD' ? undefined : xml);
      }
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // a TCP server that listens has such an address
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    regions,
    buckets,
    fail: (pattern, status, code, times = 1) => void faults.push({ pattern, status, code, left: times }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly name: string;
  readonly key: string;
  readonly body: string;
  readonly buckets: Map<string, Bucket>;
  readonly account: string;
  readonly ids: { next: number };
}

function answer(call: Call): void {
  const { request, buckets, name, key, account } = call;
  const found = buckets.get(name);
  if (key === '' && request.method === 'PUT' && [...call.url.searchParams.keys()].length === 0) {
    if (found !== undefined)
      throw new Refusal(409, found.owner === account ? 'BucketAlreadyOwnedByYou' : 'BucketAlreadyExists');
    const location = /<LocationConstraint>([^<]+)/.exec(call.body)?.[1] ?? '';
    buckets.set(name, {
      owner: account,
      location,
      publicAccessBlock: undefined,
      encryption: undefined,
      versioning: undefined,
      versions: [],
    });
    call.response.end();
    return;
  }
  if (found === undefined) throw new Refusal(404, 'NoSuchBucket');
  const expected = request.headers['x-amz-expected-bucket-owner'];
  if (found.owner !== account || (expected !== undefined && expected !== found.owner))
    throw new Refusal(403, 'AccessDenied');
  if (key === '') answerBucket(call, found);
  else answerObject(call, found);
}

function answerBucket({ request, response, url, name, body, buckets, ids }: Call, bucket: Bucket): void {
  const method = request.method ?? '';
  const setting = (field: 'publicAccessBlock' | 'encryption', missing: string): void => {
    if (method === 'PUT') bucket[field] = body;
    else if (bucket[field] === undefined) throw new Refusal(404, missing);
    response.end(method === 'PUT' ? undefined : bucket[field]);
  };
  if (url.searchParams.has('publicAccessBlock')) setting('publicAccessBlock', 'NoSuchPublicAccessBlockConfiguration');
  else if (url.searchParams.has('encryption')) setting('encryption', 'ServerSideEncryptionConfigurationNotFoundError');
  else if (url.searchParams.has('versioning')) {
    if (method === 'PUT') bucket.versioning = /<Status>(\w+)/.exec(body)?.[1];
    const status = bucket.versioning === undefined ? '' : `<Status>${bucket.versioning}</Status>`;
    response.end(`<VersioningConfiguration>${status}</VersioningConfiguration>`);
  } else if (url.searchParams.has('versions')) response.end(listVersions(bucket));
  else if (url.searchParams.has('delete')) {
    for (const [, object = ''] of body.matchAll(/<Object>(.*?)<\/Object>/gs)) {
      const key = /<Key>([^<]+)/.exec(object)?.[1] ?? '';
      const version = /<VersionId>([^<]+)/.exec(object)?.[1];
      if (version !== undefined) bucket.versions = bucket.versions.filter((each) => each.id !== version);
      else if (bucket.versioning === 'Enabled') bucket.versions.push({ key, id: `v${ids.next++}`, body: undefined });
      else bucket.versions = bucket.versions.filter((each) => each.key !== key);
    }
    response.end('<DeleteResult></DeleteResult>');
  } else if (method === 'GET') {
    const contents = current(bucket).map(({ key }) => `<Contents><Key>${key}</Key></Contents>`);
    response.end(`<ListBucketResult>${contents.join('')}<IsTruncated>false</IsTruncated></ListBucketResult>`);
  } else if (method === 'DELETE') {
    if (bucket.versions.length > 0) throw new Refusal(409, 'BucketNotEmpty');
    buckets.delete(name);
    response.statusCode = 204;
    response.end();
  } else response.end();
}

function listVersions(bucket: Bucket): string {
  const latest = new Map(bucket.versions.map((version) => [version.key, version.id]));
  const entries = bucket.versions.map(({ key, id, body }) => {
    const kind = body === undefined ? 'DeleteMarker' : 'Version';
    return `<${kind}><Key>${key}</Key><VersionId>${id}</VersionId><IsLatest>${String(latest.get(key) === id)}</IsLatest></${kind}>`;
  });
  return `<ListVersionsResult>${entries.join('')}<IsTruncated>false</IsTruncated></ListVersionsResult>`;
}

function current(bucket: Bucket): readonly Version[] {
  const latest = new Map(bucket.versions.map((version) => [version.key, version]));
  return [...latest.values()].filter((version) => version.body !== undefined).sort((a, b) => (a.key < b.key ? -1 : 1));
}

function answerObject({ request, response, key, body, ids }: Call, bucket: Bucket): void {
  if (request.method === 'PUT') {
    if (bucket.versioning !== 'Enabled') bucket.versions = bucket.versions.filter((each) => each.key !== key);
    bucket.versions.push({ key, id: `v${ids.next++}`, body });
    response.end();
    return;
  }
  const object = current(bucket).find((each) => each.key === key);
  if (object === undefined) throw new Refusal(404, 'NoSuchKey');
  response.end(object.body);
}
