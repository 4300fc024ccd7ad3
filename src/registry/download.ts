import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { CredentialSource } from '../model/credentials.ts';
import { isReplicationError, ReplicationError } from '../model/errors.ts';
import { mayBePlain, printable } from './addresses.ts';
import { errorFor } from './answer-errors.ts';
import { parseChallenges } from './challenge.ts';
import type { Answer } from './exchange.ts';
import { lengthOf } from './headers.ts';
import { follow, isRedirect, maxRedirects } from './redirect.ts';
import { basic } from './tokens.ts';
import type { Transport } from './transport.ts';

/** Files from plain web servers: chart repositories, helm archives. */
export interface HttpDownloads {
  /** A file into memory. @throws `corrupt` when it is longer than `maxBytes`; `not-found`, `unauthorized`, … */
  getBytes(
    url: string,
    options: { readonly maxBytes: number; readonly signal: AbortSignal; readonly accept?: string | undefined },
  ): Promise<{ readonly bytes: Uint8Array; readonly finalUrl: string }>;
  /** A file onto disk. Nothing is left there when it fails. @returns its size in bytes and its SHA-256 in hex */
  getToFile(
    url: string,
    path: string,
    options: {
      readonly maxBytes: number;
      readonly signal: AbortSignal;
      readonly onProgress?: ((bytes: number) => void) | undefined;
    },
  ): Promise<{ readonly size: number; readonly sha256: string; readonly finalUrl: string }>;
}

/** How often a file is begun. */
const fileTries = 3;

interface Wanted {
  readonly url: URL;
  readonly accept: string;
  readonly limit: number;
  readonly signal: AbortSignal;
  readonly stream: boolean;
}

/**
 * GET with redirects. Credentials are asked for by the URL's host, only after that host has answered 401, and sent to its origin
 * only (helm does the same unless told --pass-credentials: pkg/getter/httpgetter.go).
 */
export function httpDownloads(transport: Transport, credentials: CredentialSource): HttpDownloads {
  const origins = new Map<string, string>();
  const get = (wanted: Wanted): Promise<Answer> => getFollowing(transport, credentials, origins, wanted);
  return {
    async getBytes(address, { maxBytes, signal, accept = '*/*' }) {
      const url = checked(address, transport);
      const answer = await get({ url, accept, limit: maxBytes, signal, stream: false });
      if (answer.status !== 200) throw failed(answer, url, transport);
      if (answer.cut) throw tooLong(answer.url, maxBytes);
      return { bytes: answer.bytes, finalUrl: answer.url.href };
    },
    async getToFile(address, path, { maxBytes, signal, onProgress }) {
      const url = checked(address, transport);
      for (let tries = 1; ; tries += 1) {
        const answer = await get({ url, accept: '*/*', limit: 64 * 1024, signal, stream: true });
        const body = bodyOf(answer, url, maxBytes, transport);
        try {
          const written = await writeTo(path, body, answer.url, { maxBytes, signal, onProgress });
          return { ...written, finalUrl: answer.url.href };
        } catch (error) {
          // The file starts over where a connection broke in the middle.
          if (!isReplicationError(error, 'unreachable') || tries >= fileTries) throw error;
        }
      }
    },
  };
}

function bodyOf(answer: Answer, url: URL, maxBytes: number, transport: Transport): Readable {
  const { stream } = answer;
  if (stream === undefined || answer.status !== 200) {
    stream?.destroy();
    throw failed(answer, url, transport);
  }
  if ((lengthOf(answer.headers) ?? 0) <= maxBytes) return stream;
  stream.destroy();
  throw tooLong(answer.url, maxBytes);
}

function checked(address: string, transport: Transport): URL {
  if (!URL.canParse(address)) throw new ReplicationError('configuration', `"${address}" is no address`);
  const url = new URL(address);
  if (url.username !== '' || url.password !== '') {
    throw new ReplicationError('configuration', `the address of ${printable(url)} carries credentials`, {
      host: url.host,
      remedy: 'put user and password into a secret, not into the address',
    });
  }
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && mayBePlain(url, transport.network))) {
    throw new ReplicationError('refused', `${printable(url)} is not https, which is needed beside loopback hosts`, {
      host: url.host,
      remedy: `use https, or name ${url.host} as insecure host`,
    });
  }
  return url;
}

