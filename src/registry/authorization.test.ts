import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Credential, CredentialSource } from '../model/credentials.ts';
import { noCredentials } from '../model/credentials.ts';
import { digestOf } from '../model/digest.ts';
import { SecretMask } from '../model/secrets.ts';
import { directNetwork } from '../model/network.ts';
import { createAuthority } from '../testing/certificates.ts';
import type { WriteStore } from '../model/store.ts';
import { registryStore, type RegistryOptions } from './store.ts';
import { json, type Seen, serve, type TestHost, testTransport } from './test-host.ts';

const { signal } = new AbortController();
const manifest = Buffer.from('{"schemaVersion":2}');
const user = { kind: 'basic', username: 'someone', password: 'secret-word' } as const satisfies Credential;
const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

async function host(...args: Parameters<typeof serve>): Promise<TestHost> {
  const server = await serve(...args);
  opened.push(server);
  return server;
}
function storeAt(server: TestHost, options: Partial<RegistryOptions> = {}, mask = new SecretMask()): WriteStore {
  const transport = testTransport({ mask });
  opened.push(transport);
  return registryStore(transport, server.host, { credentials: noCredentials, ...options });
}
function source(...credentials: (Credential | undefined)[]): CredentialSource & { readonly asked: unknown[] } {
  const asked: unknown[] = [];
  return {
    asked,
    credentialFor(name, options) {
      asked.push([name, options?.rejected === true]);
      return Promise.resolve(credentials.length > 1 ? credentials.shift() : credentials[0]);
    },
  };
}
const served = (response: Parameters<Parameters<typeof serve>[0]>[1]): void => {
  response
    .writeHead(200, {
      'content-type': 'application/vnd.oci.image.manifest.v1+json',
      'docker-content-digest': digestOf(manifest),
      'content-length': manifest.length,
    })
    .end(manifest);
};

