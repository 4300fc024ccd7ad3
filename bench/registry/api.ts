import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { Agent, type Dispatcher } from 'undici';
import { type Digest, parseDigest } from '../../src/model/digest.ts';
import { ReplicationError } from '../../src/model/errors.ts';
import { mediaTypes } from '../../src/model/media-types.ts';
import type { BlobFacts, ManifestFacts } from '../corpus/image.ts';

/**
 * What filling and verifying need of a registry (OCI distribution-spec v1.1), plainly and on its own: a check of the
 * program must not use the program's client. Nothing is repeated; anything unexpected is thrown.
 */
export interface RegistryApi {
  putBlob(repository: string, content: AsyncIterable<Buffer>, size: number): Promise<BlobFacts>;
  mountBlob(repository: string, digest: Digest, from: string): Promise<void>;
  putManifest(repository: string, reference: string, manifest: ManifestFacts): Promise<void>;
  /** The manifest's bytes; `undefined` when it is not there. */
  manifest(repository: string, reference: string): Promise<Buffer | undefined>;
  /** Size of the blob; `undefined` when it is not there. */
  blobSize(repository: string, digest: Digest): Promise<number | undefined>;
  /** Digest of the bytes that the registry really gives; `undefined` when it is not there. */
  blobDigest(repository: string, digest: Digest): Promise<Digest | undefined>;
  /** Whether the registry answers. */
  answers(): Promise<boolean>;
  close(): Promise<void>;
}

const manifestTypes = [mediaTypes.ociIndex, mediaTypes.ociManifest].join(', ');

/** @param host `127.0.0.1:PORT` */
export function registryApi(host: string, signal: AbortSignal): RegistryApi {
  const agent = new Agent({ connections: 8 });
  const origin = `http://${host}`;

  const send = async (
    method: Dispatcher.HttpMethod,
    path: string,
    expected: readonly number[],
    rest: { readonly headers?: Record<string, string>; readonly body?: Readable | Buffer } = {},
  ): Promise<Dispatcher.ResponseData> => {
    const url = new URL(path, origin);
    const answer = await agent.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method,
      signal,
      ...rest,
    });
    if (expected.includes(answer.statusCode)) return answer;
    const said = (await answer.body.text()).slice(0, 300);
    throw new ReplicationError('corrupt', `${method} ${url.href} was answered ${answer.statusCode}: ${said}`, { host });
  };
  /** For answers whose body says nothing: reads it, so that the connection can be used again. */
  const done = async (answer: Dispatcher.ResponseData): Promise<Dispatcher.ResponseData> => {
    await answer.body.dump();
    return answer;
  };
  const locationOf = (answer: Dispatcher.ResponseData): string => {
    const location = answer.headers['location'];
    if (typeof location === 'string') return location;
    throw new ReplicationError('corrupt', 'an upload was answered without a location', { host });
  };

  return {
    async putBlob(repository, content, size) {
      const hash = createHash('sha256');
      const start = await done(await send('POST', `/v2/${repository}/blobs/uploads/`, [202]));
      // The digest is known only when all is sent: PATCH first, and PUT with the digest at the end.
      const sent = await done(
        await send('PATCH', locationOf(start), [202], {
          headers: { 'content-length': String(size), 'content-type': 'application/octet-stream' },
          body: Readable.from(hashed(content, hash), { objectMode: false }),
        }),
      );
      const digest = parseDigest(`sha256:${hash.digest('hex')}`);
      const finish = new URL(locationOf(sent), origin);
      finish.searchParams.set('digest', digest);
      await done(await send('PUT', finish.href, [201], { headers: { 'content-length': '0' } }));
      return { digest, size };
    },
    async mountBlob(repository, digest, from) {
      await done(await send('POST', `/v2/${repository}/blobs/uploads/?mount=${digest}&from=${from}`, [201]));
    },
    async putManifest(repository, reference, { mediaType, bytes }) {
      const headers = { 'content-type': mediaType };
      await done(await send('PUT', `/v2/${repository}/manifests/${reference}`, [201], { headers, body: bytes }));
    },
    async manifest(repository, reference) {
      const headers = { accept: manifestTypes };
      const answer = await send('GET', `/v2/${repository}/manifests/${reference}`, [200, 404], { headers });
      const bytes = Buffer.from(await answer.body.arrayBuffer());
      return answer.statusCode === 404 ? undefined : bytes;
    },
    async blobSize(repository, digest) {
      const answer = await done(await send('HEAD', `/v2/${repository}/blobs/${digest}`, [200, 404]));
      return answer.statusCode === 404 ? undefined : Number(answer.headers['content-length']);
    },
    async blobDigest(repository, digest) {
      const answer = await send('GET', `/v2/${repository}/blobs/${digest}`, [200, 404]);
      if (answer.statusCode === 404) return (await done(answer), undefined);
      const hash = createHash('sha256');
      for await (const chunk of answer.body) hash.update(chunk as Buffer);
      return parseDigest(`sha256:${hash.digest('hex')}`);
    },
    async answers() {
      return send('GET', '/v2/', [200])
        .then(done)
        .then(
          () => true,
          () => false,
        );
    },
    close: () => agent.close(),
  };
}

async function* hashed(
  content: AsyncIterable<Buffer>,
  hash: { update: (bytes: Buffer) => unknown },
): AsyncGenerator<Buffer> {
  for await (const chunk of content) {
    hash.update(chunk);
    yield chunk;
  }
}
