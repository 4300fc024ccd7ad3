import { once } from 'node:events';
import { createServer, type IncomingMessage, request, Agent, type Server } from 'node:http';
import { type AddressInfo, connect as connectTcp } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { profiles, type SideProfile } from './profile.ts';
import { type Relay, startRelay } from './relay.ts';

const plain = profiles.loopback.target;
const digest = `sha256:${'a'.repeat(64)}`;

describe('a relay in front of a server', () => {
  let server: Server;
  let relay: Relay;
  let agent: Agent;
  let seen: { readonly line: string; readonly bytes: number }[];

  beforeAll(async () => {
    // A connection outlives any pause of this machine.
    server = createServer({ keepAliveTimeout: 60_000 }, (incoming, answer) => {
      void buffer(incoming).then((body) => {
        seen.push({ line: `${incoming.method ?? ''} ${incoming.url ?? ''}`, bytes: body.length });
        const status = incoming.url?.includes('mount=') === true ? 201 : incoming.method === 'POST' ? 202 : 200;
        const size = Number(/size=(\d+)/.exec(incoming.url ?? '')?.[1] ?? 0);
        // Without a length the answer is chunked.
        if (incoming.method !== 'GET') answer.setHeader('content-length', size);
        answer.writeHead(status);
        answer.end(incoming.method === 'HEAD' ? undefined : Buffer.alloc(size, 'x'));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  beforeEach(async () => {
    seen = [];
    relay = await startRelay();
    agent = new Agent({ keepAlive: true, maxSockets: 1 });
  });
  afterEach(async () => {
    agent.destroy();
    await relay.close();
  });
  afterAll(() => {
    server.close();
    server.closeAllConnections();
  });

  const point = (profile: SideProfile): void => relay.point((server.address() as AddressInfo).port, profile);
  const ask = async (method: string, path: string, body?: Buffer): Promise<{ status: number; body: Buffer }> => {
    const sent = request({ port: relay.port, host: '127.0.0.1', method, path, agent });
    sent.end(body);
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    return { status: answer.statusCode ?? 0, body: await buffer(answer) };
  };
  const msFor = async (work: () => Promise<unknown>): Promise<number> => {
    const before = performance.now();
    await work();
    return performance.now() - before;
  };
  /** Of work that takes `enough` at least and on a busy machine more: of many tries one is undisturbed. */
  const quickest = async (work: () => Promise<unknown>, enough: number): Promise<number> => {
    let least = Infinity;
    for (let tries = 0; tries < 100 && least >= enough; tries += 1) least = Math.min(least, await msFor(work));
    return least;
  };

  it('carries requests and answers whole, and counts them', async () => {
    point(plain);
    expect((await ask('GET', `/v2/a/blobs/${digest}?size=3000000`)).body).toHaveLength(3_000_000);
    expect((await ask('HEAD', `/v2/a/blobs/${digest}?size=5000`)).status).toBe(200);
    expect((await ask('PUT', '/v2/a/blobs/uploads/1', Buffer.alloc(2_000_000))).status).toBe(200);
    expect(seen.map(({ bytes }) => bytes)).toEqual([0, 0, 2_000_000]);
    const counters = relay.counters();
    expect(counters.requests).toMatchObject({ 'blob-get': 1, 'blob-head': 1, 'upload-put': 1, other: 0 });
    expect(counters).toMatchObject({ connections: 1, statuses: { '200': 3 } });
    expect(counters.bytesToClient).toBeGreaterThan(3_000_000);
    expect(counters.bytesToServer).toBeGreaterThan(2_000_000);
    expect(counters.bytesToClient + counters.bytesToServer).toBeLessThan(5_010_000);
  });

  it('answers manifest PUTs beyond the rate itself, on the same connection', async () => {
    point({ ...plain, manifestPuts: { perSecond: 0.001, burst: 2 } });
    const statuses: number[] = [];
    for (let put = 0; put < 4; put += 1)
      statuses.push((await ask('PUT', '/v2/a/manifests/1.0', Buffer.alloc(100_000))).status);
    statuses.push((await ask('GET', '/v2/a/manifests/1.0')).status);
    expect(statuses).toEqual([200, 200, 429, 429, 200]);
    expect(seen).toHaveLength(3);
    expect(relay.counters()).toMatchObject({ connections: 1, statuses: { '200': 3, '429': 2 } });
    expect(relay.counters().requests['manifest-put']).toBe(4);
  });

  it('gives its own answer in its turn when requests do not wait for answers', async () => {
    point({ ...plain, manifestPuts: { perSecond: 0.001, burst: 0 } });
    const socket = connectTcp(relay.port, '127.0.0.1');
    const put = 'PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}';
    socket.write(
      `GET /v2/?size=7 HTTP/1.1\r\nHost: x\r\n\r\n${put}HEAD /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    );
    const said = (await buffer(socket)).toString();
    expect(said.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 429', 'HTTP/1.1 200']);
    expect(said.indexOf('xxxxxxx')).toBeLessThan(said.indexOf('429'));
  });

  it('refuses mounts where told, by making them ordinary uploads', async () => {
    const mount = `/v2/a/blobs/uploads/?mount=${digest}&from=b`;
    point(plain);
    expect((await ask('POST', mount)).status).toBe(201);
    point({ ...plain, refuseMounts: true });
    agent.destroy();
    expect((await ask('POST', mount)).status).toBe(202);
    expect(seen.map(({ line }) => line)).toEqual([`POST ${mount}`, 'POST /v2/a/blobs/uploads/']);
    expect(relay.counters().requests.mount).toBe(1);
  });

  it('takes a round trip for each request, and more for a new connection', async () => {
    point({ ...plain, rttMs: 40, handshakeRtts: 2 });
    const first = await msFor(() => ask('GET', '/v2/'));
    expect(first).toBeGreaterThanOrEqual(118);
    const later = await quickest(() => ask('GET', '/v2/'), 78);
    expect(later).toBeGreaterThanOrEqual(38);
    expect(later).toBeLessThan(78);
    expect(relay.counters().connections).toBe(1);
  });

  it('keeps each connection to its bandwidth', async () => {
    point({ ...plain, bytesPerSecond: 10e6 });
    const get = () => ask('GET', `/v2/a/blobs/${digest}?size=2000000`);
    const ms = await quickest(get, 500);
    expect(ms).toBeGreaterThan(190);
    expect(ms).toBeLessThan(500);
  });

  it('turns a client that tries TLS away at once, and does not count it', async () => {
    // The round trips of a handshake here would not end before the test has to.
    point({ ...plain, rttMs: 3_600_000, handshakeRtts: 2 });
    const socket = connectTls({ port: relay.port, host: '127.0.0.1', rejectUnauthorized: false });
    await once(socket, 'error');
    expect(relay.counters().connections).toBe(0);
  });

  it('breaks the connection when the server is gone', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    other.close();
    await once(other, 'close');
    relay.point(port, plain);
    await expect(ask('GET', '/v2/')).rejects.toThrow(/socket hang up|ECONNRESET/);
  });
});
