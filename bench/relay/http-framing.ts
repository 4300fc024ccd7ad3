/** How the end of a message's body is found (RFC 9112 section 6.3). */
export type Framing =
  { readonly kind: 'length'; readonly bytes: number } | { readonly kind: 'chunked' } | { readonly kind: 'until-close' };

export const noBody: Framing = { kind: 'length', bytes: 0 };

export interface Head {
  /** Request line or status line. */
  readonly startLine: string;
  /** Everything from the start line to the empty line, as it came. */
  readonly bytes: Buffer;
  /** What the headers say of the body; `undefined` when they say nothing. */
  readonly framing: Framing | undefined;
}

export interface MessageHandler {
  /** A head is complete. Tells how the body ends. */
  head(head: Head): Framing;
  /** A part of the body, framing included. */
  body(bytes: Buffer): void;
  /** The message is complete. */
  end(): void;
}

const maxHeadBytes = 64 * 1024;
const headEnd = '\r\n\r\n';

/**
 * Finds the messages in one direction of an HTTP/1.1 connection. Bodies are skipped by their lengths and handed on as
 * they come, without copying.
 */
export class MessageReader {
  readonly #handler: MessageHandler;
  #partialHead: Buffer = Buffer.alloc(0);
  #body: Framing | undefined;
  /** Of a body of known length. */
  #left = 0;
  #chunks = new ChunkedBody();

  constructor(handler: MessageHandler) {
    this.#handler = handler;
  }

  /** @throws Error when what came is no HTTP/1.1 */
  feed(bytes: Buffer): void {
    let rest = bytes;
    while (rest.length > 0) rest = this.#body === undefined ? this.#readHead(rest) : this.#readBody(rest, this.#body);
  }

  #readHead(bytes: Buffer): Buffer {
    const all = this.#partialHead.length === 0 ? bytes : Buffer.concat([this.#partialHead, bytes]);
    const end = all.indexOf(headEnd);
    if (end < 0) {
      if (all.length > maxHeadBytes) throw new Error(`no end of the head in ${all.length} bytes`);
      this.#partialHead = all;
      return Buffer.alloc(0);
    }
    this.#partialHead = Buffer.alloc(0);
    const framing = this.#handler.head(parseHead(all.subarray(0, end + headEnd.length)));
    if (framing.kind === 'length' && framing.bytes === 0) this.#handler.end();
    else this.#begin(framing);
    return all.subarray(end + headEnd.length);
  }

  #begin(framing: Framing): void {
    this.#body = framing;
    if (framing.kind === 'length') this.#left = framing.bytes;
    if (framing.kind === 'chunked') this.#chunks = new ChunkedBody();
  }

  #readBody(bytes: Buffer, framing: Framing): Buffer {
    if (framing.kind === 'until-close') {
      this.#handler.body(bytes);
      return bytes.subarray(bytes.length);
    }
    const used = framing.kind === 'length' ? Math.min(this.#left, bytes.length) : this.#chunks.take(bytes);
    this.#left -= used;
    this.#handler.body(used === bytes.length ? bytes : bytes.subarray(0, used));
    if (framing.kind === 'length' ? this.#left === 0 : this.#chunks.done) {
      this.#body = undefined;
      this.#handler.end();
    }
    return bytes.subarray(used);
  }
}

function parseHead(bytes: Buffer): Head {
  const text = bytes.toString('latin1');
  const startLine = text.slice(0, text.indexOf('\r\n'));
  const length = /\r\ncontent-length:[ \t]*(\d+)/i.exec(text)?.[1];
  if (/\r\ntransfer-encoding:[^\r]*chunked/i.test(text)) return { startLine, bytes, framing: { kind: 'chunked' } };
  return { startLine, bytes, framing: length === undefined ? undefined : { kind: 'length', bytes: Number(length) } };
}

/** Finds the end of a chunked body (RFC 9112 section 7.1) without looking at its content. */
class ChunkedBody {
  done = false;
  #state: 'size' | 'data' | 'trailer' = 'size';
  #line = '';
  /** Of the chunk, its closing line break included. */
  #left = 0;

  /** How many of these bytes belong to the body. */
  take(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length && !this.done) {
      if (this.#state === 'data') {
        const used = Math.min(this.#left, bytes.length - at);
        this.#left -= used;
        at += used;
        if (this.#left === 0) this.#state = 'size';
        continue;
      }
      const newline = bytes.indexOf('\n', at);
      const end = newline < 0 ? bytes.length : newline + 1;
      this.#line += bytes.toString('latin1', at, end);
      at = end;
      if (newline >= 0) this.#lineEnds();
    }
    return at;
  }

  #lineEnds(): void {
    const line = this.#line.trim();
    this.#line = '';
    if (this.#state === 'trailer') {
      this.done = line === '';
      return;
    }
    const size = Number.parseInt(line, 16);
    if (!(size >= 0)) throw new Error(`"${line.slice(0, 40)}" is no chunk size`);
    this.#state = size === 0 ? 'trailer' : 'data';
    this.#left = size + 2;
  }
}
