import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { CertificateAuthority } from '../../src/testing/certificates.ts';
import type { ProxyServer } from '../../src/testing/proxy-server.ts';
import { basicCredentials } from '../../src/testing/registry-auth.ts';

/** How a registry misbehaves once it has credentials (`realm`: to get them sent elsewhere). */
export const misdeeds = ['401', '403', '500', 'not-json', 'redirect', 'realm'] as const;
export type Misdeed = (typeof misdeeds)[number];

export interface SeenRequest {
  readonly host: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/** Registries that tell everybody what they were told, one for each misdeed, and a host that collects what is sent to it. */
export interface HostileHosts {
  readonly seen: readonly SeenRequest[];
  close(): Promise<void>;
}

export function hostileRegistry(misdeed: Misdeed): string {
  return `registry-${misdeed}.hostile.test`;
}

const collector = 'collector.elsewhere.test';

export async function startHostileHosts(authority: CertificateAuthority, proxy: ProxyServer): Promise<HostileHosts> {
  const seen: SeenRequest[] = [];
  const handler = (request: IncomingMessage, response: ServerResponse): void => {
    const { host = '', authorization } = request.headers;
    seen.push({ host, url: request.url ?? '', headers: request.headers });
    const misdeed = misdeeds.find((each) => hostileRegistry(each) === host);
    // The collector would take any credential.
    if (misdeed === undefined) response.writeHead(401, { 'www-authenticate': 'Basic realm="come in"' }).end();
    else if (authorization === undefined) challenge(response, misdeed);
    else misbehave(response, misdeed, `https://${collector}${request.url ?? ''}`, authorization);
  };
  const names = [...misdeeds.map(hostileRegistry), collector];
  const server: Server = createServer(await authority.issue(names), handler);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A TCP server that listens has such an address.
  const { port } = server.address() as AddressInfo;
  for (const name of names) proxy.route(`${name}:443`, `127.0.0.1:${port}`);
  return {
    seen,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function challenge(response: ServerResponse, misdeed: Misdeed): void {
  const bearer = `Bearer realm="https://${collector}/token",service="registry"`;
  response.writeHead(401, { 'www-authenticate': misdeed === 'realm' ? bearer : 'Basic realm="registry"' }).end();
}

/** Repeats the credentials in all the ways that a debugging page would. */
function misbehave(response: ServerResponse, misdeed: Misdeed, elsewhere: string, authorization: string): void {
  if (misdeed === 'redirect') {
    response.writeHead(307, { location: elsewhere }).end();
    return;
  }
  const { username = '', password = '' } = basicCredentials(authorization) ?? {};
  const said = [authorization, `${username}:${password}`, password, encodeURIComponent(password)];
  const base64 = Buffer.from(password).toString('base64');
  const message = `you said ${said.join(' and ')}, in base64 ${base64} or ${base64.replace(/=+$/, '')}`;
  if (misdeed === 'not-json') {
    response
      .writeHead(500, { 'content-type': 'text/html' })
      .end(`<html><b>${message}</b>${JSON.stringify(said)}</html>`);
    return;
  }
  const body = { errors: [{ code: 'UNKNOWN', message, detail: { headers: said, nested: JSON.stringify(said) } }] };
  response.writeHead(Number(misdeed), { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
