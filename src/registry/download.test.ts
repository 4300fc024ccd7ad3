import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type CredentialSource, noCredentials } from '../model/credentials.ts';
import { httpDownloads, type HttpDownloads } from './download.ts';
import { serve, type TestHost, testTransport } from './test-host.ts';

const { signal } = new AbortController();
const opened: { close(): Promise<unknown> }[] = [];
let folder: string;
beforeAll(async () => (folder = await mkdtemp(path.join(tmpdir(), 'downloads-'))));
afterAll(() => rm(folder, { recursive: true }));
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

async function host(...args: Parameters<typeof serve>): Promise<TestHost> {
  const server = await serve(...args);
  opened.push(server);
  return server;
}
function downloads(credentials: CredentialSource = noCredentials): HttpDownloads {
  const transport = testTransport();
  opened.push(transport);
  return httpDownloads(transport, credentials);
}
const someone: CredentialSource = {
  credentialFor: () => Promise.resolve({ kind: 'basic', username: 'someone', password: 'secret-word' }),
};

describe('downloads', () => {
  it('follow redirects, and say where they ended', async () => {
    const server = await host((seen, response) => {
      if (seen.url === '/index.yaml') response.writeHead(302, { location: 'other/index.yaml' }).end();
      else response.end(seen.headers.accept);
    });
    const { bytes, finalUrl } = await downloads().getBytes(`http://${server.host}/index.yaml`, {
      maxBytes: 100,
      signal,
      accept: 'text/yaml',
    });
    expect([Buffer.from(bytes).toString(), finalUrl]).toEqual(['text/yaml', `http://${server.host}/other/index.yaml`]);
  });

  it('are what they are where a server calls them encoded: .tgz is "x-gzip" to Apache (AddEncoding)', async () => {
    const chart = gzipSync('a chart');
    const server = await host((seen, response) => {
      const encoding = seen.url.includes('x-') ? 'x-gzip' : 'gzip';
      response.writeHead(200, { 'content-encoding': encoding }).end(chart);
    });
    for (const name of ['gzip.tgz', 'x-gzip.tgz']) {
      const url = `http://${server.host}/${name}`;
      const { bytes } = await downloads().getBytes(url, { maxBytes: 1_000, signal });
      expect(Buffer.from(bytes).equals(chart)).toBe(true);
      const file = path.join(folder, name);
      await downloads().getToFile(url, file, { maxBytes: 1_000, signal });
      expect((await readFile(file)).equals(chart)).toBe(true);
    }
  });

  it('give credentials to the host that asks, and to no other', async () => {
    const elsewhere = await host(
      (_seen, response) => void response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
    );
    const server = await host((seen, response) => {
      if (seen.authorization === undefined) response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      else if (seen.url === '/moved') response.writeHead(302, { location: `http://${elsewhere.host}/` }).end();
      else response.end('chart');
    });
    const get = downloads(someone);
    for (let round = 0; round < 2; round += 1) await get.getBytes(`http://${server.host}/`, { maxBytes: 100, signal });
    expect(server.seen.map(({ authorization }) => authorization !== undefined)).toEqual([false, true, true]);
    await expect(get.getBytes(`http://${server.host}/moved`, { maxBytes: 100, signal })).rejects.toMatchObject({
      code: 'unauthorized',
    });
    expect(elsewhere.seen.map(({ authorization }) => authorization)).toEqual([undefined]);
  });

  it.each([
    [401, 'unauthorized'],
    [403, 'denied'],
    [404, 'not-found'],
  ])('%i is %s', async (status, code) => {
    const server = await host((_seen, response) => void response.writeHead(status).end('<html>no secret-word</html>'));
    const error: unknown = await downloads(someone)
      .getBytes(`http://${server.host}/x?token=abc`, { maxBytes: 100, signal })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code, status, host: server.host, reference: `http://${server.host}/x` });
    expect(String(error)).not.toContain('abc');
    if (status === 401) expect(String(error)).not.toContain('secret-word');
  });

  it('refuse what is too long, with and without Content-Length', async () => {
    const server = await host((seen, response) => {
      if (seen.url === '/told') response.writeHead(200, { 'content-length': 1_000 });
      response.write(Buffer.alloc(500));
      response.end(Buffer.alloc(500));
    });
    const file = path.join(folder, 'long');
    for (const each of ['told', 'untold']) {
      const url = `http://${server.host}/${each}`;
      await expect(downloads().getBytes(url, { maxBytes: 999, signal })).rejects.toMatchObject({ code: 'corrupt' });
      await expect(downloads().getToFile(url, file, { maxBytes: 999, signal })).rejects.toMatchObject({
        code: 'corrupt',
      });
      expect(existsSync(file)).toBe(false);
    }
  });

  it('write files, starting over when the connection breaks', async () => {
    const content = Buffer.alloc(200_000, 'helm');
    let left = 1;
    const server = await host((_seen, response, request) => {
      response.writeHead(200, { 'content-length': content.length });
      if (left-- > 0) response.write(content.subarray(0, 1_000), () => request.socket.destroy());
      else response.end(content);
    });
    const file = path.join(folder, 'helm');
    const progress: number[] = [];
    const done = await downloads().getToFile(`http://${server.host}/helm.tgz`, file, {
      maxBytes: 1e6,
      signal,
      onProgress: (bytes) => progress.push(bytes),
    });
    expect(done).toEqual({
      size: content.length,
      sha256: createHash('sha256').update(content).digest('hex'),
      finalUrl: `http://${server.host}/helm.tgz`,
    });
    expect(await readFile(file)).toEqual(content);
    expect(progress.at(-1)).toBe(content.length);
    await expect(
      downloads().getToFile(`http://${server.host}/`, path.join(folder, 'no', 'such'), { maxBytes: 1e6, signal }),
    ).rejects.toMatchObject({ code: 'storage' });
  });

  it.each([
    ['http://charts.example.com/index.yaml', 'refused'],
    ['https://user:password@charts.example.com/', 'configuration'],
    ['nonsense', 'configuration'],
    ['file:///etc/passwd', 'refused'],
  ])('refuse %s', async (url, code) => {
    const error: unknown = await downloads()
      .getBytes(url, { maxBytes: 1, signal })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code });
    expect(String(error)).not.toContain('password');
  });
});
