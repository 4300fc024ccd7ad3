import { type Digest, digestAlgorithm, digestOf, isDigest } from '../model/digest.ts';
import { type ErrorCode, isReplicationError, ReplicationError } from '../model/errors.ts';
import {
  type Descriptor,
  type Manifest,
  type ManifestContent,
  maxManifestBytes,
  parseManifest,
} from '../model/manifest.ts';
import { isImageManifestType, isIndexType, isSchema1Type, manifestAccept, mediaTypes } from '../model/media-types.ts';
import { type Words, wordsOf } from './answer-errors.ts';
import type { RegistryClient, RegistryRequest } from './client.ts';
import type { Answer } from './exchange.ts';
import { digestHeaderOf, encodingOf, headerOf, lengthOf, mediaTypeOf } from './headers.ts';

/** OCI distribution-spec v1.1 "Pulling manifests" and "Pushing Manifests", one registry. */

/** A refusal of HEAD has no body; GET says why, or works (405 in front of some registries). After others it would not. */
const headRefusals = new Set([400, 401, 403, 405, 406, 501]);

/** Type, digest and size by HEAD; by GET where HEAD says too little. */
export async function resolveManifest(
  client: RegistryClient,
  repository: string,
  reference: string,
  signal: AbortSignal,
): Promise<Descriptor> {
  const request = manifestRequest('HEAD', repository, reference, signal);
  const answer = await client.send(request);
  if (answer.status === 200) {
    const digest = digestHeaderOf(answer.headers) ?? (isDigest(reference) ? reference : undefined);
    const size = encodingOf(answer.headers) === undefined ? lengthOf(answer.headers) : undefined;
    const mediaType = mediaTypeOf(answer.headers);
    // ECR's HEAD had no Docker-Content-Digest once, and proxies drop Content-Length: then the bytes tell.
    if (digest !== undefined && size !== undefined && mediaType !== undefined && isManifestType(mediaType)) {
      if (isDigest(reference) && sameAlgorithm(digest, reference) && digest !== reference) throw mismatch(client, repository, reference, digest); // prettier-ignore
      return { mediaType, digest: isDigest(reference) ? reference : digest, size };
    }
  } else if (!headRefusals.has(answer.status)) {
    throw client.fail(answer, request);
  }
  return (await readManifest(client, repository, reference, signal)).descriptor;
}

/** How often a manifest is read whose bytes are not what was asked for: a proxy or a mirror may have spoilt one answer. */
const readingTries = 3;

/** The manifest's bytes, verified. @throws `corrupt` when they are still not what was asked for or announced */
export async function readManifest(
  client: RegistryClient,
  repository: string,
  reference: string,
  signal: AbortSignal,
): Promise<ManifestContent> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await readOnce(client, repository, reference, signal);
    } catch (error) {
      if (!isReplicationError(error, 'corrupt') || error.final || attempt >= readingTries) throw error;
    }
  }
}

async function readOnce(
  client: RegistryClient,
  repository: string,
  reference: string,
  signal: AbortSignal,
): Promise<ManifestContent> {
  const request = manifestRequest('GET', repository, reference, signal);
  const answer = await client.send(request);
  if (answer.status !== 200) throw client.fail(answer, request);
  if (answer.cut) {
    throw new ReplicationError(
      'corrupt',
      `${request.what} at ${client.host} is larger than ${maxManifestBytes} bytes`,
      {
        host: client.host,
        reference: nameOf(client, repository, reference),
        remedy: 'check that it is an image: registries take no manifests as large',
        final: true,
      },
    );
  }
  const { bytes } = answer;
  const expected = isDigest(reference) ? reference : digestHeaderOf(answer.headers);
  const digest = digestOf(bytes, expected === undefined ? 'sha256' : digestAlgorithm(expected));
  if (expected !== undefined && digest !== expected) throw mismatch(client, repository, expected, digest);
  return { descriptor: { mediaType: typeOf(answer), digest, size: bytes.length }, bytes };
}

