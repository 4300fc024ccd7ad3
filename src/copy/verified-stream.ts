import { Transform, type TransformCallback } from 'node:stream';
import { digestAlgorithm, digestHex, hashFor } from '../model/digest.ts';
import { ReplicationError } from '../model/errors.ts';
import type { Descriptor } from '../model/manifest.ts';

/**
 * Passes a blob's bytes on and checks size and digest on the way. The last chunk is held back until everything is
 * checked, so that a receiver never gets a complete body with wrong content.
 * Fails with ReplicationError `corrupt`, side `source`.
 */
export function verifiedStream(descriptor: Descriptor, onBytes: (count: number) => void): Transform {
  const hash = hashFor(descriptor.digest);
  let size = 0;
  let held: Buffer | undefined;
  return new Transform({
    transform(chunk: Buffer, _encoding, done: TransformCallback) {
      size += chunk.length;
      if (size > descriptor.size) {
        done(wrongContent(descriptor, `is longer than the ${descriptor.size} bytes that its descriptor says`));
        return;
      }
      onBytes(chunk.length);
      hash.update(chunk);
      const ready = held;
      held = chunk;
      if (ready === undefined) done();
      else done(null, ready);
    },
    flush(done: TransformCallback) {
      if (size !== descriptor.size) {
        done(wrongContent(descriptor, `ended after ${size} of ${descriptor.size} bytes`));
        return;
      }
      const hex = hash.digest('hex');
      if (hex !== digestHex(descriptor.digest)) {
        done(wrongContent(descriptor, `has the digest ${digestAlgorithm(descriptor.digest)}:${hex}`));
        return;
      }
      if (held === undefined) done();
      else done(null, held);
    },
  });
}

/** Checks a blob that was read whole. @throws ReplicationError `corrupt` */
export function verifyBytes(descriptor: Descriptor, bytes: Uint8Array): void {
  if (bytes.length !== descriptor.size) {
    throw wrongContent(descriptor, `has ${bytes.length} bytes instead of ${descriptor.size}`);
  }
  const hex = hashFor(descriptor.digest).update(bytes).digest('hex');
  if (hex !== digestHex(descriptor.digest)) {
    throw wrongContent(descriptor, `has the digest ${digestAlgorithm(descriptor.digest)}:${hex}`);
  }
}

function wrongContent(descriptor: Descriptor, what: string): ReplicationError {
  return new ReplicationError('corrupt', `what the source sent for blob ${descriptor.digest} ${what}`, {
    side: 'source',
    digest: descriptor.digest,
    remedy: 'run again; if it stays, the blob is damaged at its source or a proxy on the way changes it',
  });
}
