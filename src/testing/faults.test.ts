import { afterEach, describe, expect, it } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf } from '../model/digest.ts';
import { type FaultAction, FaultQueue, JsonFaultRule } from './faults.ts';
import { buildImage } from './image-builder.ts';
import { type RegistryServer, startRegistryServer } from './registry-server.ts';

const content = 'x'.repeat(1000);
const digest = digestOf(content);
let server: RegistryServer;

afterEach(() => server.close());

/** Starts a plain server that holds one blob, with a fault on its download. */
async function withFault(fault: FaultAction): Promise<string> {
  server = await startRegistryServer({ manners: 'plain' });
  const layers = [{ descriptor: { mediaType: 'text/plain', digest, size: 1000 }, content: Buffer.from(content) }];
  await server.putImage('app', 'v1', buildImage({ name: 'app', platforms: ['linux/amd64'], layers: () => layers }));
  server.fail({ class: 'blob-get', fault });
  return `${server.url}/v2/app/blobs/${digest}`;
}

async function lengthOf(url: string): Promise<number> {
  return (await (await fetch(url)).arrayBuffer()).byteLength;
}

describe('faults on a download', () => {
  it('answers a status with headers once, and works again', async () => {
    const url = await withFault({ kind: 'status', status: 429, headers: { 'retry-after': '3' }, body: 'slow down' });
    const refused = await fetch(url);
    expect([refused.status, refused.headers.get('retry-after'), await refused.text()]).toEqual([429, '3', 'slow down']);
    expect(await lengthOf(url)).toBe(1000);
    expect(server.requests.entries.map(({ fault }) => fault)).toEqual(['status', undefined]);
  });

  it.each(['request', 'after'] as const)('resets the connection (%s)', async (when) => {
    const url = await withFault({ kind: 'reset', when });
    await expect(fetch(url)).rejects.toThrow();
    expect(server.requests.entries[0]?.status).toBe(0);
    expect(await lengthOf(url)).toBe(1000);
  });

  it.each([
    ['breaks off', { kind: 'reset', when: 'answer', bytes: 10 }],
    ['ends short of its announced length', { kind: 'truncate', bytes: 10 }],
    ['announces more than it has', { kind: 'content-length', delta: 10 }],
  ] as const)('%s', async (_name, fault) => {
    const url = await withFault(fault);
    const answer = await fetch(url);
    expect(answer.status).toBe(200);
    await expect(answer.arrayBuffer()).rejects.toThrow();
  });

  it('ends short without a sign in HTTP, or runs over', async () => {
    const url = await withFault({ kind: 'truncate', bytes: 10, honest: true });
    server.fail({ class: 'blob-get', fault: { kind: 'extend', bytes: 5 } });
    expect(await lengthOf(url)).toBe(10);
    expect(await lengthOf(url)).toBe(1005);
  });

  it('flips one byte', async () => {
    const url = await withFault({ kind: 'corrupt', offset: 500 });
    const bytes = Buffer.from(await (await fetch(url)).arrayBuffer());
    expect(bytes.length).toBe(1000);
    expect([...bytes].filter((byte) => byte !== 0x78)).toEqual([0x78 ^ 0xff]);
    expect(bytes[500]).toBe(0x78 ^ 0xff);
  });

  it('stalls in the middle, then goes on', async () => {
    const url = await withFault({ kind: 'stall', bytes: 100, milliseconds: 300 });
    const body: ReadableStream<Uint8Array> | null = (await fetch(url)).body;
    const reader = body?.getReader();
    const first = await reader?.read();
    expect(first?.value?.length).toBe(100);
    const next = reader?.read();
    expect(await Promise.race([next?.then(() => 'data'), sleep(100, 'silence')])).toBe('silence');
    expect((await next)?.value?.length).toBe(900);
  });
});

