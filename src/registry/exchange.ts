import { Readable } from 'node:stream';
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { errors } from 'undici';
import { encodingOf, lengthOf } from './headers.ts';

/** One HTTP request, as it goes over the wire. */
export interface Outgoing {
  readonly url: URL;
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | Readable | undefined;
  readonly signal: AbortSignal;
  /** Time without any progress before the answer's head, in milliseconds. */
  readonly headersMs: number;
  /** Time without any progress in the answer's body, in milliseconds. */
  readonly idleMs: number;
  /** Time for the whole body of an answer that is kept in memory, in milliseconds (60,000); streams have none. */
  readonly answerMs?: number | undefined;
  /** Called with the number of bytes of each chunk that passes. */
  readonly onRead?: ((bytes: number) => void) | undefined;
  readonly onWritten?: ((bytes: number) => void) | undefined;
}

/** What came back. `bytes` is the whole body, or its beginning when it was longer than the limit (`cut`). */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly url: URL;
  readonly bytes: Buffer;
  readonly cut: boolean;
  /** Set instead of `bytes` when a stream was asked for and the status is 200 or 206. */
  readonly stream: Readable | undefined;
}

export interface Streaming {
  /** Length of the body where it is known beforehand, in bytes: any other is an error of `wrongLength`. */
  readonly expected?: number | undefined;
  readonly wrongLength: (received: number) => Error;
  readonly mapError: (error: Error, received: number) => Error;
  readonly finished: () => void;
}

export interface Reading {
  /** Longest body that is kept in memory, in bytes. */
  readonly limit: number;
  /**
   * Hands the body of a 200 or 206 out as a stream. `mapError` puts failures of the connection into words, `finished` is
   * called once when the connection is done with it.
   */
  readonly stream?: Streaming | undefined;
}

/**
 * Sends one request and reads the answer; errors are undici's own (`networkFailure` words them). Works on undici's
 * dispatch interface: no promise and no copy per chunk, and the body of a small answer is always drained, so that the
 * connection can be used again.
 */
export function exchange(dispatcher: Dispatcher, outgoing: Outgoing, reading: Reading): Promise<Answer> {
  if (outgoing.signal.aborted) return Promise.reject(new Error('aborted'));
  return new Promise((resolve, reject) => {
    const handler = new Exchange(outgoing, reading, resolve, reject);
    dispatcher.dispatch(
      {
        origin: outgoing.url.origin,
        path: outgoing.url.pathname + outgoing.url.search,
        method: outgoing.method,
        headers: outgoing.headers,
        body: outgoing.body ?? null,
        headersTimeout: outgoing.headersMs,
        bodyTimeout: outgoing.idleMs,
        // undici closes the connection after each HEAD unless told not to (client-h1.js, writeH1).
        reset: false,
      },
      handler,
    );
  });
}

/** How much of an error's body is kept, in bytes. */
const maxErrorBytes = 64 * 1024;
/** A host that sends a byte now and then never stalls: without a limit for the whole it could hold a run for ever. */
const defaultAnswerMs = 60_000;

