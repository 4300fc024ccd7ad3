import { finished } from 'node:stream/promises';
import type { Readable } from 'node:stream';
import { type Digest, digestAlgorithm } from '../model/digest.ts';
import { type ErrorCode, ReplicationError } from '../model/errors.ts';
import type { Descriptor } from '../model/manifest.ts';
import type { UploadSession, UploadStart } from '../model/store.ts';
import { type Words, wordsOf } from './answer-errors.ts';
import { withDigest } from './blobs.ts';
import type { RegistryClient, RegistryRequest } from './client.ts';
import { digestHeaderOf, headerOf } from './headers.ts';
import { follow } from './redirect.ts';

/** OCI distribution-spec v1.1 "Pushing blobs" (POST, then one PUT) and "Mounting a blob from another repository". */

/**
 * Whether a plain upload may still be allowed after a refused mount: registries without mounts, sources that we may not read,
 * and those that fail over the attempt. A rate limit is no refusal.
 */
function mountRefused(status: number): boolean {
  return status >= 400 && status !== 408 && status !== 429;
}

export async function startUpload(
  client: RegistryClient,
  repository: string,
  digest: Digest,
  from: string | undefined,
  signal: AbortSignal,
): Promise<UploadStart> {
  const redirected = client.redirectedUploads.take(repository, digest);
  if (redirected !== undefined) return { kind: 'upload', session: redirected };
  const request = postRequest(repository, digest, from, signal);
  const answer = await client.send(request);
  if (answer.status === 201 && from !== undefined) return { kind: 'mounted' };
  if (answer.status === 202 || (answer.status === 201 && headerOf(answer.headers, 'location') !== undefined)) {
    const location = locationOf(answer.url, headerOf(answer.headers, 'location'), client);
    return { kind: 'upload', session: { repository, location } };
  }
  if (from !== undefined && mountRefused(answer.status))
    return startUpload(client, repository, digest, undefined, signal);
  throw withDigest(client.fail(answer, request), digest);
}

function postRequest(
  repository: string,
  digest: Digest,
  from: string | undefined,
  signal: AbortSignal,
): RegistryRequest {
  const query = from === undefined ? '' : `?mount=${digest}&from=${encodeURIComponent(from)}`;
  return {
    method: 'POST',
    path: `/v2/${repository}/blobs/uploads/${query}`,
    repository,
    actions: 'pull,push',
    from,
    requestClass: 'upload-post',
    what: `starting upload of ${repository}@${digest}`,
    signal,
  };
}

/** The session's address: relative, absolute, with a query, or on another host; all are in use. */
export function locationOf(
  asked: URL,
  location: string | undefined,
  client: Pick<RegistryClient, 'transport'>,
): string {
  if (location !== undefined && URL.canParse(location, asked.href)) {
    const to = new URL(location, asked);
    // A registry behind a TLS-terminating proxy that does not know of it (X-Forwarded-Proto): its own host, with http.
    if (to.hostname === asked.hostname && to.protocol === 'http:' && asked.protocol === 'https:') {
      to.protocol = asked.protocol;
      to.host = asked.host;
      return follow(asked, to.href, client.transport.network).href;
    }
  }
  return follow(asked, location, client.transport.network).href;
}

/** Adds the digest to a session's address without touching what is there: its state is opaque, re-encoding breaks it. */
export function withDigestParameter(location: string, digest: Digest): URL {
  const [address = ''] = location.split('#');
  const separator = !address.includes('?') ? '?' : /[?&]$/.test(address) ? '' : '&';
  return new URL(`${address}${separator}digest=${digest}`);
}

/**
 * Sends the blob in one PUT. The body cannot be sent again, so nothing is repeated here: on failure the caller starts a new
 * session. Errors of the body itself are thrown as they are.
 */