describe('faults on an upload', () => {
  async function start(): Promise<string> {
    const started = await fetch(`${server.url}/v2/app/blobs/uploads/`, { method: 'POST' });
    const location = new URL(started.headers.get('location') ?? '', server.url);
    location.searchParams.set('digest', digest);
    return location.href;
  }

  it.each(['relative', 'absolute', 'query', 'other-host'] as const)(
    'sends a Location that is %s and takes it',
    async (form) => {
      server = await startRegistryServer({ manners: 'plain' });
      server.fail({ class: 'upload-start', fault: { kind: 'location', form } });
      const location = await start();
      if (form === 'query') expect(new URL(location).searchParams.get('_state')).toBe('a+b=');
      expect(new URL(location).host).toBe(form === 'other-host' ? server.storageHost : server.host);
      if (form === 'other-host') {
        const leaked = await fetch(location, {
          method: 'PUT',
          body: content,
          headers: { authorization: 'Basic eDp5' },
        });
        expect(leaked.status).toBe(400);
      }
      expect((await fetch(location, { method: 'PUT', body: content })).status).toBe(201);
      expect(server.hasBlob('app', digest)).toBe(true);
    },
  );

  it('breaks off while the body comes in, or after it was stored', async () => {
    server = await startRegistryServer({ manners: 'plain' });
    server.fail({ class: 'upload-put', fault: { kind: 'reset', when: 'request-body' } });
    server.fail({ class: 'upload-put', fault: { kind: 'reset', when: 'after' } });
    await expect(fetch(await start(), { method: 'PUT', body: content })).rejects.toThrow();
    expect(server.hasBlob('app', digest)).toBe(false);
    await expect(fetch(await start(), { method: 'PUT', body: content })).rejects.toThrow();
    expect(server.hasBlob('app', digest)).toBe(true);
  });

  it('loses the blob that it said it has', async () => {
    server = await startRegistryServer({ manners: 'plain' });
    server.fail({ class: 'upload-put', fault: { kind: 'drop-blob', when: 'after' } });
    expect((await fetch(await start(), { method: 'PUT', body: content })).status).toBe(201);
    expect(server.hasBlob('app', digest)).toBe(false);
  });
});

describe('which requests are hit', () => {
  it('skips, counts and matches by every condition', async () => {
    server = await startRegistryServer({ manners: 'plain' });
    const queue = new FaultQueue();
    const fault = { kind: 'expire-tokens' } as const;
    queue.add({ class: 'tags', repository: 'a', path: /n=2/, skip: 1, times: 2, fault });
    const hit = (repository: string, path: string): boolean =>
      queue.take('GET', path, { class: 'tags', repository }) !== undefined;
    expect([hit('b', '?n=2'), hit('a', '?n=1'), hit('a', '?n=2')]).toEqual([false, false, false]);
    expect(queue.pending).toBe(2);
    expect([hit('a', '?n=2'), hit('a', '?n=2'), hit('a', '?n=2')]).toEqual([true, true, false]);
    expect(queue.pending).toBe(0);
  });

  it('expires tokens at a chosen request', async () => {
    server = await startRegistryServer({ manners: 'plain', auth: { kind: 'bearer' } });
    await server.putImage('app', 'v1', buildImage({ name: 'app' }));
    const answer = await fetch(`${server.url}/token?scope=repository:app:pull`);
    const { token } = (await answer.json()) as { token: string };
    const get = async (): Promise<number> =>
      (await fetch(`${server.url}/v2/app/tags/list`, { headers: { authorization: `Bearer ${token}` } })).status;
    server.fail({ class: 'tags', skip: 1, fault: { kind: 'expire-tokens' } });
    expect([await get(), await get()]).toEqual([200, 401]);
  });

  it('reads rules from JSON and refuses unknown ones', async () => {
    server = await startRegistryServer({ manners: 'plain' });
    const rule = { class: 'blob-get', path: 'sha256', times: 'always', fault: { kind: 'corrupt' } };
    expect(JsonFaultRule.parse(rule)).toEqual(rule);
    expect(() => JsonFaultRule.parse({ ...rule, fault: { kind: 'explode' } })).toThrow();
  });
});