/** How often a manifest is sent of which the registry got other bytes: a proxy may have spoilt them on the way. */
const writingTries = 3;

interface Written {
  /** The registry says that it keeps the manifest as a referrer of its subject (OCI-Subject). */
  readonly subjectKept: boolean;
}

/**
 * Writes a manifest under a tag or digest. Safe to repeat: the same bytes under the same name. A tag that was given to other
 * bytes on the way is so given back.
 * @throws `corrupt` when the registry still got something else
 */
export async function writeManifest(
  client: RegistryClient,
  repository: string,
  reference: string,
  content: ManifestContent,
  signal: AbortSignal,
): Promise<Written> {
  let spoilt: ReplicationError | undefined;
  for (let attempt = 1; ; attempt += 1) {
    const written = await writeOnce(client, repository, reference, content, signal).catch((error: unknown) => {
      // An immutable tag keeps what was spoilt: that is what went wrong.
      throw spoilt !== undefined && isReplicationError(error, 'conflict') ? spoilt : error;
    });
    if (!(written instanceof ReplicationError)) return written;
    if (attempt >= writingTries) throw written;
    spoilt = written;
  }
}

/** @returns an error where the registry got other bytes than were sent */
async function writeOnce(
  client: RegistryClient,
  repository: string,
  reference: string,
  content: ManifestContent,
  signal: AbortSignal,
): Promise<Written | ReplicationError> {
  const { digest, mediaType } = content.descriptor;
  // A registry computes sha256 unless it is told otherwise (OCI distribution-spec "Pushing Manifests").
  const told = !isDigest(reference) && digestAlgorithm(digest) !== 'sha256' ? `?digest=${digest}` : '';
  const request: RegistryRequest = {
    method: 'PUT',
    path: `/v2/${repository}/manifests/${reference}${told}`,
    repository,
    actions: 'pull,push',
    headers: { 'content-type': mediaType },
    requestClass: 'manifest-put',
    what: `writing manifest ${repository}${isDigest(reference) ? '@' : ':'}${reference}`,
    body: content.bytes,
    signal,
  };
  const answer = await client.send(request);
  if (answer.status < 200 || answer.status > 299) {
    const words = wordsOf(answer, client.transport.mask);
    const code = writeRefusal(answer.status, words, digest);
    const refusal = client.fail(answer, request, code).with({
      reference: nameOf(client, repository, reference),
      digest,
    });
    if (code === 'corrupt' && gotOtherBytes(words)) return refusal;
    throw refusal;
  }
  const stored = digestHeaderOf(answer.headers);
  if (stored !== undefined && sameAlgorithm(stored, digest) && stored !== digest)
    return mismatch(client, repository, digest, stored);
  return { subjectKept: headerOf(answer.headers, 'oci-subject') !== undefined };
}

/** ECR says MANIFEST_INVALID "… does not match the image digest that Amazon ECR has calculated" (go-containerregistry#1568). */
function gotOtherBytes({ codes, text }: Words): boolean {
  return codes.includes('DIGEST_INVALID') || /does not match the image digest/i.test(text);
}

function manifestRequest(
  method: 'GET' | 'HEAD',
  repository: string,
  reference: string,
  signal: AbortSignal,
): RegistryRequest {
  return {
    method,
    path: `/v2/${repository}/manifests/${reference}`,
    repository,
    actions: 'pull',
    headers: { accept: manifestAccept.join(', ') },
    requestClass: method === 'HEAD' ? 'head' : 'get',
    what: `manifest ${repository}${isDigest(reference) ? '@' : ':'}${reference}`,
    limit: maxManifestBytes,
    signal,
  };
}

