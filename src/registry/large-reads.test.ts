import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer, isIPv6, type Socket } from 'node:net';
import { Agent, buildConnector } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { directNetwork } from '../model/network.ts';
import { openConnections } from './connections.ts';
import { type Answer, exchange, type Reading } from './exchange.ts';
import { withLargeReads } from './large-reads.ts';

interface Client {
  readonly origin: URL;
  /** Over the one connection that there is, or the next when it is gone. */
  get(path: string, reading?: Partial<Reading>): Promise<Answer>;
}

function clientOf(port: number, host = '127.0.0.1'): Client {
  const connections = openConnections({ network: directNetwork, connectMs: 5_000, perOrigin: 1 });
  onTestFinished(() => connections.destroy());
  const origin = new URL(`http://${host}:${port}`);
  const { signal } = new AbortController();
  return {
    origin,
    get: (path, reading = {}) =>
      exchange(
        connections.dispatcherFor(origin),
        { url: new URL(path, origin), method: 'GET', headers: {}, signal, headersMs: 15_000, idleMs: 15_000 },
        { limit: 64 << 20, ...reading },
      ),
  };
}

async function httpServer(answer: RequestListener): Promise<Client> {
  const server = createHttpServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return clientOf((server.address() as AddressInfo).port);
}

/** A server that does with each connection what it is told, and the connections that were opened to it. */
async function rawServer(serve: (socket: Socket, connection: number) => void) {
  const opened: Socket[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    serve(socket, opened.push(socket));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of opened) socket.destroy();
    server.close();
  });
  return { client: clientOf((server.address() as AddressInfo).port), opened };
}

/** Numbers in order: a byte that is missing, twice there or overwritten is found. */
function numbered(bytes: number, from = 0): Buffer {
  return Buffer.from(Uint32Array.from({ length: bytes / 4 }, (_, n) => n + from).buffer);
}

const streamed: Reading['stream'] = {
  wrongLength: () => new Error('wrong length'),
  mapError: (error) => error,
  finished: () => undefined,
};

describe('large reads', () => {
  it('bring more than 64 KiB at a time, every byte in its place, and leave alone what they brought', async () => {
    const body = numbered(4 << 20);
    const client = await httpServer((_, response) => response.end(body));
    const sizes: number[] = [];
    // The second one comes over the same connection.
    for (let request = 0; request < 2; request += 1) {
      const { stream } = await client.get('/', { stream: streamed });
      if (stream === undefined) throw new Error('no stream');
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => void chunks.push(chunk));
      await once(stream, 'end');
      sizes.push(...chunks.map(({ length }) => length));
      expect(Buffer.concat(chunks).equals(body)).toBe(true);
    }
    expect(Math.max(...sizes)).toBeGreaterThan(64 * 1024);
  });

  it('leave no small answer that is kept in a large piece of memory', async () => {
    const large = numbered(200 << 10);
    const client = await httpServer((asked, response) =>
      response.end(asked.url === '/large' ? large : Buffer.alloc(2_000, asked.url ?? '')),
    );
    const kept: Answer[] = [];
    for (let n = 0; n < 40; n += 1) {
      kept.push(await client.get(`/${n}`));
      await client.get('/large');
    }
    for (const [n, { bytes }] of kept.entries()) expect(bytes.equals(Buffer.alloc(2_000, `/${n}`))).toBe(true);
    const memory = new Set(kept.map(({ bytes }) => bytes.buffer));
    expect([...memory].reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThan(40 * 8_192 + 1);
  });

  it('go on where they were paused', async () => {
    const body = numbered(24 << 20);
    let sent = false;
    const client = await httpServer((_, response) => response.end(body, () => (sent = true)));
    const { stream } = await client.get('/', { stream: streamed });
    if (stream === undefined) throw new Error('no stream');
    const chunks: Buffer[] = [];
    const sentWhilePaused: boolean[] = [];
    stream.on('data', (chunk: Buffer) => {
      if (chunks.push(chunk) > 5) return;
      stream.pause();
      setTimeout(() => {
        sentWhilePaused.push(sent);
        stream.resume();
      }, 20);
    });
    await once(stream, 'end');
    expect(sentWhilePaused).toEqual([false, false, false, false, false]);
    expect(Buffer.concat(chunks).equals(body)).toBe(true);
  });

  const head = (length: number): string => `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`;
  const ends: [string, (socket: Socket) => void][] = [
    ['reset', (socket) => void socket.resetAndDestroy()],
    ['closed', (socket) => void socket.end()],
  ];

  it.each(ends)('of a connection that is %s before the first byte fail, the next connection serves', async (_, end) => {
    const { client, opened } = await rawServer((socket, connection) => {
      socket.once('data', () => (connection === 1 ? end(socket) : socket.write(`${head(2)}ok`)));
    });
    await expect(client.get('/')).rejects.toThrow();
    expect((await client.get('/')).bytes.toString()).toBe('ok');
    expect(opened).toHaveLength(2);
  });

  it.each(ends)('of a connection that is %s in the middle fail, and what came before is right', async (_, end) => {
    const part = numbered(300 << 10);
    const { client, opened } = await rawServer((socket, connection) => {
      socket.once('data', () => {
        if (connection > 1) socket.write(`${head(2)}ok`);
        else socket.write(Buffer.concat([Buffer.from(head(1 << 20)), part]));
      });
    });
    const { stream } = await client.get('/', { stream: streamed });
    if (stream === undefined) throw new Error('no stream');
    const chunks: Buffer[] = [];
    let size = 0;
    const failed = once(stream, 'end').catch((error: unknown) => error);
    stream.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      // Not before: a reset may overtake what has not been read yet.
      if (size === part.length && opened[0] !== undefined) end(opened[0]);
    });
    expect(await failed).toBeInstanceOf(Error);
    expect(Buffer.concat(chunks).equals(part)).toBe(true);
    expect((await client.get('/')).bytes.toString()).toBe('ok');
  });

  it('take nothing that comes unasked for an answer: the connection is given up', async () => {
    const { client, opened } = await rawServer((socket, connection) => {
      socket.once('data', () => socket.write(`${head(1)}${connection}`));
    });
    expect((await client.get('/')).bytes.toString()).toBe('1');
    const [first] = opened;
    if (first === undefined) throw new Error('no connection');
    first.write(`${head(5)}wrong`);
    await once(first, 'close');
    expect((await client.get('/')).bytes.toString()).toBe('2');
  });

  it.each([
    ['refuses', '::1'],
    ['does not answer', '192.0.2.1'],
  ])('come from the second address of a host where the first %s', async (_, unreachable) => {
    const body = numbered(1 << 20);
    const server = createHttpServer((_asked, response) => response.end(body)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const connect = withLargeReads((reads) =>
      buildConnector({
        ...reads,
        autoSelectFamily: true,
        autoSelectFamilyAttemptTimeout: 100,
        lookup: (_host, _options, callback) =>
          callback(null, [
            { address: unreachable, family: isIPv6(unreachable) ? 6 : 4 },
            { address: '127.0.0.1', family: 4 },
          ]),
      }),
    );
    const agent = new Agent({ connect });
    onTestFinished(async () => {
      await agent.destroy();
      server.close();
    });
    const origin = `http://two-addresses.test:${(server.address() as AddressInfo).port}`;
    const answer = await agent.request({ origin, path: '/', method: 'GET' });
    expect(Buffer.from(await answer.body.arrayBuffer()).equals(body)).toBe(true);
  });
});
