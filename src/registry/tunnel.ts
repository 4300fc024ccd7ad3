import { request as plainRequest } from 'node:http';
import { request as secureRequest, type RequestOptions } from 'node:https';
import type { Socket } from 'node:net';
import type { buildConnector } from 'undici';
import { proxyAuthorization } from './proxy-authorization.ts';

/** A proxy answered CONNECT with something else than 200. */
export class ProxyRefusal extends Error {
  override readonly name = 'ProxyRefusal';
  readonly status: number;

  constructor(status: number) {
    super(`the proxy answered ${status} to CONNECT`);
    this.status = status;
  }
}

/**
 * Connects to https hosts through a proxy's tunnel (RFC 9110 section 9.3.6). undici's own ProxyAgent takes a proxy that hangs up
 * for a recoverable error and tries again without end (client.js onError, UND_ERR_SOCKET), hence this.
 * @param secure makes a TLS connection over the tunnel
 * @param options for the connection to the proxy itself
 */
export function tunnelThrough(
  proxy: URL,
  secure: buildConnector.connector,
  options: RequestOptions & { readonly timeout: number },
): buildConnector.connector {
  const authorization = proxyAuthorization(proxy);
  return (target, callback) => {
    const authority = `${target.hostname.includes(':') ? `[${target.hostname}]` : target.hostname}:${target.port === '' ? '443' : target.port}`;
    let done = false;
    const fail = (error: Error): void => {
      if (done) return;
      done = true;
      callback(error, null);
    };
    const connect = (proxy.protocol === 'https:' ? secureRequest : plainRequest)({
      ...options,
      host: proxy.hostname.replace(/^\[|\]$/g, ''),
      port: proxy.port === '' ? (proxy.protocol === 'https:' ? 443 : 80) : proxy.port,
      method: 'CONNECT',
      path: authority,
      agent: false,
      headers: { host: authority, ...(authorization === undefined ? {} : { 'proxy-authorization': authorization }) },
    });
    connect.once('connect', (response, socket: Socket) => {
      socket.setTimeout(0);
      if (response.statusCode !== 200) {
        socket.destroy();
        fail(new ProxyRefusal(response.statusCode ?? 0));
        return;
      }
      done = true;
      secure({ ...target, httpSocket: socket }, callback);
    });
    connect.once('response', (response) => {
      response.destroy();
      fail(new ProxyRefusal(response.statusCode ?? 0));
    });
    connect.once('timeout', () => connect.destroy(timedOut()));
    connect.on('error', fail);
    connect.end();
  };
}

function timedOut(): Error {
  return Object.assign(new Error('the proxy did not answer in time'), { code: 'ETIMEDOUT' });
}
