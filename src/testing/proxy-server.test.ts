import { afterEach, describe, expect, it } from 'vitest';
import { X509Certificate } from 'node:crypto';
import { connect } from 'node:net';
import { Agent, type Dispatcher, ProxyAgent, request } from 'undici';
import { type CertificateAuthority, createAuthority } from './certificates.ts';
import { type ProxyServer, startProxyServer } from './proxy-server.ts';
import { type RegistryServer, startRegistryServer } from './registry-server.ts';

const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of closing.splice(0).reverse()) await each.close();
});

function later<T extends { close(): Promise<void> }>(server: T): T {
  closing.push(server);
  return server;
}

const ecrHost = '123456789012.dkr.ecr.us-gov-west-1.amazonaws.com';

async function registryBehindTls(authority: CertificateAuthority): Promise<RegistryServer> {
  const tls = await authority.issue([ecrHost, 'localhost', '127.0.0.1', '::1']);
  return later(await startRegistryServer({ manners: 'ecr', auth: { kind: 'none' }, tls, hostName: ecrHost }));
}

function agentFor(proxy: ProxyServer, ca: string): Dispatcher {
  const { origin, username, password } = new URL(proxy.url);
  const token = username === '' ? {} : { token: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
  return later(new ProxyAgent({ uri: origin, ...token, requestTls: { ca } }));
}

describe('certificates of a test’s own authority', () => {
  it('are good for names and addresses, and for nobody who does not trust the authority', async () => {
    const authority = await createAuthority();
    const server = await registryBehindTls(authority);
    const trusting = later(new Agent({ connect: { ca: authority.certificate } }));
    expect((await request(`${server.url}/v2/`, { dispatcher: trusting })).statusCode).toBe(200);
    const foreign = later(new Agent({ connect: { ca: (await createAuthority()).certificate } }));
    await expect(request(`${server.url}/v2/`, { dispatcher: foreign })).rejects.toThrow(/certificate/);
    const { cert } = await authority.issue(['*.example.com'], { notAfter: new Date(Date.now() - 1000) });
    const issued = new X509Certificate(cert);
    expect([issued.checkHost('a.example.com'), issued.checkHost('example.org')]).toEqual(['*.example.com', undefined]);
    expect(new Date(issued.validTo).getTime()).toBeLessThan(Date.now());
  });

  it('serve IPv6 as well', async () => {
    const authority = await createAuthority();
    const tls = await authority.issue(['::1']);
    const server = later(await startRegistryServer({ manners: 'plain', tls, host: '::1' }));
    expect(server.host).toMatch(/^\[::1\]:\d+$/);
    const trusting = later(new Agent({ connect: { ca: authority.certificate } }));
    expect((await request(`${server.url}/v2/`, { dispatcher: trusting })).statusCode).toBe(200);
  });
});

describe('a proxy', () => {
  it('leads public hosts to local servers, and logs where it was asked to go', async () => {
    const authority = await createAuthority();
    const server = await registryBehindTls(authority);
    const proxy = later(await startProxyServer({ routes: { [`${ecrHost}:443`]: server.host } }));
    const dispatcher = agentFor(proxy, authority.certificate);
    const answer = await request(`https://${ecrHost}/v2/`, { dispatcher });
    expect([answer.statusCode, server.count('ping')]).toEqual([200, 1]);
    await answer.body.dump();
    await expect(request('https://registry.k8s.io/v2/', { dispatcher })).rejects.toThrow();
    expect(proxy.requests).toEqual([
      { method: 'CONNECT', target: `${ecrHost}:443`, status: 200 },
      { method: 'CONNECT', target: 'registry.k8s.io:443', status: 502 },
    ]);
  });

  it('wants its own credentials', async () => {
    const authority = await createAuthority();
    const server = await registryBehindTls(authority);
    const auth = { username: 'proxy-user', password: 'proxy-pass' };
    const proxy = later(await startProxyServer({ auth, routes: { [`${ecrHost}:443`]: server.host } }));
    const answer = await request(`https://${ecrHost}/v2/`, { dispatcher: agentFor(proxy, authority.certificate) });
    expect(answer.statusCode).toBe(200);
    await answer.body.dump();
    const anonymous = later(new ProxyAgent({ uri: `http://${proxy.host}`, requestTls: { ca: authority.certificate } }));
    await expect(request(`https://${ecrHost}/v2/`, { dispatcher: anonymous })).rejects.toThrow();
    expect(proxy.requests.map(({ status }) => status)).toEqual([200, 407]);
    expect(server.requests.entries[0]?.headers['proxy-authorization']).toBeUndefined();
  });

  it('forwards plain HTTP', async () => {
    const server = later(await startRegistryServer({ manners: 'plain' }));
    const proxy = later(await startProxyServer({ routes: { 'charts.example.com:80': server.host } }));
    const answer = await rawGet(proxy.host, 'http://charts.example.com/v2/');
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(proxy.requests).toEqual([{ method: 'GET', target: 'charts.example.com:80', status: 200 }]);
  });
});

/** A request in absolute form (RFC 9112 section 3.2.2), as clients send it to a proxy for plain HTTP. */
function rawGet(host: string, url: string): Promise<string> {
  const [address = '', port = ''] = host.split(':');
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), address);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(chunks).toString('latin1')));
    socket.on('error', reject);
    socket.write(`GET ${url} HTTP/1.1\r\nHost: ${new URL(url).host}\r\nConnection: close\r\n\r\n`);
  });
}
