import { afterEach, describe, expect, it } from 'vitest';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf } from '../model/digest.ts';
import { manifestAccept, mediaTypes } from '../model/media-types.ts';
import { buildImage, type ImageContent, withCosignTag, withReferrer } from './image-builder.ts';
import { type RegistryServer, type RegistryServerOptions, startRegistryServer } from './registry-server.ts';

const servers: RegistryServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function start(options: RegistryServerOptions): Promise<RegistryServer> {
  const server = await startRegistryServer(options);
  servers.push(server);
  return server;
}

const open = { manners: 'ecr', auth: { kind: 'none' } } as const;
const plain = { manners: 'plain' } as const;

async function errorOf(response: Response): Promise<{ code: string; message: string }> {
  const { errors } = (await response.json()) as { errors: { code: string; message: string }[] };
  const [error] = errors;
  if (error === undefined) throw new Error('no error in the answer');
  return error;
}

async function upload(server: RegistryServer, repository: string, content: string): Promise<Response> {
  const started = await fetch(`${server.url}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  expect(started.status).toBe(202);
  const location = new URL(started.headers.get('location') ?? '', server.url);
  location.searchParams.set('digest', digestOf(content));
  return fetch(location, { method: 'PUT', body: content });
}

function putManifest(
  server: RegistryServer,
  repository: string,
  reference: string,
  image: ImageContent,
): Promise<Response> {
  const top = image.manifests.at(-1);
  if (top === undefined) throw new Error('no manifest');
  return fetch(`${server.url}/v2/${repository}/manifests/${reference}`, {
    method: 'PUT',
    headers: { 'content-type': top.descriptor.mediaType },
    body: Buffer.from(top.bytes),
  });
}

describe('a plain registry', () => {
  it('takes a blob in pieces and gives it back whole and by range', async () => {
    const server = await start(plain);
    const started = await fetch(`${server.url}/v2/a/b/blobs/uploads/`, { method: 'POST' });
    const location = new URL(started.headers.get('location') ?? '', server.url);
    const patch = (text: string): Promise<Response> => fetch(location, { method: 'PATCH', body: Buffer.from(text) });
    expect((await patch('first ')).status).toBe(202);
    const second = await patch('second ');
    expect(second.headers.get('range')).toBe('0-12');
    const digest = digestOf('first second third');
    const done = await fetch(`${location.href}?digest=${digest}`, { method: 'PUT', body: 'third' });
    expect(done.status).toBe(201);

    const url = `${server.url}/v2/a/b/blobs/${digest}`;
    expect(await (await fetch(url)).text()).toBe('first second third');
    const ranged = await fetch(url, { headers: { range: 'bytes=6-11' } });
    expect([ranged.status, ranged.headers.get('content-range'), await ranged.text()]).toEqual([
      206,
      'bytes 6-11/18',
      'second',
    ]);
    expect((await fetch(url, { headers: { range: 'bytes=18-' } })).status).toBe(416);
    const head = await fetch(url, { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe('18');
  });

  it('refuses content that does not match its digest', async () => {
    const server = await start(plain);
    const started = await fetch(`${server.url}/v2/a/blobs/uploads/`, { method: 'POST' });
    const location = `${server.url}${started.headers.get('location') ?? ''}?digest=${digestOf('right')}`;
    const refused = await fetch(location, { method: 'PUT', body: 'wrong' });
    expect([refused.status, (await errorOf(refused)).code]).toEqual([400, 'DIGEST_INVALID']);
    expect(server.hasBlob('a', digestOf('right'))).toBe(false);
  });

  it('takes sha512 digests', async () => {
    const server = await start(plain);
    const digest = digestOf('content', 'sha512');
    const started = await fetch(`${server.url}/v2/a/blobs/uploads/`, { method: 'POST' });
    const put = await fetch(`${server.url}${started.headers.get('location') ?? ''}?digest=${digest}`, {
      method: 'PUT',
      body: 'content',
    });
    expect(put.status).toBe(201);
    expect(server.hasBlob('a', digest)).toBe(true);
  });

  it('mounts right after an upload', async () => {
    const server = await start(plain);
    await upload(server, 'a', 'shared');
    const mounted = await fetch(`${server.url}/v2/b/blobs/uploads/?mount=${digestOf('shared')}&from=a`, {
      method: 'POST',
    });
    expect(mounted.status).toBe(201);
    expect(server.hasBlob('b', digestOf('shared'))).toBe(true);
  });

  it('refuses a manifest whose blobs are not there, and serves a complete one byte by byte', async () => {
    const server = await start(plain);
    const image = buildImage({ name: 'app', platforms: ['linux/amd64'], index: false });
    const refused = await putManifest(server, 'app', 'v1', image);
    expect([refused.status, (await errorOf(refused)).code]).toEqual([400, 'MANIFEST_BLOB_UNKNOWN']);

    await server.putImage('app', undefined, image);
    expect((await putManifest(server, 'app', 'v1', image)).status).toBe(201);
    const got = await fetch(`${server.url}/v2/app/manifests/v1`, { headers: { accept: manifestAccept.join(', ') } });
    expect(got.headers.get('docker-content-digest')).toBe(image.digest);
    expect(digestOf(Buffer.from(await got.arrayBuffer()))).toBe(image.digest);
  });

  it('converts an index for a client that does not accept one', async () => {
    const server = await start(plain);
    const image = buildImage({ name: 'app' });
    await server.putImage('app', 'v1', image);
    const got = await fetch(`${server.url}/v2/app/manifests/v1`, { headers: { accept: mediaTypes.ociManifest } });
    expect(got.headers.get('docker-content-digest')).toBe(image.manifests[0]?.descriptor.digest);
  });

  it('has no referrers interface unless told, and lists tags by pages of its own', async () => {
    const server = await start(plain);
    const image = buildImage({ name: 'app' });
    for (const tag of ['a', 'b', 'c']) await server.putImage('app', tag, image);
    expect((await fetch(`${server.url}/v2/app/referrers/${image.digest}`)).status).toBe(404);
    const first = await fetch(`${server.url}/v2/app/tags/list?n=2`);
    expect(await first.json()).toEqual({ name: 'app', tags: ['a', 'b'] });
    expect(first.headers.get('link')).toBe('</v2/app/tags/list?last=b&n=2>; rel="next"');
  });
});

describe('ECR’s manners on the distribution interface', () => {
  it('knows no repository that nobody created, on the upload already', async () => {
    const server = await start(open);
    const refused = await fetch(`${server.url}/v2/app/blobs/uploads/`, { method: 'POST' });
    expect([refused.status, await errorOf(refused)]).toEqual([
      404,
      {
        code: 'NAME_UNKNOWN',
        message: "The repository with name 'app' does not exist in the registry with id '123456789012'",
      },
    ]);
  });

  it('answers a PATCH with 201 and drops the bytes of every further one', async () => {
    const server = await start(open);
    server.createRepository('app');
    const started = await fetch(`${server.url}/v2/app/blobs/uploads/`, { method: 'POST' });
    const location = `${server.url}${started.headers.get('location') ?? ''}`;
    const first = await fetch(location, { method: 'PATCH', body: 'first' });
    const second = await fetch(location, { method: 'PATCH', body: 'second' });
    expect([first.status, first.headers.get('range')]).toEqual([201, '0-4']);
    expect([second.status, second.headers.get('range')]).toEqual([201, '0-4']);
    expect((await fetch(location)).status).toBe(404);
    const both = await fetch(`${location}?digest=${digestOf('firstsecond')}`, { method: 'PUT' });
    expect((await errorOf(both)).code).toBe('DIGEST_INVALID');
  });

  it('takes one PATCH and an empty PUT, but no second start in a session', async () => {
    const server = await start(open);
    server.createRepository('app');
    const session = async (): Promise<string> => {
      const started = await fetch(`${server.url}/v2/app/blobs/uploads/`, { method: 'POST' });
      const location = `${server.url}${started.headers.get('location') ?? ''}`;
      await fetch(location, { method: 'PATCH', body: 'whole' });
      return `${location}?digest=${digestOf('whole')}`;
    };
    const again = await fetch(await session(), { method: 'PUT', body: 'whole' });
    expect([again.status, await errorOf(again)]).toEqual([
      416,
      { code: 'BLOB_UPLOAD_INVALID', message: 'First byte of the layer part is 0 instead of 5' },
    ]);
    expect((await fetch(await session(), { method: 'PUT' })).status).toBe(201);
  });

  it('refuses sha512 digests, tags with +, and manifests over 4 MiB', async () => {
    const server = await start(open);
    server.createRepository('app');
    const started = await fetch(`${server.url}/v2/app/blobs/uploads/`, { method: 'POST' });
    const location = `${server.url}${started.headers.get('location') ?? ''}?digest=${digestOf('x', 'sha512')}`;
    expect((await errorOf(await fetch(location, { method: 'PUT', body: 'x' }))).message).toBe(
      'unsupported digest algorithm',
    );
    const image = buildImage({ name: 'app' });
    expect((await putManifest(server, 'app', '1.0.0+build', image)).status).toBe(400);
    const large = await fetch(`${server.url}/v2/app/manifests/large`, {
      method: 'PUT',
      headers: { 'content-type': mediaTypes.ociManifest },
      body: ' '.repeat(4 * 1024 * 1024 + 1),
    });
    expect([large.status, (await errorOf(large)).code]).toEqual([405, 'UNSUPPORTED']);
  });

  it('wants children and blobs in the same repository, and names those that are missing', async () => {
    const server = await start(open);
    const image = buildImage({ name: 'app' });
    await server.putImage('elsewhere', 'v1', image);
    server.createRepository('app');
    const index = await putManifest(server, 'app', 'v1', image);
    const [amd64, arm64] = image.manifests;
    expect((await errorOf(index)).message).toBe(
      `Images with digests '[${amd64?.descriptor.digest ?? ''}, ${arm64?.descriptor.digest ?? ''}]' required for pushing image into repository with name 'app' in the registry with id '123456789012' do not exist`,
    );
    const single = buildImage({ name: 'app', platforms: ['linux/amd64'], index: false });
    const refused = await errorOf(await putManifest(server, 'app', 'v1', single));
    expect(refused.code).toBe('BLOB_UNKNOWN');
    for (const digest of single.blobs.keys()) expect(refused.message).toContain(digest);
  });

  it('refuses to overwrite an immutable tag, even with the same digest', async () => {
    const server = await start(open);
    server.createRepository('app', { imageTagMutability: 'IMMUTABLE' });
    const image = buildImage({ name: 'app' });
    await server.putImage('app', 'v1', image);
    const refused = await errorOf(await putManifest(server, 'app', 'v1', image));
    expect(refused).toEqual({
      code: 'TAG_INVALID',
      message:
        "The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the repository is immutable.",
    });
    expect((await putManifest(server, 'app', 'v2', image)).status).toBe(201);
  });

  it('refuses media types with parameters', async () => {
    const server = await start(open);
    const image = withReferrer(buildImage({ name: 'app' }), { artifactType: 'application/x;y=1' });
    await server.putImage('app', 'v1', image);
    const refused = await putManifest(server, 'app', 'x', image);
    expect([refused.status, (await errorOf(refused)).code]).toEqual([405, 'UNSUPPORTED']);
  });

  it('mounts only with the account setting and what a manifest refers to', async () => {
    const server = await start({ ...open });
    const image = buildImage({ name: 'app' });
    await server.putImage('app', 'v1', image);
    await upload(server, 'app', 'loose');
    server.createRepository('other');
    const mount = async (digest: string): Promise<number> =>
      (await fetch(`${server.url}/v2/other/blobs/uploads/?mount=${digest}&from=app`, { method: 'POST' })).status;
    const layer = [...image.blobs.keys()][0] ?? '';
    expect(await mount(layer)).toBe(202);
    server.setMounting(true);
    expect(await mount(digestOf('loose'))).toBe(202);
    expect(await mount(layer)).toBe(201);
    expect(server.hasBlob('other', layer)).toBe(true);
  });

  it('redirects downloads to a store that refuses credentials and forgets addresses', async () => {
    const server = await start(open);
    server.createRepository('app');
    await upload(server, 'app', 'content');
    const redirect = await fetch(`${server.url}/v2/app/blobs/${digestOf('content')}`, { redirect: 'manual' });
    const location = redirect.headers.get('location') ?? '';
    expect([redirect.status, new URL(location).host]).toEqual([307, server.storageHost]);
    expect(await (await fetch(location)).text()).toBe('content');
    const ranged = await fetch(location, { headers: { range: 'bytes=0-2' } });
    expect([ranged.status, await ranged.text()]).toEqual([206, 'con']);
    expect((await fetch(location, { headers: { authorization: 'Basic eDp5' } })).status).toBe(400);
    expect((await fetch(location, { method: 'HEAD' })).status).toBe(403);
    server.expireRedirects();
    expect((await fetch(location)).status).toBe(403);
  });

  it('lists 100 tags a page with tokens of its own, and refuses n > 1000', async () => {
    const server = await start(open);
    const image = buildImage({ name: 'app' });
    for (let i = 0; i < 101; i += 1) await server.putImage('app', `t${String(i).padStart(3, '0')}`, image);
    const first = await fetch(`${server.url}/v2/app/tags/list`);
    expect(((await first.json()) as { tags: string[] }).tags).toHaveLength(100);
    const next = /<([^>]+)>/.exec(first.headers.get('link') ?? '')?.[1] ?? '';
    expect(await (await fetch(next)).json()).toEqual({ name: 'app', tags: ['t100'] });
    expect((await fetch(`${server.url}/v2/app/tags/list?n=1001`)).status).toBe(405);
    const invented = await fetch(`${server.url}/v2/app/tags/list?last=t099`);
    expect([invented.status, (await errorOf(invented)).message]).toEqual([405, 'Invalid next token']);
  });

  it('throttles manifests without saying for how long', async () => {
    const server = await start({ ...open, manifestPutRate: { perSecond: 0.001, burst: 2 } });
    const image = buildImage({ name: 'app' });
    await server.putImage('app', 'v1', image);
    const statuses: number[] = [];
    for (let i = 0; i < 3; i += 1) statuses.push((await putManifest(server, 'app', 'v1', image)).status);
    expect(statuses).toEqual([201, 201, 429]);
    const throttled = await putManifest(server, 'app', 'v1', image);
    expect([throttled.headers.get('retry-after'), (await errorOf(throttled)).code]).toEqual([null, 'TOOMANYREQUESTS']);
  });

  it('lists referrers and acknowledges a subject', async () => {
    const server = await start(open);
    const image = withReferrer(buildImage({ name: 'app' }));
    await server.putImage('app', 'v1', image);
    const referrer = image.manifests.at(-1);
    const list = await fetch(`${server.url}/v2/app/referrers/${image.digest}`);
    const { manifests } = (await list.json()) as { manifests: { digest: string; artifactType: string }[] };
    expect(manifests).toMatchObject([
      { digest: referrer?.descriptor.digest, artifactType: 'application/vnd.example.sbom.v1+json' },
    ]);
    const put = await putManifest(server, 'app', referrer?.descriptor.digest ?? '', image);
    expect(put.headers.get('oci-subject')).toBe(image.digest);
  });
});

describe('credentials', () => {
  it('ECR: asks for Basic, and tells an expired token by 403', async () => {
    const server = await start({ manners: 'ecr' });
    const refused = await fetch(`${server.url}/v2/`);
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([
      401,
      `Basic realm="${server.url}/",service="ecr.amazonaws.com"`,
    ]);
    const token = await ecrToken(server);
    const headers = { authorization: `Basic ${token}` };
    expect((await fetch(`${server.url}/v2/`, { headers })).status).toBe(200);
    server.expireTokens();
    const expired = await fetch(`${server.url}/v2/`, { headers });
    expect([expired.status, await errorOf(expired)]).toEqual([
      403,
      { code: 'DENIED', message: 'Your authorization token has expired. Reauthenticate and try again.' },
    ]);
  });

  it('Bearer: names realm, service and scope, and grants only what the token was asked for', async () => {
    const server = await start({
      manners: 'plain',
      auth: { kind: 'bearer', username: 'user', password: 'pass', service: 'sample', separateTokenServer: true },
    });
    await server.putImage('team/app', 'v1', buildImage({ name: 'app' }));
    const url = `${server.url}/v2/team/app/manifests/v1`;
    const challenge = (await fetch(url)).headers.get('www-authenticate');
    expect(challenge).toBe(
      `Bearer realm="http://${server.tokenHost}/token",service="sample",scope="repository:team/app:pull"`,
    );
    expect(server.tokenHost).not.toBe(server.host);
    const ask = (authorization?: string): Promise<Response> =>
      fetch(`http://${server.tokenHost}/token?service=sample&scope=repository:team/app:pull`, {
        headers: authorization === undefined ? {} : { authorization },
      });
    expect((await ask()).status).toBe(401);
    const { token } = (await (await ask(`Basic ${Buffer.from('user:pass').toString('base64')}`)).json()) as {
      token: string;
    };
    const headers = { authorization: `Bearer ${token}`, accept: '*/*' };
    expect((await fetch(url, { headers })).status).toBe(200);
    const push = await fetch(`${server.url}/v2/team/app/blobs/uploads/`, { method: 'POST', headers });
    expect(push.headers.get('www-authenticate')).toContain('error="insufficient_scope"');
    server.expireTokens();
    const expired = await fetch(url, { headers });
    expect([expired.status, expired.headers.get('www-authenticate')]).toEqual([
      401,
      expect.stringContaining('error="invalid_token"'),
    ]);
  });

  it('Bearer: lets anybody pull where told so, and exchanges an identity token', async () => {
    const server = await start({
      manners: 'plain',
      auth: {
        kind: 'bearer',
        username: 'user',
        password: 'pass',
        anonymousPull: true,
        identityToken: 'refresh',
        service: null,
        extraChallenges: ['Basic realm="other"'],
        tokenField: 'access_token',
        omitExpiresIn: true,
      },
    });
    const challenge = (await fetch(`${server.url}/v2/`)).headers.get('www-authenticate');
    expect(challenge).toBe(`Bearer realm="${server.url}/token", Basic realm="other"`);
    const scope = 'repository:app:pull,push';
    const startWith = async (answer: Response): Promise<number> => {
      const { access_token: token, expires_in: expires } = (await answer.json()) as Record<string, string | undefined>;
      expect(expires).toBeUndefined();
      const headers = { authorization: `Bearer ${token ?? ''}` };
      return (await fetch(`${server.url}/v2/app/blobs/uploads/`, { method: 'POST', headers })).status;
    };
    expect(await startWith(await fetch(`${server.url}/token?scope=${scope}`))).toBe(401);
    const exchange = (token: string): Promise<Response> =>
      fetch(`${server.url}/token`, {
        method: 'POST',
        body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token, scope }),
      });
    expect(await startWith(await exchange('refresh'))).toBe(202);
    expect((await exchange('wrong')).status).toBe(401);
  });

  it('Basic: takes the one right pair', async () => {
    const server = await start({ manners: 'plain', auth: { kind: 'basic', username: 'user', password: 'pass' } });
    const with_ = (pair: string): Promise<Response> =>
      fetch(`${server.url}/v2/`, { headers: { authorization: `Basic ${Buffer.from(pair).toString('base64')}` } });
    expect((await with_('user:wrong')).status).toBe(401);
    expect((await with_('user:pass')).status).toBe(200);
  });
});

