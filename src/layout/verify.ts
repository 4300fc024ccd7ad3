import { digestAlgorithm, digestHex, hashFor, isDigest } from '../model/digest.ts';
import { ReplicationError } from '../model/errors.ts';
import { type Descriptor, type ManifestContent, maxManifestBytes } from '../model/manifest.ts';

/**
 * Passes a blob's bytes on and ends with `corrupt` when size or digest are not the descriptor's. Stores use it before they
 * commit: whoever feeds them checks too, but a store must not depend on it.
 */
export function verifiedBy(
  host: string,
  descriptor: Descriptor,
): (chunks: AsyncIterable<Uint8Array>) => AsyncGenerator<Uint8Array> {
  return async function* verified(chunks) {
    const hash = hashFor(descriptor.digest);
    let size = 0;
    for await (const chunk of chunks) {
      size += chunk.length;
      if (size > descriptor.size) throw corrupt(host, descriptor, `more than ${descriptor.size} bytes came`);
      hash.update(chunk);
      yield chunk;
    }
    if (size !== descriptor.size) throw corrupt(host, descriptor, `${size} of ${descriptor.size} bytes came`);
    const hex = hash.digest('hex');
    if (hex !== digestHex(descriptor.digest)) {
      throw corrupt(host, descriptor, `what came has the digest ${digestAlgorithm(descriptor.digest)}:${hex}`);
    }
  };
}

/** @throws ReplicationError `corrupt` when a manifest is not what its descriptor, or the digest it is written under, says. */
export function checkManifest(host: string, reference: string, { descriptor, bytes }: ManifestContent): void {
  if (bytes.length > maxManifestBytes) {
    throw new ReplicationError('unsupported', `manifest of ${bytes.length} bytes exceeds ${maxManifestBytes}`, {
      host,
      digest: descriptor.digest,
    });
  }
  if (bytes.length !== descriptor.size) throw corrupt(host, descriptor, `the manifest has ${bytes.length} bytes`);
  const hex = hashFor(descriptor.digest).update(bytes).digest('hex');
  if (hex !== digestHex(descriptor.digest)) throw corrupt(host, descriptor, `the manifest's digest is ${hex}`);
  if (isDigest(reference) && reference !== descriptor.digest) {
    throw corrupt(host, descriptor, `the manifest was to be written as ${reference}`);
  }
}

function corrupt(host: string, descriptor: Descriptor, what: string): ReplicationError {
  return new ReplicationError(
    'corrupt',
    `${host}: ${what}, expected ${descriptor.digest} of ${descriptor.size} bytes`,
    {
      host,
      digest: descriptor.digest,
    },
  );
}
