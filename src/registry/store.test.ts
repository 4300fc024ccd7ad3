import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import { noCredentials } from '../model/credentials.ts';
import { type Digest, digestHex, digestOf } from '../model/digest.ts';
import { mediaTypes } from '../model/media-types.ts';
import type { WriteStore } from '../model/store.ts';
import { registryStore, type RegistryOptions } from './store.ts';
import { json, serve, type TestHost, testTransport } from './test-host.ts';

const { signal } = new AbortController();
const bytes = Buffer.from('0123456789');
const digest = digestOf(bytes);
const descriptor = { mediaType: mediaTypes.ociLayerGzip, digest, size: bytes.length };
const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] }));
const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

async function host(...args: Parameters<typeof serve>): Promise<TestHost> {
  const server = await serve(...args);
  opened.push(server);
  return server;
}
function storeAt(server: TestHost, options: Partial<RegistryOptions> = {}): WriteStore {
  const transport = testTransport();
  opened.push(transport);
  return registryStore(transport, server.host, { credentials: noCredentials, ...options });
}

describe('resolve and readManifest', () => {
  it('asks by HEAD with every type that a registry might convert from', async () => {
    const server = await host(
      (_seen, response) =>
        void response
          .writeHead(200, {
            'content-type': `${mediaTypes.ociIndex}; charset=utf-8`,
            'docker-content-digest': digest,
            'content-length': 7,
          })
          .end(),
    );
    expect(await storeAt(server).resolve('a', 'latest', signal)).toEqual({
      mediaType: mediaTypes.ociIndex,
      digest,
      size: 7,
    });
    expect(server.seen.map(({ method }) => method)).toEqual(['HEAD']);
    for (const type of [
      mediaTypes.ociIndex,
      mediaTypes.dockerManifestList,
      mediaTypes.ociManifest,
      mediaTypes.dockerManifest,
    ])
      expect(server.seen[0]?.headers.accept).toContain(type);
  });

  it.each([
    ['no digest', 200, { 'content-type': mediaTypes.ociIndex }],
    ['no type', 200, { 'docker-content-digest': digestOf(index) }],
    ['a refusal of HEAD', 405, {}],
  ])('reads the manifest when HEAD gives %s', async (_name, status, headers) => {
    const server = await host((seen, response) => {
      if (seen.method === 'HEAD') response.writeHead(status, headers).end();
      else response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(index);
    });
    expect(await storeAt(server).resolve('a', 'latest', signal)).toEqual({
      mediaType: mediaTypes.ociIndex,
      digest: digestOf(index),
      size: index.length,
    });
  });

  it.each([
    ['the digest asked for', digestOf('other'), {}],
    ['the digest announced', 'latest', { 'docker-content-digest': digestOf('other') }],
  ])('refuses a manifest that is not %s', async (_name, reference, headers) => {
    const server = await host(
      (_seen, response) => void response.writeHead(200, { 'content-type': mediaTypes.ociIndex, ...headers }).end(index),
    );
    await expect(storeAt(server).readManifest('a', reference, signal)).rejects.toMatchObject({
      code: 'corrupt',
      host: server.host,
    });
  });

  it('refuses a manifest above 4 MiB', async () => {
    const server = await host((_seen, response) => void response.end(Buffer.alloc(4 * 1024 * 1024 + 1)));
    await expect(storeAt(server).readManifest('a', 'latest', signal)).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('4194304') as unknown,
    });
  });

  it.each([
    [404, 'MANIFEST_UNKNOWN', 'not-found'],
    [404, 'NAME_UNKNOWN', 'not-found'],
    [403, 'DENIED', 'denied'],
    [500, 'UNKNOWN', 'unavailable'],
    [429, 'TOOMANYREQUESTS', 'throttled'],
  ])('%i %s is %s, with the words of the registry', async (status, code, expected) => {
    const server = await host((_seen, response) =>
      json(response, status, { errors: [{ code, message: 'because\nof <b>this</b>', detail: { Tag: 'x' } }] }),
    );
    const transport = testTransport({ retry: { attempts: 1, baseMs: 1, maxMs: 1 }, clock: quickClock() });
    opened.push(transport);
    const store = registryStore(transport, server.host, { credentials: noCredentials });
    await expect(store.readManifest('a/b', 'x', signal)).rejects.toMatchObject({
      code: expected,
      status,
      host: server.host,
      reference: `${server.host}/a/b`,
      message: expect.stringContaining(`${code} because of this {"Tag":"x"}`) as unknown,
    });
  });
});