async function ecrToken(server: RegistryServer): Promise<string> {
  const response = await fetch(server.url, {
    method: 'POST',
    headers: {
      'x-amz-target': 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken',
      authorization:
        'AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/ecr/aws4_request, SignedHeaders=host, Signature=0',
    },
    body: '{}',
  });
  const { authorizationData } = (await response.json()) as { authorizationData: { authorizationToken: string }[] };
  return authorizationData[0]?.authorizationToken ?? '';
}

describe('storage that discards', () => {
  it('verifies and remembers a blob without keeping it', async () => {
    const server = await start({ ...plain, storage: 'discard' });
    expect((await upload(server, 'app', 'content')).status).toBe(201);
    const head = await fetch(`${server.url}/v2/app/blobs/${digestOf('content')}`, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '7']);
    const started = await fetch(`${server.url}/v2/app/blobs/uploads/`, { method: 'POST' });
    const location = `${server.url}${started.headers.get('location') ?? ''}?digest=${digestOf('right')}`;
    expect((await fetch(location, { method: 'PUT', body: 'wrong' })).status).toBe(400);
  });
});

describe('storage in a folder', () => {
  it('keeps repositories, blobs and synthetic content for the next server', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'registry-'));
    try {
      const image = withCosignTag(buildImage({ name: 'app', attestations: true }));
      const first = await start({ ...plain, storage: { directory } });
      await first.putImage('team/app', 'v1', image);
      await upload(first, 'team/app', 'pushed over HTTP');
      await first.close();

      const second = await start({ ...plain, storage: { directory } });
      expect(second.repositories()).toEqual(['team/app']);
      expect(second.tags('team/app')).toEqual([`${image.digest.replace(':', '-')}.sig`, 'v1']);
      expect(second.manifest('team/app', 'v1')?.descriptor.digest).toBe(image.digest);
      const blob = await fetch(`${second.url}/v2/team/app/blobs/${digestOf('pushed over HTTP')}`);
      expect(await blob.text()).toBe('pushed over HTTP');
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe('the log', () => {
  it('counts requests by class, with the bytes that went each way', async () => {
    const server = await start(plain);
    await upload(server, 'app', 'content');
    await (await fetch(`${server.url}/v2/app/blobs/${digestOf('content')}`)).text();
    expect([server.count('upload-start'), server.count('upload-put'), server.count('blob-get')]).toEqual([1, 1, 1]);
    expect([server.requests.bytesIn('upload-put'), server.requests.bytesOut('blob-get')]).toEqual([7, 7]);
    server.reset();
    expect(server.requests.entries).toEqual([]);
  });
});
