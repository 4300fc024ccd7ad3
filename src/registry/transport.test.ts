import { spawn } from 'node:child_process';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { directNetwork } from '../model/network.ts';
import { SecretMask } from '../model/secrets.ts';
import { newProgressCounters } from '../report/events.ts';
import { type PacerClock, systemClock } from './clock.ts';
import { sharedLookup } from './resolver.ts';
import { serve, type TestHost, testTransport } from './test-host.ts';
import type { Transport, TransportOptions } from './transport.ts';
import type { TransportRequest } from './transport-request.ts';

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});
function use<T extends { close(): Promise<unknown> }>(each: T): T {
  opened.push(each);
  return each;
}
const host = async (...args: Parameters<typeof serve>): Promise<TestHost> => use(await serve(...args));
const transport = (options: Partial<TransportOptions> = {}) => use(testTransport(options));

function request(url: string, more: Partial<TransportRequest> = {}): TransportRequest {
  return {
    url: new URL(url),
    method: 'GET',
    headers: {},
    requestClass: 'get',
    what: 'something',
    signal: new AbortController().signal,
    repeat: 'safe',
    limit: 1_000_000,
    ...more,
  };
}

/** Time that passes only where somebody waits for it, and then at once: what happens does not depend on how fast this machine is. */
function leapingClock(): PacerClock {
  let now = 0;
  return {
    ...systemClock,
    now: () => now,
    after(ms, callback) {
      const due = now + ms;
      const leap = setImmediate(() => {
        now = Math.max(now, due);
        callback();
      });
      return () => clearImmediate(leap);
    },
  };
}