/** A registry with Bearer tokens and, on another port, its token server. */
describe('Bearer', () => {
  let issued: number;
  let expiresIn: number | undefined;
  let valid: (token: string, seen: Seen) => boolean;
  let challenge: (realm: string, seen: Seen) => string | string[];
  let answerToken: (seen: Seen) => { status: number; body: unknown };
  let tokens: TestHost;
  let registry: TestHost;

  beforeEach(async () => {
    issued = 0;
    expiresIn = 300;
    valid = () => true;
    challenge = (realm, seen) => {
      const repository = /^\/v2\/(.+)\/(?:manifests|blobs|tags)\//.exec(seen.url)?.[1] ?? '';
      return `Bearer realm="${realm}",service="the service",scope="repository:${repository}:pull"`;
    };
    answerToken = () => ({
      status: 200,
      body: { token: `token-${(issued += 1)}`, ...(expiresIn === undefined ? {} : { expires_in: expiresIn }) },
    });
    tokens = await host((seen, response) => {
      const { status, body } = answerToken(seen);
      json(response, status, body);
    });
    registry = await host((seen, response) => {
      const token = seen.authorization?.replace('Bearer ', '');
      if (token !== undefined && valid(token, seen)) served(response);
      else response.writeHead(401, { 'www-authenticate': challenge(`http://${tokens.host}/token`, seen) }).end();
    });
  });

  it('asks anonymously without credentials, once per repository, and knows the way afterwards', async () => {
    const store = storeAt(registry);
    for (const repository of ['a', 'b', 'a', 'b']) await store.resolve(repository, 'latest', signal);
    expect(tokens.seen.map(({ url, authorization }) => [url, authorization])).toEqual([
      ['/token?service=the+service&scope=repository%3Aa%3Apull', undefined],
      ['/token?service=the+service&scope=repository%3Ab%3Apull', undefined],
    ]);
    expect(registry.seen).toHaveLength(5); // one refusal only
  });

  it('sends credentials to the token server and nowhere else, only after the challenge', async () => {
    const credentials = source(user);
    await storeAt(registry, { credentials }).resolve('a', 'latest', signal);
    expect(credentials.asked).toEqual([[registry.host, false]]);
    expect(tokens.seen.map(({ authorization }) => authorization)).toEqual([`Basic ${btoa('someone:secret-word')}`]);
    expect(registry.seen.map(({ authorization }) => authorization)).toEqual([undefined, 'Bearer token-1']);
  });

  it('asks once for all who wait', async () => {
    const store = storeAt(registry, { credentials: source(user) });
    await Promise.all(Array.from({ length: 30 }, () => store.resolve('a', 'latest', signal)));
    expect(issued).toBe(1);
  });

  it('uses a token with more rights for less', async () => {
    const store = storeAt(registry);
    await store.missingBlobs('a', [{ mediaType: 'x', digest: digestOf('x'), size: 1 }], signal);
    await store.resolve('a', 'latest', signal);
    expect(tokens.seen.map(({ url }) => new URL(url, 'http://x').searchParams.get('scope'))).toEqual([
      'repository:a:pull,push',
    ]);
  });

  it('asks for the source of a mount too', async () => {
    const store = storeAt(registry);
    await store.startUpload('a', digestOf('x'), 'other/b', signal).catch(() => undefined);
    expect(new URL(tokens.seen[0]?.url ?? '', 'http://x').searchParams.getAll('scope')).toEqual([
      'repository:a:pull,push',
      'repository:other/b:pull',
    ]);
  });

  it('renews a token that has half of its short life behind it, and one that is refused', async () => {
    expiresIn = 0.2;
    const store = storeAt(registry);
    await store.resolve('a', 'latest', signal);
    await new Promise((resolve) => setTimeout(resolve, 150));
    await store.resolve('a', 'latest', signal);
    expect([issued, registry.seen.length]).toEqual([2, 3]);
    expiresIn = undefined;
    valid = (token) => token !== 'token-2';
    await new Promise((resolve) => setTimeout(resolve, 150));
    await store.resolve('a', 'latest', signal);
    valid = (token) => token !== 'token-3';
    await store.resolve('a', 'latest', signal);
    expect(issued).toBe(4);
  });

  it('gives up when a fresh token is refused too, with the words of the registry', async () => {
    valid = () => false;
    await expect(storeAt(registry).readManifest('a', 'latest', signal)).rejects.toMatchObject({
      code: 'unauthorized',
      host: registry.host,
      status: 401,
    });
    expect(registry.seen).toHaveLength(2);
  });

  it('prints no token that a registry quotes', async () => {
    const quoting = await host((seen, response) => {
      const challenged = { 'www-authenticate': `Bearer realm="http://${tokens.host}/token"` };
      response.writeHead(401, challenged).end(`no good: ${seen.authorization ?? ''}`);
    });
    await expect(storeAt(quoting).readManifest('a', 'latest', signal)).rejects.toMatchObject({
      message: expect.stringMatching(/no good: Bearer \*+$/) as unknown,
    });
  });

  it('takes access_token, and challenges without service or with Basic beside', async () => {
    challenge = (realm) => ['Basic realm="x"', `Bearer realm="${realm}"`];
    answerToken = () => ({ status: 200, body: { token: null, access_token: 'other-name' } });
    await storeAt(registry).resolve('a', 'latest', signal);
    expect(tokens.seen[0]?.url).toBe('/token?scope=repository%3Aa%3Apull');
    expect(registry.seen.at(-1)?.authorization).toBe('Bearer other-name');
  });

  it('follows the challenge to a scope of another form (public.ecr.aws) and a realm that moves (nvcr.io)', async () => {
    challenge = (realm) => `Bearer realm="${realm}/?x=y",service="s",scope="aws"`;
    const store = storeAt(registry);
    await store.resolve('a', 'latest', signal);
    await store.resolve('b', 'latest', signal);
    expect(tokens.seen.map(({ url }) => url)).toEqual(['/token/?x=y&service=s&scope=aws']);
    valid = (token) => token === 'token-2';
    challenge = (realm) => `Bearer realm="${realm}/moved"`;
    await store.resolve('a', 'latest', signal);
    expect(tokens.seen.at(-1)?.url).toBe('/token/moved?scope=repository%3Aa%3Apull');
  });

  it('exchanges an identity token by POST', async () => {
    const credentials = source({ kind: 'identity-token', token: 'refresh-me' });
    await storeAt(registry, { credentials }).resolve('a', 'latest', signal);
    const [asked] = tokens.seen;
    expect([asked?.method, asked?.authorization]).toEqual(['POST', undefined]);
    expect(Object.fromEntries(new URLSearchParams(asked?.body.toString()))).toEqual({
      grant_type: 'refresh_token',
      refresh_token: 'refresh-me',
      client_id: 'image-replication',
      service: 'the service',
      scope: 'repository:a:pull',
    });
  });

  it('asks for fresher credentials when the token server refuses them, once, and names the host', async () => {
    answerToken = (seen) =>
      seen.authorization === `Basic ${btoa('someone:new-word')}`
        ? { status: 200, body: { token: 't' } }
        : { status: 401, body: { errors: [{ code: 'UNAUTHORIZED', message: 'wrong secret-word' }] } };
    const fresher = source(user, { ...user, password: 'new-word' });
    await storeAt(registry, { credentials: fresher }).resolve('a', 'latest', signal);
    expect(fresher.asked).toEqual([
      [registry.host, false],
      [registry.host, true],
    ]);
    const error: unknown = await storeAt(registry, { credentials: source(user) })
      .resolve('a', 'latest', signal)
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'unauthorized', host: registry.host });
    expect(String(error)).not.toContain('secret-word');
  });

  it.each([
    ['no JSON', { status: 200, body: 'nonsense' }, 'corrupt'],
    ['no token', { status: 200, body: {} }, 'corrupt'],
    ['too much', { status: 200, body: { token: 'x'.repeat(200_000) } }, 'corrupt'],
    ['a redirect', { status: 302, body: {} }, 'refused'],
    ['a refusal', { status: 403, body: {} }, 'denied'],
  ])('refuses a token server that answers with %s', async (_name, answer, code) => {
    answerToken = () => answer;
    await expect(storeAt(registry).resolve('a', 'latest', signal)).rejects.toMatchObject({ code });
  });

  it('sends no credentials to a foreign token server', async () => {
    challenge = () => 'Bearer realm="https://evil.example/token",service="s"';
    await expect(storeAt(registry, { credentials: source(user) }).resolve('a', 'latest', signal)).rejects.toMatchObject(
      {
        code: 'refused',
        message: expect.stringContaining('evil.example') as unknown,
      },
    );
  });
});

