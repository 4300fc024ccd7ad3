import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream';
import { basicCredentials } from './registry-auth.ts';

export interface ProxyServerOptions {
  /** Basic credentials that the proxy wants in Proxy-Authorization. */
  readonly auth?: { readonly username: string; readonly password: string } | undefined;
  /** Where a target such as `quay.io:443` really is: `127.0.0.1:PORT`. */
  readonly routes?: Readonly<Record<string, string>> | undefined;
  /** Whether targets without a route are connected to as they are; else they are refused (502). Default false. */
  readonly passThrough?: boolean | undefined;
}

/** One request to the proxy. */
export interface ProxyRequest {
  /** `CONNECT` for tunnels, else the method of a plain HTTP request. */
  readonly method: string;
  /** `host:port`. */
  readonly target: string;
  /** 200 for an open tunnel, 407 without the right credentials, 502 for a target without route. */
  readonly status: number;
}

export interface ProxyServer {
  /** `http://127.0.0.1:PORT`, with userinfo where it wants credentials: a value for HTTPS_PROXY. */
  readonly url: string;
  /** `127.0.0.1:PORT` */
  readonly host: string;
  readonly requests: readonly ProxyRequest[];
  route(target: string, local: string): void;
  close(): Promise<void>;
}

/**
 * Starts an HTTP proxy (CONNECT, RFC 9110 section 9.3.6, and plain forwarding). With its routes, tests serve hosts such as
 * `registry.k8s.io` or an ECR host of any partition from local servers.
 */
export async function startProxyServer(options: ProxyServerOptions = {}): Promise<ProxyServer> {
  const routes = new Map(Object.entries(options.routes ?? {}));
  const requests: ProxyRequest[] = [];
  const sockets = new Set<Duplex>();
  const decide = (req: IncomingMessage, method: string, target: string): Decision => {
    const decision: Decision = permitted(options, req)
      ? locate(target, routes, options.passThrough === true)
      : { status: 407 };
    requests.push({ method, target, status: decision.status });
    return decision;
  };
  const server: Server = createServer((req, res) => {
    const url = new URL(req.url ?? '/', 'http://proxy.invalid');
    const target = `${url.hostname}:${url.port || '80'}`;
    forward(req, res, url, decide(req, req.method ?? 'GET', target));
  });
  server.on('connect', (req, socket: Duplex, head: Buffer) => {
    tunnel(socket, head, decide(req, 'CONNECT', req.url ?? ''), sockets);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  const host = `127.0.0.1:${address.port}`;
  const userinfo =
    options.auth === undefined
      ? ''
      : `${encodeURIComponent(options.auth.username)}:${encodeURIComponent(options.auth.password)}@`;
  return {
    url: `http://${userinfo}${host}`,
    host,
    requests,
    route: (target, local) => routes.set(target, local),
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

type Decision = { readonly status: 200; readonly local: string } | { readonly status: 407 | 502 };

function permitted(options: ProxyServerOptions, req: IncomingMessage): boolean {
  if (options.auth === undefined) return true;
  const given = basicCredentials(req.headers['proxy-authorization']);
  return given?.username === options.auth.username && given.password === options.auth.password;
}

function locate(target: string, routes: ReadonlyMap<string, string>, passThrough: boolean): Decision {
  const local = routes.get(target) ?? (passThrough ? target : undefined);
  return local === undefined ? { status: 502 } : { status: 200, local };
}

function addressOf(local: string): { host: string; port: number } {
  const colon = local.lastIndexOf(':');
  return { host: local.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(local.slice(colon + 1)) };
}

function tunnel(socket: Duplex, head: Buffer, decision: Decision, sockets: Set<Duplex>): void {
  // Whoever hangs up first, the other side is closed below; there is nothing to report.
  socket.on('error', () => socket.destroy());
  if (decision.status !== 200) {
    const challenge = decision.status === 407 ? 'Proxy-Authenticate: Basic realm="proxy"\r\n' : '';
    socket.end(`HTTP/1.1 ${decision.status} refused\r\n${challenge}Content-Length: 0\r\n\r\n`);
    return;
  }
  const upstream: Socket = connect(addressOf(decision.local));
  sockets.add(upstream);
  upstream.once('close', () => sockets.delete(upstream));
  upstream.once('connect', () => {
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    upstream.write(head);
    pipeline(socket, upstream, () => undefined);
    pipeline(upstream, socket, () => undefined);
  });
  upstream.once('error', () => socket.destroy());
}

function forward(req: IncomingMessage, res: ServerResponse, url: URL, decision: Decision): void {
  if (decision.status !== 200) {
    res
      .writeHead(decision.status, decision.status === 407 ? { 'proxy-authenticate': 'Basic realm="proxy"' } : {})
      .end();
    return;
  }
  const headers = { ...req.headers };
  delete headers['proxy-authorization'];
  const upstream = request(
    { ...addressOf(decision.local), method: req.method, path: url.pathname + url.search, headers },
    (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.headers);
      pipeline(answer, res, () => undefined);
    },
  );
  upstream.once('error', () => res.destroy());
  pipeline(req, upstream, () => undefined);
}