describe('transport', () => {
  it('keeps connections, after HEAD, after errors and after bodies nobody wanted', async () => {
    const server = await host((seen, response) => {
      response
        .writeHead(seen.url === '/404' ? 404 : 200, { 'content-length': 3 })
        .end(seen.method === 'HEAD' ? '' : 'abc');
    });
    const { send } = bound(transport());
    for (let round = 0; round < 10; round += 1) {
      await send(request(`http://${server.host}/`, { method: 'HEAD' }));
      await send(request(`http://${server.host}/404`));
      await send(request(`http://${server.host}/404`, { method: 'HEAD' }));
    }
    expect(server.seen).toHaveLength(30);
    expect(server.connections()).toBeLessThanOrEqual(2);
  });

  it.each([408, 425, 499, 500, 502, 503, 504, 522])('repeats after %i', async (status) => {
    let left = 2;
    const server = await host((_seen, response) => void response.writeHead(left-- > 0 ? status : 200).end());
    const used = transport();
    expect((await used.send(request(`http://${server.host}/`))).status).toBe(200);
    expect(server.seen).toHaveLength(3);
    expect(used.events.filter(({ type }) => type === 'retry')).toHaveLength(2);
  });

  it('gives up after seven tries, and after one when told to', async () => {
    const server = await host((_seen, response) => void response.writeHead(500).end('why'));
    const { send } = bound(transport());
    const answer = await send(request(`http://${server.host}/`));
    expect([answer.status, answer.bytes.toString()]).toEqual([500, 'why']);
    expect(server.seen).toHaveLength(7);
    await send(request(`http://${server.host}/`, { repeat: 'never' }));
    expect(server.seen).toHaveLength(8);
  });

  it('repeats a body of bytes whole after a reset before and after the request was taken', async () => {
    let left = 2;
    const server = await host((_seen, response, incoming) => {
      if (left-- > 0) incoming.socket.destroy();
      else response.writeHead(201).end();
    });
    const { send } = bound(transport());
    const answer = await send(request(`http://${server.host}/`, { method: 'PUT', body: Buffer.from('manifest') }));
    expect(answer.status).toBe(201);
    expect(server.seen.map(({ body }) => body.toString())).toEqual(['manifest', 'manifest', 'manifest']);
  });

  it('repeats an answer that was cut short', async () => {
    let left = 1;
    const server = await host((_seen, response, incoming) => {
      response.writeHead(200, { 'content-length': 10 });
      if (left-- > 0) response.write('abc', () => incoming.socket.destroy());
      else response.end('0123456789');
    });
    const { send } = bound(transport());
    expect((await send(request(`http://${server.host}/`))).bytes.toString()).toBe('0123456789');
  });

  it('answers a rate limit with one pause for all, few extra requests, and everything arrives', async () => {
    let tokens = 5;
    const refill = setInterval(() => (tokens = Math.min(5, tokens + 5)), 50);
    opened.push({ close: async () => clearInterval(refill) });
    const server = await host((_seen, response) => {
      const granted = tokens > 0;
      if (granted) tokens -= 1;
      response.writeHead(granted ? 200 : 429).end();
    });
    const counters = newProgressCounters();
    const { send } = bound(transport({ counters, retry: { baseMs: 20 } }));
    const answers = await Promise.all(Array.from({ length: 60 }, () => send(request(`http://${server.host}/`))));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(server.seen.length).toBeLessThan(150);
    expect(counters.throttled.get(server.host)).toBe(0);
  });

  it('lets nothing out between a refusal and the pause', async () => {
    const server = await host((_seen, response) => void response.writeHead(429, { 'retry-after': '30' }).end());
    const used = transport({ requestsPerHost: 1 });
    const stop = new AbortController();
    const one = (): TransportRequest => request(`http://${server.host}/`, { signal: stop.signal });
    const sent = Array.from({ length: 5 }, () => used.send(one()));
    await vi.waitUntil(() => used.events.some(({ type }) => type === 'retry'), { timeout: 30_000 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(server.seen).toHaveLength(1);
    stop.abort();
    await Promise.allSettled(sent);
  });

  it('waits as long as Retry-After says', async () => {
    const times: number[] = [];
    const server = await host((_seen, response) => {
      times.push(performance.now());
      response.writeHead(times.length === 1 ? 429 : 200, { 'retry-after': '1' }).end();
    });
    const { send } = bound(transport());
    await send(request(`http://${server.host}/`));
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(950);
  });

  it('tries more often against a rate limit than against failures, and not for ever', async () => {
    const server = await host((_seen, response) => void response.writeHead(429).end());
    const { send } = bound(transport({ clock: leapingClock(), retry: { baseMs: 400, maxMs: 20_000 } }));
    expect((await send(request(`http://${server.host}/`))).status).toBe(429);
    expect(server.seen).toHaveLength(15);
  });

  it('keeps classes apart: a limit on one does not stop the other', async () => {
    const server = await host(
      (seen, response) => void response.writeHead(seen.method === 'PUT' ? 429 : 200, { 'retry-after': '30' }).end(),
    );
    const { send } = bound(transport());
    const stop = new AbortController();
    const put = send(
      request(`http://${server.host}/`, { method: 'PUT', requestClass: 'manifest-put', signal: stop.signal }),
    );
    expect((await send(request(`http://${server.host}/`))).status).toBe(200);
    stop.abort();
    await expect(put).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('fails soon, together, against a host that is dead for good', async () => {
    const server = await serve((_seen, response) => void response.end());
    await server.close();
    const used = transport();
    await expect(used.send(request(`http://${server.host}/`))).rejects.toMatchObject({
      code: 'unreachable',
      host: server.host,
      message: expect.stringContaining('refused') as unknown,
      remedy: expect.stringContaining(server.host) as unknown,
    });
    const before = used.events.length;
    await expect(used.send(request(`http://${server.host}/`))).rejects.toMatchObject({ code: 'unreachable' });
    expect(used.events).toHaveLength(before);
  });

  it('names DNS when a name is not known', async () => {
    const { send } = bound(transport({ retry: { attempts: 1 } }));
    await expect(send(request('https://registry.invalid/'))).rejects.toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('DNS') as unknown,
    });
  });

  it('stops waiting for an answer, and for a stalled body', async () => {
    const server = await host((seen, response) => {
      if (seen.url === '/body') response.writeHead(200, { 'content-length': 10 }).write('abc');
    });
    const once = { attempts: 1 };
    const hasty = bound(transport({ timeouts: { headersMs: 100 }, retry: once }));
    await expect(hasty.send(request(`http://${server.host}/head`))).rejects.toMatchObject({ code: 'unreachable' });
    const { send } = bound(transport({ timeouts: { idleMs: 100 }, retry: once }));
    const answer = await send(request(`http://${server.host}/body`, { stream: {} }));
    await expect(buffer(answer.stream ?? Readable.from([]))).rejects.toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('after 3 bytes') as unknown,
    });
  });

  it('gives up an answer that drips, and a host whose tries take too long together', async () => {
    const server = await host((_seen, response, { socket }) => {
      response.writeHead(200, { 'content-length': 1_000_000 });
      const timer = setInterval(() => response.write('x'), 10);
      socket.on('close', () => clearInterval(timer));
    });
    // Each try takes a minute of this clock, however long it takes here.
    const clock = { ...systemClock, now: () => server.seen.length * 60_000, random: () => 0 };
    const { send } = bound(transport({ clock, timeouts: { answerMs: 100, requestMs: 150_000 }, retry: { baseMs: 1 } }));
    await expect(send(request(`http://${server.host}/`))).rejects.toMatchObject({
      code: 'unreachable',
      host: server.host,
    });
    expect(server.seen).toHaveLength(3);
  });

  it('waits no more than twice for a host that wants to be left alone for hours', async () => {
    const server = await host((_seen, response) => void response.writeHead(429, { 'retry-after': '7200' }).end());
    expect((await transport({ clock: leapingClock() }).send(request(`http://${server.host}/`))).status).toBe(429);
    expect(server.seen).toHaveLength(3);
  });

  it('stops at once when told to: waiting, sending and reading', async () => {
    const server = await host((_seen, response) => void response.writeHead(200, { 'content-length': 10 }).write('abc'));
    const { send } = bound(transport({ transfersPerHost: 1 }));
    const stop = new AbortController();
    const common = { requestClass: 'blob-get' as const, signal: stop.signal };
    const first = await send(request(`http://${server.host}/`, { ...common, stream: {} }));
    const read = buffer(first.stream ?? Readable.from([]));
    const queued = send(request(`http://${server.host}/`, common));
    stop.abort();
    const results = await Promise.allSettled([read, queued, send(request(`http://${server.host}/`, common))]);
    for (const result of results) expect(result).toMatchObject({ reason: { code: 'cancelled' } });
  });

  it('shows the answer of a server that refuses an upload early, not the broken connection', async () => {
    const server = createServer((incoming, response) => {
      incoming.once('data', () => {
        response.writeHead(403, { connection: 'close' }).end('not yours');
        setTimeout(() => incoming.socket.destroy(), 20);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    opened.push({ close: async () => void server.close() });
    const { port } = server.address() as AddressInfo; // listening on TCP
    const { send } = bound(transport());
    for (let round = 0; round < 10; round += 1) {
      const body = Readable.from(Array.from({ length: 400 }, () => Buffer.alloc(65_536)));
      const answer = await send(
        request(`http://127.0.0.1:${port}/`, {
          method: 'PUT',
          repeat: 'never',
          body,
          headers: { 'content-length': String(400 * 65_536) },
        }),
      );
      expect([answer.status, answer.bytes.toString()]).toEqual([403, 'not yours']);
    }
  });

  it('shows that answer also when it comes, and the connection goes, while this process is busy', async () => {
    // In a process of its own: it has to answer while this one does nothing but write.
    const code = `require('node:net').createServer((socket) => {
      let received = 0;
      socket.on('error', () => undefined);
      socket.on('data', (data) => {
        if ((received += data.length) < 1500) return;
        socket.removeAllListeners('data').pause();
        socket.write('HTTP/1.1 403 Forbidden\\r\\nconnection: close\\r\\ncontent-length: 9\\r\\n\\r\\nnot yours', () => socket.destroy());
      });
    }).listen(0, '127.0.0.1', function () { console.log(this.address().port); });`;
    const server = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
    opened.push({ close: async () => void server.kill() });
    const port = await new Promise<string>((resolve) =>
      server.stdout.once('data', (data) => resolve(String(data).trim())),
    );
    const busy = (ms: number): void => {
      const end = performance.now() + ms;
      while (performance.now() < end);
    };
    const body = new Readable({ read: () => undefined });
    const piece = (): boolean => body.push(Buffer.alloc(1024));
    piece();
    setTimeout(() => {
      piece();
      process.nextTick(() => {
        busy(50);
        piece();
        process.nextTick(() => {
          busy(50);
          piece();
          process.nextTick(piece);
        });
      });
    }, 50);
    const headers = { 'content-length': '1000000' };
    const { send } = bound(transport());
    const answer = await send(request(`http://127.0.0.1:${port}/`, { method: 'PUT', repeat: 'never', body, headers }));
    expect([answer.status, answer.bytes.toString()]).toEqual([403, 'not yours']);
  });

  it('throws the error of the body that it was given', async () => {
    const server = await host((_seen, response) => void response.end());
    const { send } = bound(transport());
    const broken = new Error('the disk is gone');
    const body = Readable.from(
      (async function* () {
        yield Buffer.from('abc');
        throw broken;
      })(),
    );
    const sent = send(
      request(`http://${server.host}/`, { method: 'PUT', repeat: 'never', body, headers: { 'content-length': '9' } }),
    );
    await expect(sent).rejects.toBe(broken);
  });

  it('counts what it transfers', async () => {
    const server = await host((_seen, response) => void response.end(Buffer.alloc(100_000)));
    const counters = newProgressCounters();
    const { send } = bound(transport({ counters }));
    const answer = await send(
      request(`http://${server.host}/`, { requestClass: 'blob-get', stream: { expected: 100_000 } }),
    );
    await buffer(answer.stream ?? Readable.from([]));
    for (const body of [Readable.from([Buffer.alloc(70_000)]), Buffer.alloc(5)]) {
      await send(
        request(`http://${server.host}/`, {
          method: 'PUT',
          requestClass: 'blob-put',
          body,
          headers: { 'content-length': String(body instanceof Readable ? 70_000 : 5) },
        }),
      );
    }
    expect([counters.readBytes, counters.writtenBytes]).toEqual([100_000 + 200_000, 70_005]);
  });

  it('keeps to so many transfers and gives the place back when a body ends or is dropped', async () => {
    let active = 0;
    let most = 0;
    const server = await host((_seen, response) => {
      most = Math.max(most, (active += 1));
      response.once('close', () => (active -= 1));
      response.writeHead(200, { 'content-length': 300_000 }).end(Buffer.alloc(300_000));
    });
    const { send } = bound(transport({ transfersPerHost: 3 }));
    await Promise.all(
      Array.from({ length: 20 }, async (_each, index) => {
        const { stream } = await send(request(`http://${server.host}/`, { requestClass: 'blob-get', stream: {} }));
        if (index % 3 === 0) stream?.destroy();
        else await buffer(stream ?? Readable.from([]));
      }),
    );
    expect(server.seen).toHaveLength(20);
    expect(most).toBeLessThanOrEqual(4);
  });

  it('speaks to IPv6 addresses', async () => {
    const server = await serve((_seen, response) => void response.end('six'), { address: '::1' }).catch(
      () => undefined,
    );
    if (server === undefined) return; // a machine without IPv6
    use(server);
    const { send } = bound(transport());
    expect((await send(request(`http://${server.host}/`))).bytes.toString()).toBe('six');
  });
});

describe('TLS', () => {
  it('trusts the authorities that it is given, and names a certificate problem otherwise', async () => {
    const { createAuthority } = await import('../testing/certificates.ts');
    const authority = await createAuthority();
    const tls = await authority.issue(['localhost']);
    const server = await host((_seen, response) => void response.end('safe'), { tls });
    const url = `https://localhost:${server.port}/`;
    const trusting = transport({ network: { ...directNetwork, extraCertificates: [authority.certificate] } });
    expect((await trusting.send(request(url))).bytes.toString()).toBe('safe');
    await expect(transport().send(request(url))).rejects.toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('certificate') as unknown,
      remedy: expect.stringContaining('NODE_EXTRA_CA_CERTS') as unknown,
    });
    await expect(trusting.send(request(`https://127.0.0.1:${server.port}/`))).rejects.toMatchObject({
      message: expect.stringContaining('certificate') as unknown,
    });
  });
});

describe('proxies', () => {
  /** An HTTP proxy that sends everything to one port of this machine and wants a password. */
  async function proxyTo(port: number): Promise<{ url: string; seen: string[] }> {
    const seen: string[] = [];
    const wanted = `Basic ${btoa('user:p@ss')}`;
    const proxy = createServer((incoming, response) => {
      seen.push(`${incoming.method ?? ''} ${incoming.url ?? ''}`);
      if (incoming.headers['proxy-authorization'] !== wanted) return void response.writeHead(407).end();
      response.end('through the proxy');
    });
    proxy.on('connect', (incoming, client) => {
      seen.push(`CONNECT ${incoming.url ?? ''}`);
      if (incoming.headers['proxy-authorization'] !== wanted) return void client.end('HTTP/1.1 407 No\r\n\r\n');
      const server = connect(port, '127.0.0.1', () => {
        client.write('HTTP/1.1 200 OK\r\n\r\n');
        server.pipe(client).pipe(server);
      });
      server.on('error', () => client.destroy());
      client.on('error', () => server.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    opened.push({
      close: async () => {
        proxy.closeAllConnections();
        proxy.close();
      },
    });
    return { url: `http://user:p%40ss@127.0.0.1:${(proxy.address() as AddressInfo).port}`, seen };
  }

  it('carry https in tunnels and http as it is; NO_PROXY and loopback go past them', async () => {
    const { createAuthority } = await import('../testing/certificates.ts');
    const authority = await createAuthority();
    const tls = await authority.issue(['registry.example.com', 'localhost']);
    const server = await host((_seen, response) => void response.end('safe'), { tls });
    const proxy = await proxyTo(server.port);
    const network = {
      ...directNetwork,
      httpsProxy: proxy.url,
      httpProxy: proxy.url,
      noProxy: 'direct.invalid',
      extraCertificates: [authority.certificate],
    };
    const { send } = bound(transport({ network, retry: { attempts: 1 } }));
    for (let round = 0; round < 3; round += 1)
      expect(
        (await send(request('https://registry.example.com/v2/', { method: round === 1 ? 'HEAD' : 'GET' }))).status,
      ).toBe(200);
    const tunnels = proxy.seen.length;
    expect(tunnels).toBeLessThanOrEqual(2); // kept for further requests
    expect(new Set(proxy.seen)).toEqual(new Set(['CONNECT registry.example.com:443']));
    expect(server.seen.map(({ headers }) => headers['proxy-authorization'])).toEqual([undefined, undefined, undefined]);
    expect((await send(request('http://plain.example.com/x?y'))).bytes.toString()).toBe('through the proxy');
    expect(proxy.seen.at(-1)).toBe('GET http://plain.example.com/x?y');
    await expect(send(request('https://direct.invalid/'))).rejects.toMatchObject({
      message: expect.stringContaining('DNS') as unknown,
    });
    await send(request(`https://localhost:${server.port}/`));
    expect(proxy.seen).toHaveLength(tunnels + 1);
  });

  it('say what is wrong, without their password', async () => {
    const proxy = await proxyTo(1);
    const wrong = proxy.url.replace('p%40ss', 'wrong-word');
    const mask = new SecretMask();
    const network = { ...directNetwork, httpsProxy: wrong, httpProxy: wrong };
    const { send } = bound(transport({ network, mask, retry: { attempts: 1 } }));
    for (const url of ['https://registry.example.com/', 'http://registry.example.com/']) {
      const error: unknown = await send(request(url)).then(
        ({ status }) => status,
        (thrown: unknown) => thrown,
      );
      if (url.startsWith('https')) {
        expect(error).toMatchObject({ code: 'unreachable', message: expect.stringContaining('407') as unknown });
        expect(String(error)).not.toContain('wrong-word');
      }
    }
    expect(mask.mask('user:wrong-word')).not.toContain('wrong-word');
  });
});

describe('name lookups', () => {
  it('are shared by connections that open together, and not kept when they fail', async () => {
    let asked = 0;
    let fail = true;
    const lookup = sharedLookup(((_name: string, _options: object, callback: (...args: unknown[]) => void) => {
      asked += 1;
      setTimeout(
        () =>
          fail
            ? callback(Object.assign(new Error('no'), { code: 'EAI_AGAIN' }))
            : callback(null, [
                { address: '10.0.0.1', family: 4 },
                { address: '::1', family: 6 },
              ]),
        5,
      );
    }) as unknown as Parameters<typeof sharedLookup>[0]);
    const ask = (options: object): Promise<unknown> =>
      new Promise((resolve) => lookup('name', options, (error, address) => resolve(error?.code ?? address)));
    expect(await Promise.all([ask({}), ask({})])).toEqual(['EAI_AGAIN', 'EAI_AGAIN']);
    fail = false;
    expect(await Promise.all([ask({}), ask({ family: 6 }), ask({ all: true })])).toEqual([
      '10.0.0.1',
      '::1',
      [
        { address: '10.0.0.1', family: 4 },
        { address: '::1', family: 6 },
      ],
    ]);
    expect(asked).toBe(2);
  });
});

/** A port that accepts connections and says nothing HTTP. */
describe('a server of another protocol', () => {
  it('is told apart', async () => {
    const server = createTcpServer((socket) => void socket.end('SSH-2.0-OpenSSH\r\n'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    opened.push({ close: async () => void server.close() });
    const { port } = server.address() as AddressInfo; // listening on TCP
    const { send } = bound(transport({ retry: { attempts: 1 } }));
    await expect(send(request(`http://127.0.0.1:${port}/`))).rejects.toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('not HTTP') as unknown,
    });
  });
});

function bound(used: Transport): { send: Transport['send'] } {
  return { send: (each) => used.send(each) };
}
