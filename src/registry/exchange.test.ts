import { Readable } from 'node:stream';
import { Agent } from 'undici';
import { afterEach, describe, expect, it } from 'vitest';
import { exchange, type Outgoing, type Reading } from './exchange.ts';
import { serve, type TestHost } from './test-host.ts';

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

/** Sends one byte every few milliseconds for as long as the connection stands. */
function drip(write: (text: string) => void, closed: (stop: () => void) => void): void {
  const timer = setInterval(() => write('x'), 10);
  closed(() => clearInterval(timer));
}

async function dripping(status: number): Promise<TestHost> {
  const server = await serve((seen, response, { socket }) => {
    if (seen.url === '/head') socket.write('HTTP/1.1 200 OK\r\nx-long: ');
    else if (seen.url !== '/hints') response.writeHead(status, { 'content-length': 1_000_000 }).flushHeaders();
    drip(
      (text) => {
        if (seen.url === '/hints') socket.write('HTTP/1.1 102 Processing\r\n\r\n');
        else if (seen.url === '/head') socket.write(text);
        else response.write(text);
      },
      (stop) => socket.on('close', stop),
    );
  });
  opened.push(server);
  return server;
}

function send(server: TestHost, path: string, more: Partial<Outgoing> = {}, reading: Partial<Reading> = {}) {
  const agent = new Agent();
  opened.push({ close: () => agent.destroy() });
  const outgoing: Outgoing = {
    url: new URL(`http://${server.host}${path}`),
    method: 'GET',
    headers: {},
    signal: new AbortController().signal,
    headersMs: 150,
    idleMs: 5_000,
    answerMs: 150,
    ...more,
  };
  return exchange(agent, outgoing, { limit: 10_000_000, ...reading });
}

/** For tests of the body: its head may take as long as the machine makes it. */
const patient = { headersMs: 60_000 };

describe('an answer that comes drop by drop', () => {
  it('is given up when its head is not there in time', async () => {
    await expect(send(await dripping(200), '/head')).rejects.toMatchObject({ code: 'UND_ERR_HEADERS_TIMEOUT' });
  });

  it('is given up when its head does not come after the bytes that were sent', async () => {
    const sent = send(await dripping(200), '/head', { method: 'PUT', body: Buffer.from('manifest') });
    await expect(sent).rejects.toMatchObject({ code: 'UND_ERR_HEADERS_TIMEOUT' });
  });

  it('is given up when nothing but interim answers come', async () => {
    const server = await dripping(200);
    await expect(send(server, '/hints')).rejects.toMatchObject({ code: 'UND_ERR_HEADERS_TIMEOUT' });
    const upload = { method: 'PUT', body: Readable.from([Buffer.from('blob')]) } as const;
    await expect(send(server, '/hints', { ...upload, headers: { 'content-length': '4' } })).rejects.toMatchObject({
      code: 'UND_ERR_HEADERS_TIMEOUT',
    });
  });

  it('is given up when its body does not end in time, and the connection with it', async () => {
    const server = await dripping(200);
    await expect(send(server, '/', patient)).rejects.toMatchObject({ code: 'UND_ERR_BODY_TIMEOUT' });
  });

  it('counts as far as it came where it is a refusal: the status is what matters', async () => {
    const answer = await send(await dripping(429), '/', patient);
    expect([answer.status, answer.cut]).toEqual([429, true]);
    expect(answer.bytes.toString()).toMatch(/^x+$/);
  });

  it('may take as long as it likes where it is a stream that somebody reads', async () => {
    const streaming = { finished: () => undefined, mapError: (error: Error) => error, wrongLength: () => new Error() };
    const { stream } = await send(await dripping(200), '/', patient, { stream: streaming });
    if (stream === undefined) throw new Error('no stream');
    const until = performance.now() + 400;
    let received = 0;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      received += chunk.length;
      if (received > 5 && performance.now() > until) return;
    }
    expect.unreachable(`the stream ended after ${received} bytes`);
  });
});
