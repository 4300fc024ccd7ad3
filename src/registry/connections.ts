import { Socket } from 'node:net';
import { createSecureContext, rootCertificates } from 'node:tls';
import { Agent, buildConnector, type Dispatcher, ProxyAgent } from 'undici';
import type { NetworkSettings } from '../model/network.ts';
import { proxyFor } from '../model/proxy.ts';
import { withLargeReads } from './large-reads.ts';
import { proxyAuthorization } from './proxy-authorization.ts';
import { sharedLookup } from './resolver.ts';
import { tunnelThrough } from './tunnel.ts';

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
    // One chunk off a socket (64 KiB) would fill undici's default and stop the body after each; Node takes these two
    // only where highWaterMark is unset.
    highWaterMark: undefined,
    readableHighWaterMark: 64 * 1024,
    writableHighWaterMark: 512 * 1024,
    autoSelectFamily: true,
    // Node's default of 250 ms gives up on addresses that are merely far away.
    autoSelectFamilyAttemptTimeout: 1_000,
    lookup: sharedLookup(),
  };
  const plain = withLargeReads((reads) => buildConnector({ ...socketOptions, ...reads }));
  const encrypted = lazily(() => buildConnector({ ...socketOptions, ...trust() }));
  const pools = {
    connections: perOrigin,
    keepAliveTimeout: keepAliveMs,
    pipelining: 1,
    maxHeaderSize: 64 * 1024,
  };
  const direct = new Agent({
    ...pools,
    connect: lateWriteErrors((options, callback) => {
      (options.protocol === 'https:' ? encrypted() : plain)(options, callback);
    }),
  });
  const proxies = new Map<string, Dispatcher>();

  const throughProxy = (proxy: URL, scheme: string): Dispatcher => {
    const key = `${scheme} ${proxy.href}`;
    const known = proxies.get(key);
    if (known !== undefined) return known;
    const trusting = { timeout: connectMs, ...trust() };
    const agent =
      scheme === 'https:'
        ? new Agent({
            ...pools,
            connect: lateWriteErrors(tunnelThrough(proxy, buildConnector(trusting), trusting)),
          })
        : plainProxy(proxy, { ...socketOptions, ...trust() }, pools);
    proxies.set(key, agent);
    return agent;
  };

  return {
    dispatcherFor(url) {
      const proxy = proxyFor(url, network);
      return proxy === undefined ? direct : throughProxy(proxy, url.protocol);
    },
    async destroy() {
      await Promise.all([direct, ...proxies.values()].map((agent) => agent.destroy()));
    },
  };
}

/**
 * Plain http goes through a proxy as a request for the absolute address (RFC 9112 section 3.2.2): many proxies open
 * tunnels to port 443 only.
 */
function plainProxy(proxy: URL, proxyTls: buildConnector.BuildOptions, pools: Agent.Options): ProxyAgent {
  const token = proxyAuthorization(proxy);
  return new ProxyAgent({
    ...pools,
    uri: `${proxy.protocol}//${proxy.host}`,
    ...(token === undefined ? {} : { token }),
    proxyTls,
    proxyTunnel: false,
  });
}

/**
 * One context for all connections, made for the first that needs it: parsing some 150 root certificates takes 100 ms,
 * which a run without TLS should not pay, and no run for each connection.
 */
function trustOf(network: NetworkSettings): () => { readonly secureContext?: ReturnType<typeof createSecureContext> } {
  if (network.extraCertificates.length === 0) return () => ({});
  return lazily(() => ({
    secureContext: createSecureContext({ ca: [...rootCertificates, ...network.extraCertificates] }),
  }));
}

function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
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