describe('writeManifest', () => {
  const content = {
    descriptor: { mediaType: mediaTypes.ociIndex, digest: digestOf(index), size: index.length },
    bytes: index,
  };
  it.each([
    [
      400,
      {
        code: 'TAG_INVALID',
        message:
          "The image tag 'x' already exists in the 'a' repository and cannot be overwritten because the repository is immutable.",
      },
      'conflict',
    ],
    [412, { code: 'PRECONDITION', message: 'configured as immutable' }, 'conflict'],
    [
      404,
      {
        code: 'MANIFEST_BLOB_UNKNOWN',
        message:
          "Images with digests '[sha256:1]' required for pushing image into repository with name 'a' do not exist",
      },
      'blob-unknown',
    ],
    [400, { code: 'MANIFEST_UNKNOWN' }, 'blob-unknown'],
    [400, { code: 'UNKNOWN', message: 'LayersNotFoundException' }, 'blob-unknown'],
    [405, { code: 'UNSUPPORTED', message: 'Invalid parameter' }, 'unsupported'],
    [415, {}, 'unsupported'],
    [400, { code: 'MANIFEST_INVALID', message: 'unknown media type' }, 'unsupported'],
    [400, { code: 'MANIFEST_INVALID', message: 'no config' }, 'corrupt'],
    [404, { code: 'NAME_UNKNOWN' }, 'not-found'],
    [403, { code: 'DENIED' }, 'denied'],
  ])('%i %j is %s', async (status, error, code) => {
    const server = await host((_seen, response) => json(response, status, { errors: [error] }));
    await expect(storeAt(server).writeManifest('a', 'x', content, signal)).rejects.toMatchObject({
      code,
      status,
      digest: digestOf(index),
    });
    expect(server.seen).toHaveLength(1);
  });

  it('sends the bytes as they are, again when the connection breaks, and checks what was stored', async () => {
    let left = 0;
    let stored: Digest = digestOf(index);
    const server = await host((_seen, response, request) => {
      if (left-- > 0) request.socket.destroy();
      else response.writeHead(201, { 'docker-content-digest': stored }).end();
    });
    const store = storeAt(server);
    await store.resolve('a', 'x', signal).catch(() => undefined);
    left = 1;
    const before = server.seen.length;
    await store.writeManifest('a', 'x', content, signal);
    expect(server.seen).toHaveLength(before + 2);
    expect(server.seen.at(-1)).toMatchObject({
      method: 'PUT',
      url: '/v2/a/manifests/x',
      body: index,
      headers: { 'content-type': mediaTypes.ociIndex },
    });
    stored = digestOf('other');
    await expect(store.writeManifest('a', 'x', content, signal)).rejects.toMatchObject({ code: 'corrupt' });
    const sha512 = { ...content, descriptor: { ...content.descriptor, digest: digestOf(index, 'sha512') } };
    await store.writeManifest('a', 'x', sha512, signal);
    expect(server.seen.at(-1)?.url).toBe(`/v2/a/manifests/x?digest=${sha512.descriptor.digest}`);
  });
});

