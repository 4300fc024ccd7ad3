import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { directNetwork } from '../model/network.ts';
import type { RunEvent } from '../report/events.ts';
import { createTransport, type Transport, type TransportOptions } from './transport.ts';

/** For tests only: a server of a few lines that remembers what it was asked. */

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

export interface TestHost {
  readonly host: string;
  readonly port: number;
  readonly seen: Seen[];
  /** Connections that were opened so far. */
  connections(): number;
  close(): Promise<void>;
}

type Handler = (seen: Seen, response: ServerResponse, request: IncomingMessage) => void | Promise<void>;

/** Serves on a free port of 127.0.0.1; the handler is called with the whole request. */
export async function serve(
  handler: Handler,
  options: { readonly tls?: { readonly key: string; readonly cert: string }; readonly address?: string } = {},
): Promise<TestHost> {
  const seen: Seen[] = [];
  let connections = 0;
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const chunks: Buffer[] = [];
    request.on('error', () => undefined);
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const entry: Seen = {
        method: request.method ?? '',
        url: request.url ?? '',
        authorization: request.headers.authorization,
        headers: request.headers,
        body: Buffer.concat(chunks),
      };
      seen.push(entry);
      void handler(entry, response, request);
    });
  };
  const server = options.tls === undefined ? createServer(listener) : createTlsServer(options.tls, listener);
  server.on('connection', () => (connections += 1));
  const address = options.address ?? '127.0.0.1';
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, address, resolve);
  });
  const { port } = server.address() as AddressInfo; // listening on TCP, so neither null nor a path
  return {
    host: address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`,
    port,
    seen,
    connections: () => connections,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A transport whose pauses are too short to notice, and the events that it sent. */
export function testTransport(
  options: Partial<TransportOptions> = {},
): Transport & { readonly events: readonly RunEvent[] } {
  const events: RunEvent[] = [];
  const transport = createTransport({
    network: directNetwork,
    reporter: { emit: (event) => events.push(event) },
    retry: { baseMs: 1, maxMs: 5 },
    ...options,
  });
  return Object.assign(transport, { events });
}

/** Answers with JSON. */
export function json(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
}
