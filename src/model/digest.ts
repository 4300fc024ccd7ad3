import { createHash, type Hash } from 'node:crypto';
import { ReplicationError } from './errors.ts';

declare const digestBrand: unique symbol;
/**
 * A content digest such as `sha256:<64 hex>`.
 * OCI image-spec v1.1 descriptor.md, section "Digests": registered algorithms are sha256 and sha512.
 */
export type Digest = string & { readonly [digestBrand]: true };
export type DigestAlgorithm = 'sha256' | 'sha512';

const pattern = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/;

/** Whether it is a sha256 or sha512 digest in lower-case hex (OCI image specification, "Digests"). */
export function isDigest(text: string): text is Digest {
  return pattern.test(text);
}

/** @throws ReplicationError `corrupt` if the text is no sha256 or sha512 digest in lower-case hex. */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new ReplicationError('corrupt', `"${text}" is not a digest (expected sha256:<64 hex> or sha512:<128 hex>)`);
}

export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** The hex part, without the algorithm. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** A hash of the digest's own algorithm, to verify content while it passes. */
export function hashFor(digest: Digest): Hash {
  return createHash(digestAlgorithm(digest));
}

/** The digest of these bytes; a text counts as UTF-8. */
export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return parseDigest(`${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`);
}
