import { Readable } from 'node:stream';
import { isReplicationError, ReplicationError, toReplicationError } from '../model/errors.ts';
import type { Descriptor } from '../model/manifest.ts';

/** Blobs from this size on are read in parts; below, one connection is done before a second one would help. */
export const rangedBlobBytes = 64 << 20;
/** One part. Large enough that the time to ask for it does not count, small enough to keep several in memory. */
export const partBytes = 8 << 20;
/** How often one part is asked for again, from where it broke off. */
const triesPerPart = 4;

export interface RangedReadOptions {
  readonly descriptor: Descriptor;
  /** Opens bytes `start` to `end`, both inclusive. @throws `unsupported` when the source does not send parts */
  readonly open: (range: { readonly start: number; readonly end: number }) => Promise<Readable>;
  /** A connection and memory for one more part ahead, when both are free now; called back when they are free again. */
  readonly spare: (bytes: number) => (() => void) | undefined;
  readonly onRetry: (error: ReplicationError, attempt: number) => void;
  /** The source turned out not to send parts. */
  readonly onNoParts: () => void;
}

/** Whether a source says that it does not send this part: 200 with the whole, or 416 (RFC 9110 section 15.5.17). */
export function noParts(error: unknown): boolean {
  return isReplicationError(error, 'unsupported') || (isReplicationError(error) && error.status === 416);
}

/** One part on its way: handed on directly while it is the first in order, kept in memory while others are before it. */
interface Part {
  readonly start: number;
  readonly end: number;
  received: number;
  chunks: Buffer[];
  stream: Readable | undefined;
  done: boolean;
  readonly release: (() => void) | undefined;
}

/**
 * Reads one blob in parallel parts (RFC 9110 section 14) and hands the bytes on in order. The part that is next always
 * has the caller's own connection; parts ahead of it use what is idle otherwise, so that memory is bounded and other blobs come first.
 * What breaks off is taken up where it broke.
 */
export function rangedRead(first: Readable, options: RangedReadOptions): Readable {
  return new RangedRead(first, options);
}

/** The first part's range. */
export function firstPart(descriptor: Descriptor): { readonly start: number; readonly end: number } {
  return { start: 0, end: Math.min(partBytes, descriptor.size) - 1 };
}

class RangedRead extends Readable {
  readonly #options: RangedReadOptions;
  /** In order; the first is handed on now. */
  #parts: Part[] = [];
  #next = 0;
  /** Whoever reads has room for more. */
  #wanted = false;

  constructor(first: Readable, options: RangedReadOptions) {
    super({ highWaterMark: 256 * 1024 });
    this.#options = options;
    const part = this.#newPart(undefined);
    this.#attach(part, first, 1);
  }

  override _read(): void {
    this.#wanted = true;
    this.#flow();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    for (const part of this.#parts) {
      part.stream?.destroy();
      part.release?.();
    }
    this.#parts = [];
    callback(error);
  }

  #newPart(release: (() => void) | undefined): Part {
    const start = this.#next;
    const end = Math.min(start + partBytes, this.#options.descriptor.size) - 1;
    this.#next = end + 1;
    const part: Part = { start, end, received: 0, chunks: [], stream: undefined, done: false, release };
    this.#parts.push(part);
    return part;
  }

  /** Hands on what is there of the first part, goes to the next, and asks for more parts. */
  #flow(): void {
    for (let part = this.#parts[0]; part !== undefined; part = this.#parts[0]) {
      while (this.#wanted && part.chunks.length > 0) {
        const chunk = part.chunks.shift();
        if (chunk !== undefined) this.#wanted = this.push(chunk);
      }
      if (this.destroyed) return;
      if (part.chunks.length > 0 || !part.done) break;
      this.#parts.shift();
      part.release?.();
      if (this.#parts.length === 0 && this.#next >= this.#options.descriptor.size) {
        this.push(null);
        return;
      }
      // The caller's own connection is free again: the next part needs no other leave.
      if (this.#parts.length === 0) this.#ask(this.#newPart(undefined), 1);
    }
    if (this.#wanted) this.#parts[0]?.stream?.resume();
    this.#askAhead();
  }

  #askAhead(): void {
    while (this.#next < this.#options.descriptor.size) {
      const release = this.#options.spare(Math.min(partBytes, this.#options.descriptor.size - this.#next));
      if (release === undefined) return;
      this.#ask(this.#newPart(release), 1);
    }
  }

  #ask(part: Part, attempt: number): void {
    this.#options.open({ start: part.start + part.received, end: part.end }).then(
      (stream) => {
        if (this.destroyed) stream.destroy();
        else this.#attach(part, stream, attempt);
      },
      (error: unknown) => this.#again(part, error, attempt),
    );
  }

  #attach(part: Part, stream: Readable, attempt: number): void {
    part.stream = stream;
    stream.on('data', (chunk: Buffer) => {
      part.received += chunk.length;
      part.chunks.push(chunk);
      if (this.#parts[0] !== part) return;
      this.#flow();
      if (part.chunks.length > 0) stream.pause();
    });
    stream.on('end', () => {
      part.stream = undefined;
      part.done = true;
      this.#flow();
    });
    stream.on('error', (error) => {
      part.stream = undefined;
      this.#again(part, error, attempt);
    });
  }

  /** A source that sends parts at first and then the whole (another machine behind its name): read anew, and whole. */
  #wholeInstead(error: ReplicationError): ReplicationError {
    if (!noParts(error)) return error;
    this.#options.onNoParts();
    return new ReplicationError('unavailable', `${error.message}; it is read whole instead`, {
      host: error.host,
      cause: error,
    });
  }

  #again(part: Part, caught: unknown, attempt: number): void {
    if (this.destroyed) return;
    const error = toReplicationError(caught);
    if (
      attempt >= triesPerPart ||
      error.final ||
      !isReplicationError(error, 'unreachable', 'unavailable', 'throttled')
    ) {
      this.destroy(this.#wholeInstead(error));
      return;
    }
    this.#options.onRetry(error, attempt);
    this.#ask(part, attempt + 1);
  }
}