export async function finishUpload(
  client: RegistryClient,
  session: UploadSession,
  descriptor: Descriptor,
  body: Readable | Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  const { digest } = descriptor;
  const stream = body instanceof Uint8Array ? undefined : body;
  // It may fail while we wait for our turn; that is noticed when it is sent.
  stream?.on('error', () => undefined);
  try {
    const request: RegistryRequest = {
      method: 'PUT',
      path: client.redirectedUploads.has(session)
        ? new URL(session.location)
        : withDigestParameter(session.location, digest),
      repository: session.repository,
      actions: 'pull,push',
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(descriptor.size) },
      requestClass: 'blob-put',
      what: `uploading ${session.repository}@${digest}`,
      body: stream !== undefined && descriptor.size === 0 ? await nothing(stream) : body,
      once: true,
      signal,
    };
    const answer = await client.send(request);
    if (answer.status < 200 || answer.status > 299) {
      const words = wordsOf(answer, client.transport.mask);
      // https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CompleteLayerUpload.html: what we want is there.
      if (answer.status >= 400 && answer.status < 500 && /LayerAlreadyExists/i.test(words.text)) return;
      if (stream !== undefined && (answer.status === 307 || answer.status === 308)) {
        const location = locationOf(answer.url, headerOf(answer.headers, 'location'), client);
        client.redirectedUploads.keep(digest, { repository: session.repository, location });
        throw withDigest(client.fail(answer, request, 'unavailable'), digest);
      }
      throw withDigest(client.fail(answer, request, refusal(answer.status, words, descriptor)), digest);
    }
    checkStored(client, session.repository, digest, digestHeaderOf(answer.headers));
  } catch (error) {
    throw isWrongLength(error) ? wrongLength(client, session, descriptor, error) : error;
  } finally {
    if (stream?.destroyed === false) stream.destroy();
  }
}

/** undici counts what it sends against Content-Length, and breaks off. */
function isWrongLength(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH';
}

function wrongLength(
  client: RegistryClient,
  session: UploadSession,
  { digest, size }: Descriptor,
  cause: unknown,
): ReplicationError {
  return new ReplicationError('corrupt', `the content of ${session.repository}@${digest} is not ${size} bytes long`, {
    host: client.host,
    reference: `${client.host}/${session.repository}@${digest}`,
    digest,
    cause,
  });
}

/** An empty blob: undici wants no stream for it. Waits for the end, so that the stream's own check takes place. */
async function nothing(stream: Readable): Promise<Uint8Array> {
  stream.resume();
  await finished(stream, { writable: false });
  return new Uint8Array(0);
}

/** What a refused upload means; `undefined`: what its status says. */
function refusal(status: number, words: Words, { digest, size }: Descriptor): ErrorCode | undefined {
  const has = (...codes: readonly string[]): boolean => words.codes.some((code) => codes.includes(code));
  if (status === 401 || status === 403 || status === 429) return undefined;
  // A proxy's limit on request bodies (nginx: client_max_body_size) is the same for every try.
  if (status === 413) return 'unsupported';
  // ECR: "… cannot be completed because it does not have any parts": it takes no empty blobs (devcontainers/cli#814).
  if (size === 0 && /EmptyUpload|not have any parts/i.test(words.text)) return 'unsupported';
  if (has('DIGEST_INVALID') || /digest/i.test(words.text)) {
    const known = digestAlgorithm(digest) === 'sha256' && !/unsupported/i.test(words.text);
    return known ? 'corrupt' : 'unsupported';
  }
  // The session is gone or spoilt (ECR: 416 "First byte of the layer part is 0 instead of N", apple/containerization#790): a new one may work.
  if (status === 404 || status === 416 || has('BLOB_UPLOAD_UNKNOWN', 'BLOB_UPLOAD_INVALID')) return 'unavailable';
  // https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CompleteLayerUpload.html
  if (/(?:UploadNotFound|InvalidLayerPart|InvalidLayer|EmptyUpload|LayerPartTooSmall)/.test(words.text))
    return 'unavailable';
  return undefined;
}

function checkStored(client: RegistryClient, repository: string, digest: Digest, stored: Digest | undefined): void {
  if (stored === undefined || stored === digest || digestAlgorithm(stored) !== digestAlgorithm(digest)) return;
  throw new ReplicationError('corrupt', `${client.host}/${repository}: stored ${stored} instead of ${digest}`, {
    host: client.host,
    reference: `${client.host}/${repository}@${digest}`,
    digest,
  });
}
