import type { Hash } from 'node:crypto';
import { Readable } from 'node:stream';
import { digestAlgorithm, digestHex, hashFor } from '../model/digest.ts';
import { ReplicationError, toReplicationError } from '../model/errors.ts';
import type { Descriptor } from '../model/manifest.ts';

/**
 * Passes a blob's bytes on and checks size and digest on the way. The last chunk is held back until everything is
 * checked, so that a receiver never gets a complete body with wrong content. Destroying it destroys the source.
 * Fails with ReplicationErrors of side `source`: `corrupt`, or what the source fails with.
 */
export function verifiedStream(source: Readable, descriptor: Descriptor, onBytes: (count: number) => void): Readable {
  return new VerifiedStream(source, descriptor, onBytes);
}

/** By hand, not a Transform in a pipeline: those cost as much CPU per chunk as reading and sending it. */
class VerifiedStream extends Readable {
  readonly #source: Readable;
  readonly #descriptor: Descriptor;
  readonly #onBytes: (count: number) => void;
  readonly #hash: Hash;
  #size = 0;
  #held: Buffer | undefined;

  constructor(source: Readable, descriptor: Descriptor, onBytes: (count: number) => void) {
    super({ highWaterMark: 256 * 1024 });
    this.#source = source;
    this.#descriptor = descriptor;
    this.#onBytes = onBytes;
    this.#hash = hashFor(descriptor.digest);
    source.on('data', (chunk: Buffer) => this.#take(chunk));
    source.on('end', () => this.#finish());
    source.on('error', (error: Error) => this.destroy(ofSource(error, descriptor)));
    source.on('close', () => {
      if (!source.readableEnded) this.destroy(ofSource(new Error('the source ended too early'), descriptor));
    });
    source.pause();
  }

  override _read(): void {
    this.#source.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#source.destroy();
    callback(error);
  }

  #take(chunk: Buffer): void {
    if (this.destroyed) return;
    const { size } = this.#descriptor;
    this.#size += chunk.length;
    if (this.#size > size) {
      this.destroy(wrongContent(this.#descriptor, `is longer than the ${size} bytes that its descriptor says`));
      return;
    }
    this.#onBytes(chunk.length);
    this.#hash.update(chunk);
    const ready = this.#held;
    this.#held = chunk;
    if (ready !== undefined && !this.push(ready)) this.#source.pause();
  }

  #finish(): void {
    if (this.destroyed) return;
    const descriptor = this.#descriptor;
    if (this.#size !== descriptor.size) {
      this.destroy(wrongContent(descriptor, `ended after ${this.#size} of ${descriptor.size} bytes`));
      return;
    }
    const hex = this.#hash.digest('hex');
    if (hex !== digestHex(descriptor.digest)) {
      this.destroy(wrongContent(descriptor, `has the digest ${digestAlgorithm(descriptor.digest)}:${hex}`));
      return;
    }
    if (this.#held !== undefined) this.push(this.#held);
    this.push(null);
  }
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

function ofSource(error: Error, { digest }: Descriptor): ReplicationError {
  return toReplicationError(error, { side: 'source', digest });
}
