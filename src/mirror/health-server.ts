import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ReplicationError } from '../model/errors.ts';
import type { MirrorMetrics } from './metrics.ts';

/** How the scheduler is, as `/healthz` tells it. */
export interface Health {
  /** Whether it works as it should; 503 otherwise. */
  readonly healthy: boolean;
  /** In a line, for people. */
  readonly text: string;
}

export interface HealthServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Answers `/healthz` and `/metrics` on all addresses, for probes and Prometheus. It tells nothing that is secret and takes
 * nothing in.
 * @param port 0 for any free one
 * @throws ReplicationError `configuration` when the port cannot be had
 */
export async function startHealthServer(
  port: number,
  health: () => Health,
  metrics: Pick<MirrorMetrics, 'text' | 'contentType'>,
): Promise<HealthServer> {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      answer(response, 405, 'only GET and HEAD are answered\n');
    } else if (path === '/healthz') {
      const { healthy, text } = health();
      answer(response, healthy ? 200 : 503, `${text}\n`);
    } else if (path === '/metrics') {
      metrics.text().then(
        (text) => answer(response, 200, text, metrics.contentType),
        () => answer(response, 500, 'the metrics cannot be had\n'),
      );
    } else {
      answer(response, 404, '/healthz and /metrics are here\n');
    }
  });
  // Whoever keeps a connection open and says nothing holds a socket, no more.
  server.requestTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: Error) => reject(refused(port, cause)));
    server.listen(port, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
  response.end(response.req.method === 'HEAD' ? undefined : text);
}

function refused(port: number, cause: Error): ReplicationError {
  return new ReplicationError('configuration', `cannot listen on port ${port}: ${cause.message}`, {
    remedy: 'name another port with --port',
    cause,
  });
}
