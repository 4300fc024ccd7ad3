import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { refusal } from '../../test/refusal.ts';
import { directNetwork, type NetworkSettings } from '../model/network.ts';
import { SecretMask } from '../model/secrets.ts';
import { type CertificateAuthority, createAuthority } from '../testing/certificates.ts';
import { type ProxyServer, startProxyServer } from '../testing/proxy-server.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';
import { createAws } from './clients.ts';

const endpoint = 'api.ecr.eu-central-1.amazonaws.com';

// AWS's real host names, served from here: through a proxy that knows the way, with certificates of a private authority.
describe('connections to AWS', () => {
  let authority: CertificateAuthority;
  let server: RegistryServer;
  let proxy: ProxyServer;

  beforeEach(async () => {
    authority = await createAuthority();
    server = await startRegistryServer({ manners: 'ecr', tls: await authority.issue([endpoint, '127.0.0.1']) });
    proxy = await startProxyServer({
      auth: { username: 'build', password: 'proxy-pass-word' },
      routes: { [`${endpoint}:443`]: server.host },
    });
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDEXAMPLE');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'wJalrXUtnFEMI');
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await proxy.close();
    await server.close();
  });

  async function list(network: Partial<NetworkSettings>): Promise<unknown> {
    const aws = createAws({
      network: { ...directNetwork, ...network },
      region: 'eu-central-1',
      mask: new SecretMask(),
    });
    try {
      return (await (await aws.ecr()).describeRepositories({})).repositories;
    } finally {
      await aws.close();
    }
  }

  it('go through the proxy, with its credentials, and trust the private authority', async () => {
    expect(await list({ httpsProxy: proxy.url, extraCertificates: [authority.certificate] })).toEqual([]);
    expect(proxy.requests).toEqual([{ method: 'CONNECT', target: `${endpoint}:443`, status: 200 }]);
  });

  it('are kept and shared through the proxy, also by more calls at once than there may be connections', async () => {
    const aws = createAws({
      network: { ...directNetwork, httpsProxy: proxy.url, extraCertificates: [authority.certificate] },
      region: 'eu-central-1',
      mask: new SecretMask(),
    });
    const ecr = await aws.ecr();
    await Promise.all(Array.from({ length: 120 }, () => ecr.describeRepositories({})));
    expect(proxy.requests.length).toBeLessThanOrEqual(50);
    // Now and then the server has closed an idle one where this machine stood still.
    for (let call = 0; call < 20; call += 1) await ecr.describeRepositories({});
    expect(proxy.requests.length).toBeLessThan(60);
    await aws.close();
  });

  it('say what to do about a private authority that is not trusted', async () => {
    const error = await refusal(list({ httpsProxy: proxy.url }));
    expect(error.code).toBe('unreachable');
    expect(error.remedy).toContain('NODE_EXTRA_CA_CERTS');
    expect(error.message).not.toContain('proxy-pass-word');
  });

  it('tell when the proxy refuses, without its password', async () => {
    const httpsProxy = `http://build:wrong-pass-word@${proxy.host}`;
    const error = await refusal(list({ httpsProxy, extraCertificates: [authority.certificate] }));
    expect(error.code).toBe('unreachable');
    expect(error.remedy).toContain('HTTPS_PROXY');
    expect([error.message, error.stack, String(error.cause)].join()).not.toContain('wrong-pass-word');
    expect(proxy.requests.at(-1)?.status).toBe(407);
  });

  it('are direct where NO_PROXY names the host, and to loopback always', async () => {
    vi.stubEnv('AWS_ENDPOINT_URL_ECR', `https://127.0.0.1:${server.host.split(':')[1] ?? ''}`);
    const network = { httpsProxy: proxy.url, httpProxy: proxy.url, extraCertificates: [authority.certificate] };
    expect(await list(network)).toEqual([]);
    expect(proxy.requests).toEqual([]);
    // Direct means that the name is resolved here; names under .invalid never are (RFC 2606).
    vi.stubEnv('AWS_ENDPOINT_URL_ECR', 'https://ecr.invalid');
    const error = await refusal(list({ ...network, noProxy: 'example.org, .invalid' }));
    expect(error.code).toBe('unreachable');
    expect(proxy.requests).toEqual([]);
  });
});
