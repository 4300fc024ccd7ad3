import { afterEach, describe, expect, it } from 'vitest';
import { noCredentials } from '../model/credentials.ts';
import { digestOf } from '../model/digest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { registryStore } from './store.ts';
import { json, serve, type TestHost, testTransport } from './test-host.ts';

const { signal } = new AbortController();
const subject = digestOf('subject');
const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

interface Page {
  readonly entries: readonly string[];
  /** Query of the next page's address. */
  readonly next?: string | undefined;
}

/** A registry whose pages of tags and referrers are what `page` makes of the address's query ('' for the first). */
async function listing(page: (query: string) => Page): Promise<TestHost> {
  const server = await serve((seen, response) => {
    const { pathname, search } = new URL(seen.url, 'http://x');
    const { entries, next } = page(search === '?n=1000' ? '' : search.slice(1));
    const headers: Record<string, string> = next === undefined ? {} : { link: `<${pathname}?${next}>; rel="next"` };
    if (pathname.endsWith('/tags/list')) json(response, 200, { tags: entries }, headers);
    else json(response, 200, indexOf(entries), { ...headers, 'content-type': mediaTypes.ociIndex });
  });
  opened.push(server);
  return server;
}

function indexOf(names: readonly string[]): unknown {
  const manifests = names.map((name) => ({ mediaType: mediaTypes.ociManifest, digest: digestOf(name), size: 1 }));
  return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
}

function storeAt(server: TestHost) {
  const transport = testTransport();
  opened.push(transport);
  return registryStore(transport, server.host, { credentials: noCredentials });
}

const numbered = (count: number, prefix = ''): string[] => Array.from({ length: count }, (_, at) => `${prefix}${at}`);
const refused = (server: TestHost) => ({
  code: 'refused',
  host: server.host,
  message: expect.stringContaining(server.host) as unknown,
  remedy: expect.any(String) as unknown,
});

describe('pages of tags', () => {
  it('may hold 100,000 tags on one page', async () => {
    const server = await listing(() => ({ entries: numbered(100_000) }));
    expect(await storeAt(server).listTags('r', signal)).toHaveLength(100_000);
  });

  it('end where a link comes again, or a page brings nothing new', async () => {
    const circle = await listing((query) => ({ entries: [`t${query}`, `${query}${Math.random()}`], next: query === 'b' ? 'a' : query === 'a' ? 'b' : 'a' })); // prettier-ignore
    expect(await storeAt(circle).listTags('r', signal)).toHaveLength(6);
    expect(circle.seen).toHaveLength(3);
    const same = await listing((query) => ({ entries: ['a', 'b'], next: `${query}1` }));
    expect(await storeAt(same).listTags('r', signal)).toEqual(['a', 'b']);
    expect(same.seen).toHaveLength(2);
  });

  it('are refused when there is no end to them', async () => {
    const server = await listing((query) => ({ entries: [`t${query}`], next: String(Number(query) + 1) }));
    await expect(storeAt(server).listTags('r', signal)).rejects.toMatchObject(refused(server));
    expect(server.seen).toHaveLength(1_000);
  });
});

describe('referrers', () => {
  it('are each listed once', async () => {
    const server = await listing((query) =>
      query === '' ? { entries: ['a', 'b', 'a'], next: '2' } : { entries: ['b', 'c'] },
    );
    const found = await storeAt(server).listReferrers('r', subject, signal);
    expect(found.map(({ digest }) => digest)).toEqual(['a', 'b', 'c'].map((name) => digestOf(name)));
  });

  it('end where a link comes again, or a page brings nothing new', async () => {
    const circle = await listing((query) => ({ entries: [`r${query}`, `${query}${Math.random()}`], next: query === 'a' ? 'b' : 'a' })); // prettier-ignore
    expect(await storeAt(circle).listReferrers('r', subject, signal)).toHaveLength(6);
    expect(circle.seen).toHaveLength(3);
    const same = await listing((query) => ({ entries: ['a'], next: `${query}1` }));
    expect(await storeAt(same).listReferrers('r', subject, signal)).toHaveLength(1);
    expect(same.seen).toHaveLength(2);
  });

  it('may be 1,000, and are refused beyond', async () => {
    const most = await listing(() => ({ entries: numbered(1_000) }));
    expect(await storeAt(most).listReferrers('r', subject, signal)).toHaveLength(1_000);
    const many = await listing(() => ({ entries: numbered(130_000) }));
    await expect(storeAt(many).listReferrers('r', subject, signal)).rejects.toMatchObject(refused(many));
  });

  it('are refused after 20 pages', async () => {
    const server = await listing((query) => ({ entries: [`r${query}`], next: String(Number(query) + 1) }));
    await expect(storeAt(server).listReferrers('r', subject, signal)).rejects.toMatchObject(refused(server));
    expect(server.seen).toHaveLength(20);
  });

  it('under a fallback tag are bounded too', async () => {
    const server = await serve((seen, response) => {
      if (seen.url.includes('/referrers/')) response.writeHead(404).end();
      else json(response, 200, indexOf(numbered(1_001)), { 'content-type': mediaTypes.ociIndex });
    });
    opened.push(server);
    await expect(storeAt(server).listReferrers('r', subject, signal)).rejects.toMatchObject(refused(server));
  });

  it.each(['/referrers/', '/manifests/'])('that are no index at %s are an error with the host', async (where) => {
    const server = await serve((seen, response) => {
      if (!seen.url.includes(where)) response.writeHead(404).end();
      else response.writeHead(200, { 'content-type': mediaTypes.ociIndex }).end('{"schemaVersion": 3}');
    });
    opened.push(server);
    await expect(storeAt(server).listReferrers('r', subject, signal)).rejects.toMatchObject({
      ...refused(server),
      code: 'corrupt',
    });
  });
});