describe('referrers of a registry that keeps none', () => {
  const subject = digestOf('subject');
  const tag = `/v2/r/manifests/sha256-${digestHex(subject)}`;
  const referring = (name: string) => {
    const config = { mediaType: mediaTypes.ociEmpty, digest: digestOf('{}'), size: 2 };
    const json = {
      schemaVersion: 2,
      config,
      layers: [],
      annotations: { name },
      subject: { ...config, digest: subject },
    };
    const content = Buffer.from(JSON.stringify(json));
    return {
      descriptor: { mediaType: mediaTypes.ociManifest, digest: digestOf(content), size: content.length },
      bytes: content,
    };
  };

  it('are all listed under the fallback tag, written at once and after one that failed', async () => {
    let tagged: Buffer | undefined;
    let refuse = true;
    const server = await host((seen, response) => {
      const isTag = seen.url === tag;
      if (seen.method === 'GET') {
        if (isTag && tagged !== undefined) response.writeHead(200, { 'content-type': mediaTypes.ociIndex }).end(tagged);
        else response.writeHead(404).end();
      } else if (isTag && refuse) {
        refuse = false;
        response.writeHead(403).end();
      } else {
        if (isTag) tagged = seen.body;
        response.writeHead(201).end();
      }
    });
    const store = storeAt(server);
    const contents = ['1', '2', '3', '4'].map(referring);
    const results = await Promise.allSettled(
      contents.map((content) => store.writeManifest('r', content.descriptor.digest, content, signal)),
    );
    expect(results.filter(({ status }) => status === 'rejected')).toMatchObject([{ reason: { code: 'denied' } }]);
    expect(await store.listReferrers('r', subject, signal)).toHaveLength(3);
    for (const content of contents) await store.writeManifest('r', content.descriptor.digest, content, signal);
    const listed = await store.listReferrers('r', subject, signal);
    expect(new Set(listed.map(({ digest }) => digest))).toEqual(
      new Set(contents.map(({ descriptor }) => descriptor.digest)),
    );
    expect(listed[0]).toMatchObject({ artifactType: mediaTypes.ociEmpty });
  });

  it('are left alone where the registry says that it keeps them', async () => {
    const server = await host((_seen, response) => void response.writeHead(201, { 'oci-subject': subject }).end());
    const content = referring('1');
    await storeAt(server).writeManifest('r', content.descriptor.digest, content, signal);
    expect(server.seen).toHaveLength(1);
  });
});

describe('blobs', () => {
  const open = async (server: TestHost, range?: { start: number; end: number }): Promise<Buffer> =>
    buffer(await storeAt(server).openBlob('a', descriptor, { signal, range }));

  it('are read whole and in parts', async () => {
    const server = await host((seen, response) => {
      const part = /^bytes=(\d+)-(\d+)$/.exec(seen.headers.range ?? '');
      if (part === null) return void response.end(bytes);
      const [start, end] = [Number(part[1]), Number(part[2])];
      response.writeHead(206, { 'content-range': `bytes ${start}-${end}/10` }).end(bytes.subarray(start, end + 1));
    });
    expect((await open(server)).toString()).toBe('0123456789');
    expect((await open(server, { start: 2, end: 4 })).toString()).toBe('234');
  });

  it.each([
    ['a 200 for a part', 200, {}, 'unsupported'],
    ['another part', 206, { 'content-range': 'bytes 0-2/10' }, 'unsupported'],
    ['another size', 206, { 'content-range': 'bytes 2-4/11' }, 'corrupt'],
  ])('refuse %s', async (_name, status, headers, code) => {
    const server = await host((_seen, response) => void response.writeHead(status, headers).end('234'));
    await expect(open(server, { start: 2, end: 4 })).rejects.toMatchObject({ code });
  });

  it.each([
    [
      'a longer Content-Length',
      (response) => response.writeHead(200, { 'content-length': 11 }).end('0123456789x'),
      'corrupt',
    ],
    [
      'a shorter Content-Length',
      (response) => response.writeHead(200, { 'content-length': 9 }).end('012345678'),
      'corrupt',
    ],
    ['fewer bytes without one', (response) => void (response.write('0123'), response.end()), 'corrupt'],
    ['more bytes without one', (response) => void (response.write('0123456789'), response.end('x')), 'corrupt'],
    [
      'a broken connection',
      (response) => response.writeHead(200, { 'content-length': 10 }).write('0123', () => response.socket?.destroy()),
      'unreachable',
    ],
  ] satisfies [string, (response: Parameters<Parameters<typeof serve>[0]>[1]) => unknown, string][])(
    'fail on %s',
    async (_name, answer, code) => {
      const server = await host((_seen, response) => void answer(response));
      await expect(open(server)).rejects.toMatchObject({ code, host: server.host });
    },
  );

  it('that are missing are found by HEAD, or by GET where HEAD is refused (public.ecr.aws)', async () => {
    const here = [digestOf('1'), digestOf('2')];
    const server = await host((seen, response) => {
      const known = here.some((each) => seen.url.endsWith(each));
      if (seen.url.startsWith('/v2/odd/') && seen.method === 'HEAD') return void response.writeHead(401).end();
      if (known && seen.url.endsWith(here[1] ?? ''))
        return void response.writeHead(307, { location: 'https://storage.example/x' }).end();
      response.writeHead(known ? 200 : 404).end(seen.method === 'GET' ? 'x' : '');
    });
    const store = storeAt(server);
    const asked = [...here, digestOf('3'), digestOf('3')].map((each) => ({ ...descriptor, digest: each }));
    for (const repository of ['plain', 'odd'])
      expect([...(await store.missingBlobs(repository, asked, signal))]).toEqual([digestOf('3')]);
    expect(server.seen.filter(({ url }) => url.startsWith('/v2/plain/'))).toHaveLength(3);
  });

  it('that are missing are asked of the account where it can tell', async () => {
    const server = await host((_seen, response) => void response.writeHead(404).end());
    let answer: ReadonlySet<Digest> | undefined = new Set();
    const control = {
      ensureRepository: () => Promise.resolve('created' as const),
      missingBlobs: () => Promise.resolve(answer),
    };
    const store = storeAt(server, { control });
    expect(store.batchedExistence).toBe(true);
    expect(await store.ensureRepository('a', signal)).toBe('created');
    expect((await store.missingBlobs('a', [descriptor], signal)).size).toBe(0);
    expect(server.seen).toHaveLength(0);
    answer = undefined;
    expect((await store.missingBlobs('a', [descriptor], signal)).size).toBe(1);
  });
});