/** What a refused manifest PUT means; `undefined`: what its status says. */
function writeRefusal(status: number, words: Words, digest: Digest): ErrorCode | undefined {
  const { codes, text } = words;
  const said = (pattern: RegExp): boolean => pattern.test(text);
  // ECR: 400 TAG_INVALID "… cannot be overwritten because the repository is immutable" (moby/buildkit#3776); Harbor: 412.
  // ECR's ImageAlreadyExists ("… already exists in the repository …") is none where it is the same digest: the writer looks.
  if (said(/immutable|cannot be overwritten|(?:Image|ImageTag)AlreadyExists/i) || status === 409) return 'conflict';
  if (codes.some((code) => code === 'MANIFEST_BLOB_UNKNOWN' || code === 'BLOB_UNKNOWN' || code === 'MANIFEST_UNKNOWN'))
    return 'blob-unknown';
  // ECR: "Images with digests '[…]' required for pushing image into repository … do not exist" (docker-manifest-create-action#63).
  if (said(/LayersNotFound|required for pushing image|layers? .*(?:not found|not exist)/i)) return 'blob-unknown';
  if (status === 401 || status === 403 || status === 404 || status === 429 || status >= 500) return undefined;
  if (status === 405 || status === 413 || status === 415 || codes.includes('UNSUPPORTED')) return 'unsupported';
  if (codes.includes('TAG_INVALID')) return 'unsupported';
  if (said(/unsupported|not supported|media ?type|artifact ?type/i)) return 'unsupported';
  if (codes.includes('DIGEST_INVALID') && digestAlgorithm(digest) !== 'sha256') return 'unsupported';
  return 'corrupt';
}

/** `parseManifest` whose errors name the host. @throws `unsupported`, `corrupt` */
export function parseFrom(client: RegistryClient, what: string, bytes: Uint8Array, mediaType: string): Manifest {
  try {
    return parseManifest(bytes, mediaType);
  } catch (error) {
    if (!isReplicationError(error)) throw error;
    const remedy = `have it pushed to ${client.host} anew, or check that no proxy answers in its place`;
    const named = new ReplicationError(error.code, `${client.host}: ${what}: ${error.message}`, { cause: error.cause });
    throw named.with(error).with({ host: client.host, remedy });
  }
}

/** The type that the answer is served with, or that the document says where the answer says nothing. */
function typeOf(answer: Answer): string {
  const served = mediaTypeOf(answer.headers);
  if (served !== undefined && isManifestType(served)) return served;
  let json: unknown;
  try {
    json = JSON.parse(answer.bytes.toString('utf8'));
  } catch {
    return served ?? 'application/octet-stream';
  }
  if (typeof json !== 'object' || json === null) return served ?? 'application/octet-stream';
  if ('mediaType' in json && typeof json.mediaType === 'string') return json.mediaType;
  if ('schemaVersion' in json && json.schemaVersion === 1) return mediaTypes.dockerSchema1Signed;
  return 'manifests' in json ? mediaTypes.ociIndex : mediaTypes.ociManifest;
}

/** Whether a media type says something: generic ones (application/json, text/plain, octet-stream) come from misled servers. */
function isManifestType(mediaType: string): boolean {
  return (
    isIndexType(mediaType) ||
    isImageManifestType(mediaType) ||
    isSchema1Type(mediaType) ||
    mediaType.startsWith('application/vnd.')
  );
}

function sameAlgorithm(a: Digest, b: Digest): boolean {
  return digestAlgorithm(a) === digestAlgorithm(b);
}

function nameOf(client: RegistryClient, repository: string, reference: string): string {
  return `${client.host}/${repository}${isDigest(reference) ? '@' : ':'}${reference}`;
}

function mismatch(client: RegistryClient, repository: string, expected: Digest, actual: Digest): ReplicationError {
  return new ReplicationError(
    'corrupt',
    `${client.host}/${repository}: the manifest is ${actual}, expected ${expected}`,
    {
      host: client.host,
      reference: `${client.host}/${repository}@${expected}`,
      digest: expected,
      remedy: `run again; if it stays, have it pushed to ${client.host} anew, or look for a proxy that changes answers`,
    },
  );
}
