import { Readable } from 'node:stream';
import type { FaultAction } from './faults.ts';

/** A body of known size that is produced while it is sent. */
export interface SizedStream {
  /** Bytes. */
  readonly size: number;
  open(): Readable;
}

/** What a server answers. Content-Length is always set from the body. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>> | undefined;
  readonly body?: Uint8Array | string | SizedStream | undefined;
}

/** Thrown by handlers to answer something else than they were about to. */
export class AnswerError extends Error {
  readonly answer: Answer;

  constructor(answer: Answer) {
    super(`answered ${answer.status}`);
    this.answer = answer;
  }
}

export function jsonAnswer(status: number, value: unknown, headers: Answer['headers'] = {}): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', ...headers },
    body: JSON.stringify(value),
  };
}

export function sized(body: Answer['body']): SizedStream {
  if (body === undefined) return { size: 0, open: () => Readable.from([]) };
  if (typeof body === 'object' && 'open' in body) return body;
  const bytes = typeof body === 'string' ? Buffer.from(body, 'utf8') : body;
  return { size: bytes.length, open: () => Readable.from(bytes.length === 0 ? [] : [bytes], { objectMode: false }) };
}

/** How a body is sent: what is announced, what is sent, and where it breaks off or pauses. */
export interface Delivery {
  /** Announced length in bytes. */
  readonly announced: number;
  readonly chunks: AsyncIterable<Uint8Array>;
  /** The connection dies after this many bytes. */
  readonly dieAfter?: number | undefined;
  readonly pause?: { readonly after: number; readonly milliseconds: number } | undefined;
}

/** Bends a body as a fault asks for. */
export function deliver(body: SizedStream, fault: FaultAction | undefined): Delivery {
  const chunks = (): AsyncIterable<Uint8Array> => body.open();
  switch (fault?.kind) {
    case 'truncate': {
      const kept = Math.min(fault.bytes, body.size);
      if (fault.honest === true) return { announced: kept, chunks: firstBytes(chunks(), kept) };
      return { announced: body.size, chunks: chunks(), dieAfter: kept };
    }
    case 'reset':
      if (fault.when !== 'answer') break;
      return { announced: body.size, chunks: chunks(), dieAfter: fault.bytes ?? Math.floor(body.size / 2) };
    case 'extend':
      return { announced: body.size + fault.bytes, chunks: extended(chunks(), fault.bytes) };
    case 'corrupt':
      return { announced: body.size, chunks: corrupted(chunks(), fault.offset ?? Math.floor(body.size / 2)) };
    case 'content-length': {
      const announced = Math.max(0, body.size + fault.delta);
      return { announced, chunks: chunks(), dieAfter: Math.min(announced, body.size) };
    }
    case 'stall':
      if (fault.bytes === undefined) break;
      return {
        announced: body.size,
        chunks: chunks(),
        pause: { after: fault.bytes, milliseconds: fault.milliseconds },
      };
    default:
  }
  return { announced: body.size, chunks: chunks() };
}

async function* firstBytes(chunks: AsyncIterable<Uint8Array>, count: number): AsyncGenerator<Uint8Array> {
  let left = count;
  for await (const chunk of chunks) {
    if (left <= 0) return;
    yield chunk.subarray(0, left);
    left -= chunk.length;
  }
}

async function* extended(chunks: AsyncIterable<Uint8Array>, count: number): AsyncGenerator<Uint8Array> {
  yield* chunks;
  yield Buffer.alloc(count, 0x2b);
}

async function* corrupted(chunks: AsyncIterable<Uint8Array>, offset: number): AsyncGenerator<Uint8Array> {
  let position = 0;
  for await (const chunk of chunks) {
    const inside = offset - position;
    position += chunk.length;
    if (inside < 0 || inside >= chunk.length) {
      yield chunk;
      continue;
    }
    const copy = Buffer.from(chunk);
    copy.writeUInt8(copy.readUInt8(inside) ^ 0xff, inside);
    yield copy;
  }
}