class Exchange implements Dispatcher.DispatchHandler {
  readonly #outgoing: Outgoing;
  readonly #reading: Reading;
  readonly #resolve: (answer: Answer) => void;
  readonly #reject: (error: Error) => void;
  readonly #onAbort: () => void;
  #controller: Dispatcher.DispatchController | undefined;
  #status = 0;
  #headers: IncomingHttpHeaders = {};
  #chunks: Buffer[] = [];
  #received = 0;
  #expected: number;
  #stream: BodyStream | undefined;
  #settled = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(outgoing: Outgoing, reading: Reading, resolve: (answer: Answer) => void, reject: (error: Error) => void) {
    this.#outgoing = outgoing;
    this.#reading = reading;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#expected = reading.stream?.expected ?? Number.POSITIVE_INFINITY;
    this.#onAbort = () => this.#fail(new Error('aborted'));
    outgoing.signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#settled) {
      controller.abort(new Error('aborted'));
      return;
    }
    const { body, onWritten } = this.#outgoing;
    // undici's own limit starts anew with each interim answer (1xx), so a host could send those for ever.
    if (body instanceof Readable) body.once('end', () => this.#awaitHead());
    else this.#awaitHead();
    if (body === undefined || onWritten === undefined) return;
    // undici attaches its own listener in this same tick, so nothing flows past it.
    if (body instanceof Readable) body.on('data', (chunk: Buffer) => onWritten(chunk.length));
    else onWritten(body.byteLength);
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return;
    clearTimeout(this.#timer);
    this.#status = status;
    this.#headers = headers;
    const streaming = this.#reading.stream;
    if (streaming === undefined || (status !== 200 && status !== 206)) {
      this.#timer = setTimeout(() => this.#late(), this.#outgoing.answerMs ?? defaultAnswerMs);
      return;
    }
    // Encoded for the way, it has another length: whoever decodes it counts.
    if (encodingOf(headers) !== undefined && lengthOf(headers) !== this.#expected)
      this.#expected = Number.POSITIVE_INFINITY;
    this.#stream = new BodyStream(controller, () => this.#detach(streaming.finished));
    this.#settled = true;
    this.#resolve(this.#answer(false));
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#received += chunk.length;
    this.#outgoing.onRead?.(chunk.length);
    if (this.#stream !== undefined) {
      if (this.#received > this.#expected) this.#stream.destroy(this.#reading.stream?.wrongLength(this.#received));
      else if (!this.#stream.push(chunk)) controller.pause();
      return;
    }
    if (this.#settled) return;
    this.#chunks.push(chunk);
    const limit = this.#status < 300 ? this.#reading.limit : Math.min(this.#reading.limit, maxErrorBytes);
    if (this.#received <= limit) return;
    this.#succeed(true);
    controller.abort(new Error('longer than wanted'));
  }

  onResponseEnd(): void {
    if (this.#stream === undefined) {
      this.#succeed(false);
      return;
    }
    const short = this.#received < this.#expected && this.#expected !== Number.POSITIVE_INFINITY;
    this.#stream.complete(short ? this.#reading.stream?.wrongLength(this.#received) : undefined);
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#fail(error);
  }

  #awaitHead(): void {
    if (this.#status !== 0 || this.#settled) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fail(new errors.HeadersTimeoutError()), this.#outgoing.headersMs);
  }

  /** The body has not ended in time. Of a refusal the status tells most: it is used with as much of the body as there is. */
  #late(): void {
    const late = new errors.BodyTimeoutError();
    if (this.#status < 300) {
      this.#fail(late);
      return;
    }
    this.#succeed(true);
    this.#controller?.abort(late);
  }

  #succeed(cut: boolean): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#detach();
    this.#resolve(this.#answer(cut));
  }

  #fail(error: Error): void {
    if (this.#stream !== undefined) {
      const { stream } = this.#reading;
      this.#stream.destroy(stream === undefined ? error : stream.mapError(error, this.#received));
    } else if (!this.#settled) {
      this.#settled = true;
      this.#detach();
      this.#reject(error);
      this.#controller?.abort(error);
    }
  }

  #detach(then?: () => void): void {
    clearTimeout(this.#timer);
    this.#outgoing.signal.removeEventListener('abort', this.#onAbort);
    then?.();
  }

  #answer(cut: boolean): Answer {
    const chunks = this.#chunks;
    this.#chunks = [];
    // One chunk is copied, too: it may be a small part of what is read at once (large-reads.ts), and would keep all of it.
    const bytes = Buffer.concat(chunks);
    return {
      status: this.#status,
      headers: this.#headers,
      url: this.#outgoing.url,
      bytes,
      cut,
      stream: this.#stream,
    };
  }
}

/** The body of an answer: pauses the connection while nobody reads, breaks it off when destroyed early. */
class BodyStream extends Readable {
  readonly #controller: Dispatcher.DispatchController;
  #finished: (() => void) | undefined;
  #complete = false;

  constructor(controller: Dispatcher.DispatchController, finished: () => void) {
    super({ highWaterMark: 256 * 1024 });
    this.#controller = controller;
    this.#finished = finished;
    // It may fail before its reader has attached to it; the reader finds it destroyed then, and must not find a crash.
    this.on('error', () => undefined);
  }

  complete(error: Error | undefined): void {
    this.#complete = true;
    this.#done();
    if (error === undefined) this.push(null);
    else this.destroy(error);
  }

  override _read(): void {
    this.#controller.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#complete) this.#controller.abort(error ?? new Error('no longer wanted'));
    this.#done();
    callback(error);
  }

  #done(): void {
    const finished = this.#finished;
    this.#finished = undefined;
    finished?.();
  }
}