describe('uploads', () => {
  it('mount where the registry does, and upload where it refuses to', async () => {
    const server = await host((seen, response) => {
      if (seen.url.includes('from=good')) return void response.writeHead(201, { location: '/x' }).end();
      if (seen.url.includes('from='))
        return void response.writeHead(seen.url.includes('later') ? 202 : 403, { location: '/later?x=y' }).end();
      response.writeHead(202, { location: 'relative?state=a%2Fb' }).end();
    });
    const store = storeAt(server);
    expect(await store.startUpload('a', digest, 'good', signal)).toEqual({ kind: 'mounted' });
    expect(await store.startUpload('a', digest, 'later', signal)).toMatchObject({
      session: { location: `http://${server.host}/later?x=y` },
    });
    expect(await store.startUpload('a', digest, 'private', signal)).toMatchObject({
      session: { location: `http://${server.host}/v2/a/blobs/uploads/relative?state=a%2Fb` },
    });
    expect(server.seen[0]?.url).toBe(`/v2/a/blobs/uploads/?mount=${digest}&from=good`);
    expect(server.seen[0]?.headers['content-length']).toBe('0');
  });

  it('send one PUT with the length, to another host without Authorization', async () => {
    const other = await host((_seen, response) => void response.writeHead(201).end());
    const server = await host((seen, response) => {
      if (seen.authorization === undefined)
        return void response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      response.writeHead(202, { location: `http://${other.host}/upload?state=s` }).end();
    });
    const store = storeAt(server, {
      credentials: { credentialFor: () => Promise.resolve({ kind: 'basic', username: 'a', password: 'b' }) },
    });
    const started = await store.startUpload('a', digest, undefined, signal);
    if (started.kind !== 'upload') throw new Error('mounted');
    await store.finishUpload(
      started.session,
      descriptor,
      Readable.from([bytes.subarray(0, 3), bytes.subarray(3)]),
      signal,
    );
    expect(other.seen).toMatchObject([
      {
        method: 'PUT',
        url: `/upload?state=s&digest=${digest}`,
        authorization: undefined,
        body: bytes,
        headers: { 'content-length': '10', 'content-type': 'application/octet-stream' },
      },
    ]);
    expect(other.seen[0]?.headers['transfer-encoding']).toBeUndefined();
  });

  it.each([
    [400, 'DIGEST_INVALID', 'corrupt'],
    [416, 'BLOB_UPLOAD_INVALID', 'unavailable'],
    [404, 'BLOB_UPLOAD_UNKNOWN', 'unavailable'],
    [403, 'DENIED', 'denied'],
    [500, 'UNKNOWN', 'unavailable'],
    [429, 'TOOMANYREQUESTS', 'throttled'],
  ])('are never sent twice: %i %s is %s', async (status, code, expected) => {
    const server = await host((seen, response) => {
      if (seen.method === 'GET') json(response, 200, { tags: [] });
      else json(response, status, { errors: [{ code }] });
    });
    const store = storeAt(server);
    await store.listTags('a', signal);
    const session = { repository: 'a', location: `http://${server.host}/upload` };
    for (const body of [Readable.from([bytes]), bytes]) {
      await expect(store.finishUpload(session, descriptor, body, signal)).rejects.toMatchObject({
        code: expected,
        status,
        digest,
      });
      if (body instanceof Readable) expect(body.destroyed).toBe(true);
    }
    expect(server.seen).toHaveLength(3);
  });

  it('pass on the error of the body, and end when told to', async () => {
    const server = await host((_seen, response) => void response.writeHead(201).end());
    const store = storeAt(server);
    const session = { repository: 'a', location: `http://${server.host}/upload` };
    const broken = new Error('source is gone');
    const body = new Readable({ read: () => undefined });
    const sent = store.finishUpload(session, descriptor, body, signal);
    setTimeout(() => body.destroy(broken), 20);
    await expect(sent).rejects.toBe(broken);
    const stop = new AbortController();
    const stalled = store.finishUpload(session, descriptor, new Readable({ read: () => undefined }), stop.signal);
    setTimeout(() => stop.abort(), 20);
    await expect(stalled).rejects.toMatchObject({ code: 'cancelled' });
  });
});

