import type { Readable } from 'node:stream';
import type { Digest } from '../model/digest.ts';
import { ReplicationError } from '../model/errors.ts';
import type { Descriptor } from '../model/manifest.ts';
import type { OpenBlobOptions } from '../model/store.ts';
import type { RegistryClient, RegistryRequest } from './client.ts';
import { decodedStream } from './encoding.ts';
import type { Answer } from './exchange.ts';
import { encodingOf, headerOf, lengthOf } from './headers.ts';

/** OCI distribution-spec v1.1 "Pulling blobs" and "Checking if content exists in the registry". */

/**
 * Opens a blob, or a part of it. The stream ends after exactly the bytes that were asked for, or fails: `unreachable` when
 * the connection breaks, `corrupt` when the registry sends another length.
 */
export async function openBlob(
  client: RegistryClient,
  repository: string,
  descriptor: Descriptor,
  { signal, range }: OpenBlobOptions,
): Promise<Readable> {
  const expected = range === undefined ? descriptor.size : range.end - range.start + 1;
  const request: RegistryRequest = {
    ...blobRequest('GET', repository, descriptor.digest, signal),
    ...(range === undefined ? {} : { headers: { range: `bytes=${range.start}-${range.end}` } }),
    stream: { expected },
  };
  const answer = await client.send(request);
  const { stream } = answer;
  if (stream === undefined) throw withDigest(client.fail(answer, request), descriptor.digest);
  const problem =
    range === undefined ? checkWhole(answer, descriptor) : checkPart(answer, range.start, range.end, descriptor.size);
  const wrong = ({ code, why }: Problem, cause?: unknown): ReplicationError =>
    new ReplicationError(code, `${client.host} ${why} (${request.what})`, {
      host: client.host,
      reference: `${client.host}/${repository}@${descriptor.digest}`,
      status: answer.status,
      digest: descriptor.digest,
      remedy: 'run again; if it stays, the blob is damaged at its source or a proxy on the way changes it',
      cause,
    });
  if (problem !== undefined) {
    stream.destroy();
    throw wrong(problem);
  }
  return asItWas(stream, answer, descriptor, (cause) => wrong({ code: 'corrupt', why: 'sends what is not encoded as it says' }, cause)); // prettier-ignore
}

interface Problem {
  readonly code: 'corrupt' | 'unsupported';
  readonly why: string;
}

function checkWhole(answer: Answer, descriptor: Descriptor): Problem | undefined {
  const length = lengthOf(answer.headers);
  if (length === undefined || length === descriptor.size || encodingOf(answer.headers) !== undefined) return undefined;
  return { code: 'corrupt', why: `offers ${length} bytes, expected ${descriptor.size}` };
}

/**
 * A body of another length that says how it is encoded is decoded; one of the right length is the blob, whatever is said of
 * it: stores call layers "gzip" that are files of that kind.
 */
function asItWas(
  stream: Readable,
  answer: Answer,
  descriptor: Descriptor,
  broken: (cause: unknown) => Error,
): Readable {
  const encoding = encodingOf(answer.headers);
  if (encoding === undefined || answer.status === 206 || lengthOf(answer.headers) === descriptor.size) return stream;
  return decodedStream(stream, encoding, broken) ?? stream;
}

/** RFC 9110 section 14.4: a 200 means that ranges are not supported. */
function checkPart(answer: Answer, start: number, end: number, size: number): Problem | undefined {
  if (answer.status !== 206) return { code: 'unsupported', why: 'does not send parts of blobs' };
  const found = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headerOf(answer.headers, 'content-range') ?? '');
  if (found === null || Number(found[1]) !== start || Number(found[2]) !== end)
    return { code: 'unsupported', why: `sends another part than bytes ${start}-${end}` };
  if (encodingOf(answer.headers) !== undefined && lengthOf(answer.headers) !== end - start + 1)
    return { code: 'unsupported', why: 'sends parts of an encoded blob' };
  if (found[3] !== '*' && Number(found[3]) !== size)
    return { code: 'corrupt', why: `has a blob of ${found[3] ?? ''} bytes, expected ${size}` };
  return undefined;
}

/** Those digests that the repository does not hold, asked one by one. */
export async function missingByHead(
  client: RegistryClient,
  repository: string,
  digests: readonly Digest[],
  signal: AbortSignal,
): Promise<ReadonlySet<Digest>> {
  const missing = new Set<Digest>();
  // All at once: the transport lets so many go as the host may be asked.
  await Promise.all(
    digests.map(async (digest) => {
      if (!(await holds(client, repository, digest, signal))) missing.add(digest);
    }),
  );
  return missing;
}

async function holds(
  client: RegistryClient,
  repository: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<boolean> {
  // A registry that would send us to its storage has the blob; storage itself often refuses HEAD.
  const head: RegistryRequest = { ...blobRequest('HEAD', repository, digest, signal), redirects: false };
  const answer = await client.send(head);
  if (answer.status === 200 || (answer.status >= 300 && answer.status < 400)) return true;
  if (answer.status === 404) return false;
  // public.ecr.aws answers 401 to HEAD of a blob whatever the token (distribution#4383), others 405.
  if (answer.status !== 401 && answer.status !== 403 && answer.status !== 405)
    throw withDigest(client.fail(answer, head), digest);
  const get: RegistryRequest = {
    ...blobRequest('GET', repository, digest, signal),
    headers: { range: 'bytes=0-0' },
    redirects: false,
    stream: {},
  };
  const part = await client.send(get);
  part.stream?.destroy();
  if (part.stream !== undefined || (part.status >= 300 && part.status < 400) || part.status === 416) return true;
  if (part.status === 404) return false;
  throw withDigest(client.fail(part, get), digest);
}

function blobRequest(method: 'GET' | 'HEAD', repository: string, digest: Digest, signal: AbortSignal): RegistryRequest {
  return {
    method,
    path: `/v2/${repository}/blobs/${digest}`,
    repository,
    actions: method === 'HEAD' ? 'pull,push' : 'pull',
    requestClass: method === 'HEAD' ? 'head' : 'blob-get',
    what: `blob ${repository}@${digest}`,
    signal,
  };
}

export function withDigest(error: ReplicationError, digest: Digest): ReplicationError {
  return error.with({ digest });
}