async function getFollowing(
  transport: Transport,
  credentials: CredentialSource,
  origins: Map<string, string>,
  wanted: Wanted,
): Promise<Answer> {
  let url = wanted.url;
  for (let hops = 0; hops <= maxRedirects; hops += 1) {
    // Credentials belong to the host that the user named, not to wherever it sends us.
    const own = url.origin === wanted.url.origin;
    const used = own ? origins.get(url.origin) : undefined;
    let answer = await getOnce(transport, url, wanted, used);
    if (own && answer.status === 401 && mayUseBasic(answer)) {
      const header = await credentialHeader(transport, credentials, url.host, used !== undefined);
      if (header !== undefined && header !== used) {
        origins.set(url.origin, header);
        answer = await getOnce(transport, url, wanted, header);
      }
    }
    if (!isRedirect(answer.status)) return answer;
    url = follow(url, answer.headers.location, transport.network);
  }
  throw new ReplicationError('refused', `${wanted.url.host} sent us on more than ${maxRedirects} times`, {
    host: wanted.url.host,
    reference: printable(wanted.url),
  });
}

function getOnce(transport: Transport, url: URL, wanted: Wanted, authorization: string | undefined): Promise<Answer> {
  return transport.send({
    url,
    method: 'GET',
    headers: { accept: wanted.accept, ...(authorization === undefined ? {} : { authorization }) },
    requestClass: wanted.stream ? 'blob-get' : 'get',
    what: printable(url),
    repeat: 'safe',
    limit: wanted.limit,
    stream: wanted.stream ? {} : undefined,
    signal: wanted.signal,
  });
}

/** Basic was asked for, or nothing in particular (some servers send 401 without a challenge). */
function mayUseBasic(answer: Answer): boolean {
  const challenges = parseChallenges(answer.headers['www-authenticate']);
  return challenges.length === 0 || challenges.some(({ scheme }) => scheme === 'basic');
}

async function credentialHeader(
  transport: Transport,
  credentials: CredentialSource,
  host: string,
  rejected: boolean,
): Promise<string | undefined> {
  const credential = await credentials.credentialFor(host, { rejected });
  if (credential?.kind !== 'basic') return undefined;
  transport.mask.addBasic(credential.username, credential.password);
  return basic(credential);
}

async function writeTo(
  path: string,
  body: Readable,
  url: URL,
  options: { maxBytes: number; signal: AbortSignal; onProgress: ((bytes: number) => void) | undefined },
): Promise<{ size: number; sha256: string }> {
  const hash = createHash('sha256');
  let size = 0;
  const verify = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      size += chunk.length;
      if (size > options.maxBytes) throw tooLong(url, options.maxBytes);
      hash.update(chunk);
      options.onProgress?.(size);
      yield chunk;
    }
  };
  try {
    await pipeline(body, verify, createWriteStream(path), { signal: options.signal });
  } catch (error) {
    await rm(path, { force: true }).catch(() => undefined);
    throw isReplicationError(error) || options.signal.aborted
      ? asStopped(error, options.signal)
      : cannotWrite(path, error);
  }
  return { size, sha256: hash.digest('hex') };
}

function asStopped(error: unknown, signal: AbortSignal): ReplicationError {
  if (isReplicationError(error)) return error;
  const reason: unknown = signal.reason;
  return isReplicationError(reason) ? reason : new ReplicationError('cancelled', 'told to stop', { cause: error });
}

function cannotWrite(path: string, error: unknown): ReplicationError {
  const why = error instanceof Error ? error.message : String(error);
  return new ReplicationError('storage', `cannot write ${path}: ${why}`, {
    reference: path,
    remedy: 'check free space and permissions of the folder',
    cause: error,
  });
}

function tooLong(url: URL, maxBytes: number): ReplicationError {
  return new ReplicationError('corrupt', `${printable(url)} is longer than ${maxBytes} bytes`, {
    host: url.host,
    reference: printable(url),
  });
}

function failed(answer: Answer, url: URL, transport: Transport): ReplicationError {
  const reference = printable(url);
  return errorFor(answer, { what: `GET ${reference}`, host: url.host, reference, mask: transport.mask });
}