describe('lists', () => {
  it('of tags follow Link verbatim, each tag once', async () => {
    const server = await host((seen, response) => {
      const page = new URL(seen.url, 'http://x').searchParams.get('next');
      if (page === null)
        json(response, 200, { tags: ['a', 'b'] }, { link: '</v2/r/tags/list?next=a%2Fb%3D&n=1000>; rel="next"' });
      else
        json(
          response,
          200,
          page === 'a/b=' ? { tags: ['b', 'c'] } : { tags: null },
          page === 'a/b=' ? { link: '<https://inner.example/v2/r/tags/list?next=end>; rel=next' } : {},
        );
    });
    const store = storeAt(server);
    expect(await store.listTags('r', signal)).toEqual(['a', 'b', 'c']);
    expect(server.seen.map(({ url }) => url)).toEqual([
      '/v2/r/tags/list?n=1000',
      '/v2/r/tags/list?next=a%2Fb%3D&n=1000',
      '/v2/r/tags/list?next=end',
    ]);
    expect(await store.firstTags?.('r', signal)).toEqual({ tags: ['a', 'b'], complete: false });
  });

  it('of tags end when pages lead in a circle or are no list', async () => {
    const server = await host((seen, response) =>
      json(response, 200, seen.url.startsWith('/v2/odd/') ? ['x'] : { tags: ['a'] }, {
        link: '</v2/r/tags/list?n=1000>; rel="next"',
      }),
    );
    for (const repository of ['r', 'odd'])
      await expect(storeAt(server).listTags(repository, signal)).rejects.toMatchObject({ code: 'corrupt' });
  });

  const referrer = { mediaType: mediaTypes.ociManifest, digest: digestOf('referrer'), size: 8 };
  const referrers = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [referrer] };

  it('of referrers come from the API, page by page', async () => {
    const server = await host((seen, response) => {
      const more = seen.url.includes('?') ? {} : { link: `<${seen.url}?next=1>; rel="next"` };
      json(response, 200, referrers, { 'content-type': mediaTypes.ociIndex, ...more });
    });
    expect(await storeAt(server).listReferrers('r', digest, signal)).toEqual([referrer]);
    expect(server.seen).toHaveLength(2);
  });

  it.each([404, 401, 405])('of referrers come from the fallback tag where the API answers %i', async (status) => {
    const server = await host((seen, response) => {
      if (seen.url.includes('/referrers/')) return void response.writeHead(status).end();
      if (seen.url.endsWith(`/manifests/sha256-${digestHex(digest)}`))
        json(response, 200, referrers, { 'content-type': mediaTypes.ociIndex });
      else response.writeHead(404).end();
    });
    const store = storeAt(server);
    expect(await store.listReferrers('r', digest, signal)).toEqual([referrer]);
    expect(await store.listReferrers('r', digestOf('x'), signal)).toEqual([]);
    const asked = server.seen.filter(({ url }) => url.includes('/referrers/')).length;
    expect(asked).toBe(status === 401 ? 2 : 1);
    const before = server.seen.length;
    if (status !== 401) {
      expect(await store.listReferrers('r', digest, signal, { fallbackTagAbsent: true })).toEqual([]);
      expect(server.seen).toHaveLength(before);
    }
  });
});

function quickClock() {
  return {
    now: () => performance.now() * 1_000,
    random: () => 0,
    after: (ms: number, callback: () => void) => {
      const timer = setTimeout(callback, ms / 1_000);
      return () => clearTimeout(timer);
    },
  };
}
