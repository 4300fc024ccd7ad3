import { once, setMaxListeners } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { pipeline, Transform, type Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, AnswerError, type Delivery, deliver, sized } from './answer.ts';
import type { FaultAction, FaultQueue } from './faults.ts';
import type { LoggedRequest, RequestFacts, RequestLog } from './request-log.ts';

/** Key and certificate (chain) in PEM. */
export interface TlsFiles {
  readonly key: string;
  readonly cert: string;
}

/** A request on its way through a handler. */
export interface Exchange {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  /** The request's body, counted. */
  readonly body: Readable;
  readonly entry: LoggedRequest;
}

export interface HostOptions {
  readonly tls?: TlsFiles | undefined;
  /** Address to listen on; 127.0.0.1 unless told. */
  readonly host?: string | undefined;
  /** 0 (any free port) unless told. */
  readonly port?: number | undefined;
  readonly log: RequestLog;
  readonly faults: FaultQueue;
  classify(method: string, url: URL, headers: IncomingHttpHeaders): RequestFacts;
  handle(exchange: Exchange): Promise<Answer>;
  /** Faults that only the server itself can bring about (tokens, blobs, Location). */
  beforeHandling?(fault: FaultAction, exchange: Exchange): Promise<void>;
  afterHandling?(fault: FaultAction, exchange: Exchange, answer: Answer): Promise<Answer>;
}

/** A listening HTTP(S) server. */
export interface HttpHost {
  /** `127.0.0.1:PORT`, `[::1]:PORT`. */
  readonly host: string;
  readonly port: number;
  /** Without trailing slash. */
  readonly url: string;
  /** Stops listening and drops every open connection. */
  close(): Promise<void>;
}

/** Starts a server that logs every request, injects faults, and sends what its handler answers. */
export async function startHttpHost(options: HostOptions): Promise<HttpHost> {
  const stop = new AbortController();
  // Every answer that waits listens to it, which is no leak.
  setMaxListeners(0, stop.signal);
  const listener = (req: IncomingMessage, res: ServerResponse): void => {
    void serve(options, stop.signal, req, res);
  };
  const server: Server =
    options.tls === undefined
      ? createServer(listener)
      : createTlsServer({ key: options.tls.key, cert: options.tls.cert }, listener);
  // Uploads of large layers may take longer than Node's default limit for a whole request (5 minutes).
  server.requestTimeout = 0;
  server.keepAliveTimeout = 60_000;
  const address = options.host ?? '127.0.0.1';
  server.listen(options.port ?? 0, address);
  await once(server, 'listening');
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error(`no port for ${address}`);
  const host = `${address.includes(':') ? `[${address}]` : address}:${bound.port}`;
  return {
    host,
    port: bound.port,
    url: `${options.tls === undefined ? 'http' : 'https'}://${host}`,
    async close() {
      stop.abort();
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function serve(
  options: HostOptions,
  stop: AbortSignal,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  // Node takes the socket away from a request whose connection was reset.
  const { socket } = req;
  const method = req.method ?? 'GET';
  const url = new URL(req.url ?? '/', 'http://server');
  const facts = options.classify(method, url, req.headers);
  const entry: LoggedRequest = {
    ...facts,
    method,
    path: url.pathname + url.search,
    headers: req.headers,
    at: Date.now(),
    status: 0,
    bytesIn: 0,
    bytesOut: 0,
  };
  options.log.entries.push(entry);
  const fault = options.faults.take(method, entry.path, facts);
  if (fault !== undefined) entry.fault = fault.kind;
  const body = countedBody(req, entry, fault);
  try {
    const answer = await handleWithFault(options, stop, { method, url, headers: req.headers, body, entry }, fault, req);
    if (answer === undefined) {
      socket.resetAndDestroy();
      return;
    }
    if (!(fault?.kind === 'status' && fault.early === true)) await drained(body);
    await send(res, answer, entry, fault, stop);
    body.resume();
  } catch {
    // The connection broke (by our fault or the client's); there is nobody left to answer.
    socket.destroy();
  }
}

/** The answer, or `undefined` when the connection is to be reset instead. */
async function handleWithFault(
  options: HostOptions,
  stop: AbortSignal,
  exchange: Exchange,
  fault: FaultAction | undefined,
  req: IncomingMessage,
): Promise<Answer | undefined> {
  if (fault?.kind === 'reset' && fault.when === 'request') return undefined;
  if (fault?.kind === 'stall' && fault.bytes === undefined)
    await sleep(fault.milliseconds, undefined, { signal: stop });
  if (fault?.kind === 'call') await fault.run();
  if (fault?.kind === 'status') {
    return { status: fault.status, headers: fault.headers ?? {}, body: fault.body ?? '' };
  }
  if (fault !== undefined) await options.beforeHandling?.(fault, exchange);
  let answer: Answer;
  try {
    answer = await options.handle(exchange);
  } catch (error) {
    if (!(error instanceof AnswerError)) {
      if (req.destroyed) throw error;
      answer = { status: 500, headers: { 'content-type': 'text/plain' }, body: String(error) };
    } else answer = error.answer;
  }
  if (fault?.kind === 'reset' && fault.when === 'after') return undefined;
  if (fault === undefined || options.afterHandling === undefined) return answer;
  return options.afterHandling(fault, exchange, answer);
}

function countedBody(req: IncomingMessage, entry: LoggedRequest, fault: FaultAction | undefined): Readable {
  const limit = fault?.kind === 'reset' && fault.when === 'request-body' ? (fault.bytes ?? 1) : undefined;
  const flipped = fault?.kind === 'corrupt-request' ? (fault.offset ?? 0) : undefined;
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const inside = flipped === undefined ? -1 : flipped - entry.bytesIn;
      if (inside >= 0 && inside < chunk.length) chunk.writeUInt8(chunk.readUInt8(inside) ^ 0xff, inside);
      entry.bytesIn += chunk.length;
      if (limit !== undefined && entry.bytesIn >= limit) {
        req.socket.resetAndDestroy();
        done(new Error('reset by an injected fault'));
      } else done(null, chunk);
    },
  });
  pipeline(req, counter, () => undefined);
  // A handler that does not read the body must not crash the process when the client goes away.
  counter.on('error', () => undefined);
  return counter;
}

