import { Socket } from 'node:net';
import { createSecureContext, rootCertificates } from 'node:tls';
import { Agent, buildConnector, type Dispatcher, Pool, ProxyAgent } from 'undici';
import type { NetworkSettings } from '../model/network.ts';
import { proxyAuthorization, proxyFor } from './proxy.ts';
import { sharedLookup } from './resolver.ts';

export interface ConnectionOptions {
  readonly network: NetworkSettings;
  readonly connectMs: number;
  /** Connections to one origin. */
  readonly perOrigin: number;
}

/** Pools of kept-alive connections, direct and through proxies. */
export interface Connections {
  dispatcherFor(url: URL): Dispatcher;
  /** Breaks everything off. */
  destroy(): Promise<void>;
}

/** How long an idle connection is kept, in milliseconds, where the server does not say (Keep-Alive header). */
const keepAliveMs = 15_000;

export function openConnections({ network, connectMs, perOrigin }: ConnectionOptions): Connections {
  const trust = trustOf(network);
  const socketOptions = {
    timeout: connectMs,
    autoSelectFamily: true,
    // Node's default of 250 ms gives up on addresses that are merely far away.
    autoSelectFamilyAttemptTimeout: 1_000,
    lookup: sharedLookup(),
    ...trust,
  };
  const pools = {
    connections: perOrigin,
    keepAliveTimeout: keepAliveMs,
    pipelining: 1,
    maxHeaderSize: 64 * 1024,
  };
  const direct = new Agent({ ...pools, connect: lateWriteErrors(buildConnector(socketOptions)) });
  const proxies = new Map<string, ProxyAgent>();

  const proxyAgent = (proxy: URL): ProxyAgent => {
    const known = proxies.get(proxy.href);
    if (known !== undefined) return known;
    const token = proxyAuthorization(proxy);
    const agent = new ProxyAgent({
      ...pools,
      uri: `${proxy.protocol}//${proxy.host}`,
      ...(token === undefined ? {} : { token }),
      requestTls: { timeout: connectMs, ...trust },
      proxyTls: socketOptions,
      // Plain http goes through the proxy as a request for the absolute address (RFC 9112 section 3.2.2): many proxies
      // open tunnels to port 443 only. https always takes a tunnel.
      proxyTunnel: false,
      clientFactory: (origin, options) => new Pool(origin, { ...options, headersTimeout: 3 * connectMs }),
    });
    proxies.set(proxy.href, agent);
    return agent;
  };

  return {
    dispatcherFor(url) {
      const proxy = proxyFor(url, network);
      return proxy === undefined ? direct : proxyAgent(proxy);
    },
    async destroy() {
      await Promise.all([direct, ...proxies.values()].map((agent) => agent.destroy()));
    },
  };
}

/** One context for all connections: parsing the root certificates again for each would cost 10 ms apiece. */
function trustOf(network: NetworkSettings): { secureContext?: ReturnType<typeof createSecureContext> } {
  if (network.extraCertificates.length === 0) return {};
  return { secureContext: createSecureContext({ ca: [...rootCertificates, ...network.extraCertificates] }) };
}

/** How long a failed write waits for the server's answer, in milliseconds. */
const lateMs = 250;

/**
 * A server that refuses an upload answers while we still send, and then closes. Our next write fails with EPIPE or
 * ECONNRESET, and Node destroys the socket before the answer in its receive buffer is read: the user would see "EPIPE"
 * instead of "denied". So a failed write is held back a moment; the answer, when there is one, ends the request first.
 */
function lateWriteErrors(connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) => {
    connect(options, (...args: [null, Socket] | [Error, null]) => {
      // undici calls back with the error alone, whatever its types say.
      if (args[1] instanceof Socket) holdBackWriteErrors(args[1]);
      callback(...args);
    });
  };
}

type Done = (error?: Error | null) => void;

function holdBackWriteErrors(socket: Socket): void {
  const write = socket._write.bind(socket);
  const writev = socket._writev?.bind(socket);
  const late =
    (done: Done): Done =>
    (error) => {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code !== 'EPIPE' && code !== 'ECONNRESET') {
        done(error);
        return;
      }
      const timer = setTimeout(finish, lateMs);
      socket.once('close', finish);
      function finish(): void {
        clearTimeout(timer);
        socket.off('close', finish);
        done(error);
      }
    };
  socket._write = (chunk, encoding, done) => write(chunk, encoding, late(done));
  if (writev !== undefined) socket._writev = (chunks, done) => writev(chunks, late(done));
}