describe('Basic', () => {
  const header = (credential: { username: string; password: string }): string =>
    `Basic ${btoa(`${credential.username}:${credential.password}`)}`;

  it('is sent after a challenge, and from then on at once', async () => {
    const server = await host((seen, response) => {
      if (seen.authorization === header(user)) served(response);
      else response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
    });
    const store = storeAt(server, { credentials: source(user) });
    await store.resolve('a', 'latest', signal);
    await store.resolve('b', 'latest', signal);
    expect(server.seen.map(({ authorization }) => authorization !== undefined)).toEqual([false, true, true]);
  });

  it('is sent first where that is known to be right, and renewed once for all when it has expired (403, ECR)', async () => {
    let good = 'old-password';
    const server = await host((seen, response) =>
      seen.authorization === header({ username: 'AWS', password: good })
        ? served(response)
        : json(response, 403, {
            errors: [
              { code: 'DENIED', message: 'Your authorization token has expired. Reauthenticate and try again.' },
            ],
          }),
    );
    let renewals = 0;
    const credentials: CredentialSource = {
      credentialFor: (_host, options) => {
        if (options?.rejected === true) renewals += 1;
        return Promise.resolve({
          kind: 'basic',
          username: 'AWS',
          password: renewals > 0 ? 'new-password' : 'old-password',
        });
      },
    };
    const store = storeAt(server, { credentials, authenticateFirst: true });
    await store.resolve('a', 'latest', signal);
    expect(server.seen).toHaveLength(1);
    good = 'new-password';
    await Promise.all(Array.from({ length: 10 }, () => store.readManifest('a', 'latest', signal)));
    expect(renewals).toBe(1);
  });

  it('is not renewed for a refusal that is about rights', async () => {
    const server = await host((_seen, response) =>
      json(response, 403, {
        errors: [
          { code: 'DENIED', message: 'User: arn:aws:iam::1:role/x is not authorized to perform: ecr:BatchGetImage' },
        ],
      }),
    );
    const credentials = source(user);
    const store = storeAt(server, { credentials, authenticateFirst: true });
    await expect(store.readManifest('a', 'latest', signal)).rejects.toMatchObject({
      code: 'denied',
      message: expect.stringContaining('ecr:BatchGetImage') as unknown,
    });
    expect(credentials.asked).toEqual([[server.host, false]]);
    expect(server.seen).toHaveLength(1);
  });

  it('says that credentials are missing, or wrong, without printing them', async () => {
    const server = await host((seen, response) => {
      response
        .writeHead(401, { 'www-authenticate': 'Basic realm="r"' })
        .end(`you sent ${seen.authorization ?? 'nothing'}`);
    });
    await expect(storeAt(server).readManifest('a', 'latest', signal)).rejects.toMatchObject({
      code: 'unauthorized',
      remedy: expect.stringContaining(server.host) as unknown,
    });
    const credentials = source(user);
    const error: unknown = await storeAt(server, { credentials })
      .readManifest('a', 'latest', signal)
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'unauthorized' });
    expect(JSON.stringify([String(error), error])).not.toContain(btoa('someone:secret-word'));
  });
});