/** Reads what a handler left of the body, so that the connection can be used again. */
async function drained(body: Readable): Promise<void> {
  if (body.readableEnded || body.destroyed) return;
  const ended = once(body, 'end');
  body.resume();
  await ended;
}

async function send(
  res: ServerResponse,
  answer: Answer,
  entry: LoggedRequest,
  fault: FaultAction | undefined,
  stop: AbortSignal,
): Promise<void> {
  const delivery = deliver(sized(answer.body), fault);
  for (const [name, value] of Object.entries(answer.headers ?? {})) {
    res.setHeader(name, typeof value === 'string' ? value : [...value]);
  }
  // RFC 9110 section 8.6: no Content-Length in a 204. A handler may state the length itself (HEAD).
  if (answer.status !== 204 && !res.hasHeader('content-length')) res.setHeader('content-length', delivery.announced);
  entry.status = answer.status;
  res.writeHead(answer.status);
  if (entry.method === 'HEAD' || answer.status === 204) res.end();
  else await sendBody(res, delivery, entry, stop);
}

async function sendBody(
  res: ServerResponse,
  delivery: Delivery,
  entry: LoggedRequest,
  stop: AbortSignal,
): Promise<void> {
  let pause = delivery.pause;
  res.flushHeaders();
  for await (const chunk of delivery.chunks) {
    let rest = chunk;
    if (pause !== undefined && entry.bytesOut + rest.length >= pause.after) {
      const head = rest.subarray(0, pause.after - entry.bytesOut);
      await write(res, head, entry);
      await sleep(pause.milliseconds, undefined, { signal: stop });
      rest = rest.subarray(head.length);
      pause = undefined;
    }
    if (delivery.dieAfter !== undefined && entry.bytesOut + rest.length >= delivery.dieAfter) {
      await write(res, rest.subarray(0, delivery.dieAfter - entry.bytesOut), entry);
      break;
    }
    await write(res, rest, entry);
  }
  // Dying means closing in good order with too few bytes: what a client sees when a proxy or a server gives up.
  if (delivery.dieAfter === undefined) res.end();
  else res.socket?.end();
}

async function write(res: ServerResponse, chunk: Uint8Array, entry: LoggedRequest): Promise<void> {
  if (res.destroyed) throw new Error('the client is gone');
  entry.bytesOut += chunk.length;
  if (chunk.length === 0 || res.write(chunk)) return;
  await new Promise<void>((resolve, reject) => {
    const cleanUp = (): void => {
      res.off('drain', drainedNow);
      res.off('close', gone);
    };
    const drainedNow = (): void => {
      cleanUp();
      resolve();
    };
    const gone = (): void => {
      cleanUp();
      reject(new Error('the client is gone'));
    };
    res.once('drain', drainedNow);
    res.once('close', gone);
  });
}
