import { once } from 'node:events';
import { createServer as createPlainServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream';
import type { CertificateAuthority } from '../../src/testing/certificates.ts';

/** A TLS server that answers for many names and passes requests on to plain servers of this machine. */
export interface Front {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  close(): Promise<void>;
}

/**
 * @param names what the certificate is for; wildcards are allowed
 * @param find base URL (without trailing slash) of what answers for a host and path
 */
export async function startFront(
  authority: CertificateAuthority,
  names: readonly string[],
  find: (host: string, path: string) => string | undefined,
): Promise<Front> {
  const server = createServer(await authority.issue(names), (incoming, outgoing) => {
    const host = (incoming.headers.host ?? '').replace(/:\d+$/, '');
    const base = find(host, incoming.url ?? '/');
    if (base === undefined) outgoing.writeHead(404).end();
    else relay(`${base}${incoming.url ?? '/'}`, incoming, outgoing);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A TCP server that listens has such an address.
  const { port } = server.address() as AddressInfo;
  return {
    host: `127.0.0.1:${port}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function relay(url: string, incoming: IncomingMessage, outgoing: ServerResponse): void {
  const forward = request(url, { method: incoming.method, headers: incoming.headers }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    pipeline(answer, outgoing, () => undefined);
  });
  forward.once('error', () => outgoing.destroy());
  pipeline(incoming, forward, () => undefined);
}

/** STS, which knows one account: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html */
export async function startStsServer(account: string): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server = createPlainServer((incoming, outgoing) => {
    void text(incoming).then((body) => {
      const known = new URLSearchParams(body).get('Action') === 'GetCallerIdentity';
      outgoing.writeHead(known ? 200 : 400, { 'content-type': 'text/xml' });
      outgoing.end(
        `<GetCallerIdentityResponse><GetCallerIdentityResult><Account>${account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`,
      );
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A TCP server that listens has such an address.
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