describe('redirects', () => {
  it('take Authorization along on the same origin only', async () => {
    const storage = await host((_seen, response) => served(response));
    const server = await host((seen, response) => {
      if (seen.authorization === undefined)
        return void response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
      if (seen.url.endsWith('/latest'))
        return void response.writeHead(307, { location: '/v2/a/manifests/moved' }).end();
      response.writeHead(302, { location: `http://${storage.host}/signed?X-Signature=1` }).end();
    });
    await storeAt(server, { credentials: source(user) }).readManifest('a', 'latest', signal);
    expect(server.seen.map(({ authorization }) => authorization !== undefined)).toEqual([false, true, true]);
    expect(storage.seen.map(({ url, authorization, headers }) => [url, authorization, headers.cookie])).toEqual([
      ['/signed?X-Signature=1', undefined, undefined],
    ]);
  });

  it('end after ten, and never lead away from https or into the private network', async () => {
    const server = await host((seen, response) => void response.writeHead(302, { location: `${seen.url}x` }).end());
    await expect(storeAt(server).readManifest('a', 'x', signal)).rejects.toMatchObject({ code: 'refused' });
    expect(server.seen).toHaveLength(11);
  });

  it('are asked for again when the signed address has expired', async () => {
    let signed = 0;
    const storage = await host((seen, response) =>
      seen.url === '/signed-2' ? served(response) : void response.writeHead(403).end('Request has expired'),
    );
    const server = await host(
      (_seen, response) =>
        void response.writeHead(307, { location: `http://${storage.host}/signed-${(signed += 1)}` }).end(),
    );
    expect((await storeAt(server).readManifest('a', 'x', signal)).bytes).toEqual(manifest);
    expect(signed).toBe(2);
  });
});

describe('the scheme of a loopback host', () => {
  it('is found out once: https behind a server that says so, or breaks off', async () => {
    const polite = await host(
      (_seen, response) => void response.writeHead(400).end('Client sent an HTTP request to an HTTPS server.\n'),
    );
    // Nothing speaks TLS there, so the second way fails: its error is told.
    await expect(storeAt(polite).readManifest('a', 'x', signal)).rejects.toMatchObject({ code: 'unreachable' });
    let left = 3;
    const shaky = await host((_seen, response, request) => {
      if (left-- > 0) request.socket.destroy();
      else served(response);
    });
    expect((await storeAt(shaky).readManifest('a', 'x', signal)).bytes).toEqual(manifest);
  });

  it('is https where the server speaks TLS, and plain http where a host was named as insecure', async () => {
    const authority = await createAuthority();
    const safe = await host((_seen, response) => served(response), { tls: await authority.issue(['127.0.0.1']) });
    const network = { ...directNetwork, extraCertificates: [authority.certificate] };
    const transport = testTransport({ network });
    opened.push(transport);
    const store = registryStore(transport, safe.host, { credentials: noCredentials });
    for (let round = 0; round < 3; round += 1) await store.readManifest('a', 'x', signal);
    expect(safe.seen).toHaveLength(3);

    const plain = await host((_seen, response) => served(response));
    const name = `registry.example.test:${plain.port}`;
    // The name leads here by way of a proxy; no name server is asked.
    const proxied = { ...directNetwork, httpProxy: `http://${plain.host}`, httpsProxy: `http://${plain.host}` };
    const insecure = testTransport({ network: { ...proxied, insecureHosts: [name] }, retry: { attempts: 1 } });
    opened.push(insecure);
    // https is tried first; the proxy breaks the tunnel off, and plain http goes through.
    const named = registryStore(insecure, name, { credentials: noCredentials });
    expect((await named.readManifest('a', 'x', signal)).bytes).toEqual(manifest);
    expect(plain.seen.map(({ url }) => url)).toEqual([`http://${name}/v2/a/manifests/x`]);

    const unnamed = testTransport({ network: proxied, retry: { attempts: 1 } });
    opened.push(unnamed);
    const other = registryStore(unnamed, name, { credentials: noCredentials });
    await expect(other.readManifest('a', 'x', signal)).rejects.toMatchObject({ code: 'unreachable' });
    expect(plain.seen).toHaveLength(1);
  });
});
