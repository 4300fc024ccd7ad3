import { afterEach, describe, expect, it } from 'vitest';
import { noCredentials } from '../model/credentials.ts';
import { digestOf } from '../model/digest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { registryStore } from './store.ts';
import { serve, type TestHost, testTransport } from './test-host.ts';

const { signal } = new AbortController();
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

function storeAt(server: TestHost) {
  const transport = testTransport({ retry: { attempts: 2, baseMs: 1, maxMs: 2 } });
  opened.push(transport);
  return registryStore(transport, server.host, { credentials: noCredentials });
}

describe('resolve', () => {
  it.each([400, 401, 403, 405])('reads the manifest where HEAD is answered %i', async (status) => {
    const server = await host((seen, response) => {
      if (seen.method === 'HEAD') response.writeHead(status).end();
      else response.writeHead(200, { 'content-type': mediaTypes.ociIndex }).end(index);
    });
    expect(await storeAt(server).resolve('a', '1', signal)).toMatchObject({ digest: digestOf(index) });
  });

  it.each([
    [500, 'unavailable'],
    [503, 'unavailable'],
    [404, 'not-found'],
    [415, 'unsupported'],
  ])('does not ask once more where HEAD is answered %i after all tries', async (status, code) => {
    const server = await host((_seen, response) => void response.writeHead(status).end());
    await expect(storeAt(server).resolve('a', '1', signal)).rejects.toMatchObject({ code, host: server.host, status });
    expect(new Set(server.seen.map(({ method }) => method))).toEqual(new Set(['HEAD']));
  });
});

describe('a manifest that is not what it should be', () => {
  it.each([
    ['another digest', digestOf('other'), index],
    ['too many bytes', 'latest', Buffer.alloc(4 * 1024 * 1024 + 1, ' ')],
  ])('(%s) is an error with host and remedy', async (_name, reference, body) => {
    const server = await host((_seen, response) => {
      response.writeHead(200, { 'content-type': mediaTypes.ociIndex }).end(body);
    });
    await expect(storeAt(server).readManifest('a', reference, signal)).rejects.toMatchObject({
      code: 'corrupt',
      host: server.host,
      message: expect.stringContaining(server.host) as unknown,
      remedy: expect.any(String) as unknown,
    });
  });
});
