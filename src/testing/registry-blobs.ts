import type { Answer } from './answer.ts';
import { isDigest, type Digest } from '../model/digest.ts';
import { ociError } from './oci-error.ts';
import { existingRepository, type RegistryContext, type RepositoryHandler } from './registry-context.ts';

/** HEAD of a blob: known per repository only, even when another one holds the same bytes. */
export const headBlob: RepositoryHandler = async (context, _exchange, name, reference) => {
  const { digest, size } = findBlob(context, name, reference);
  return { status: 200, headers: { ...blobHeaders(digest), 'content-length': String(size), 'accept-ranges': 'bytes' } };
};

/** GET of a blob, whole or by range, or the redirect to where it is kept. */
export const getBlob: RepositoryHandler = async (context, exchange, name, reference) => {
  const { digest } = findBlob(context, name, reference);
  if (context.presign !== undefined) {
    return { status: 307, headers: { location: context.presign(name, digest), 'docker-content-digest': digest } };
  }
  return serveBlob(context, digest, exchange.headers.range, blobHeaders(digest));
};

export const deleteBlob: RepositoryHandler = async (context, _exchange, name, reference) => {
  if (context.manners === 'ecr') throw ociError(405, 'UNSUPPORTED', 'The operation is unsupported.');
  const { digest } = findBlob(context, name, reference);
  const repository = existingRepository(context, name);
  repository.blobs.delete(digest);
  context.state.save(repository);
  return { status: 202 };
};

function findBlob(context: RegistryContext, name: string, reference: string): { digest: Digest; size: number } {
  const unknown = (): Error => ociError(404, 'BLOB_UNKNOWN', 'blob unknown to registry', { digest: reference });
  const repository = existingRepository(context, name, unknown);
  if (!isDigest(reference)) throw ociError(400, 'DIGEST_INVALID', 'provided digest did not match uploaded content');
  const size = repository.blobs.has(reference) ? context.storage.size(reference) : undefined;
  if (size === undefined) throw unknown();
  return { digest: reference, size };
}

function blobHeaders(digest: Digest): Record<string, string> {
  return {
    'content-type': 'application/octet-stream',
    'docker-content-digest': digest,
    'docker-distribution-api-version': 'registry/2.0',
  };
}

/** RFC 9110 section 14: one range of bytes; anything else is answered with the whole. */
export function serveBlob(
  context: Pick<RegistryContext, 'storage'>,
  digest: Digest,
  range: string | undefined,
  headers: Record<string, string>,
): Answer {
  const size = context.storage.size(digest);
  if (size === undefined) throw ociError(404, 'BLOB_UNKNOWN', 'blob unknown to registry', { digest });
  const whole = { start: 0, end: size - 1 };
  const asked = parseRange(range, size);
  if (asked === 'unsatisfiable') return { status: 416, headers: { ...headers, 'content-range': `bytes */${size}` } };
  const { start, end } = asked ?? whole;
  const body = size === 0 ? '' : { size: end - start + 1, open: () => context.storage.open(digest, start, end) };
  if (asked === undefined) return { status: 200, headers: { ...headers, 'accept-ranges': 'bytes' }, body };
  return { status: 206, headers: { ...headers, 'content-range': `bytes ${start}-${end}/${size}` }, body };
}

function parseRange(
  header: string | undefined,
  size: number,
): { start: number; end: number } | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (match === null || (match[1] === '' && match[2] === '')) return undefined;
  const [first, last] = [match[1] ?? '', match[2] ?? ''];
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1);
  return start > end ? 'unsatisfiable' : { start, end };
}
