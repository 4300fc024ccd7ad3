import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { directNetwork } from '../model/network.ts';
import { openConnections } from './connections.ts';

it('takes off a plain socket what has come in, more than 64 KiB at a time, every byte in its place', async () => {
  const body = Buffer.from(Uint32Array.from({ length: 1 << 20 }, (_, n) => n).buffer);
  const server = createServer((_, response) => response.end(body)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const connections = openConnections({ network: directNetwork, connectMs: 5_000, perOrigin: 1 });
  onTestFinished(async () => {
    await connections.destroy();
    server.close();
  });
  const origin = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const sizes: number[] = [];
  // The second one comes over the same connection.
  for (let request = 0; request < 2; request += 1) {
    const answer = await connections.dispatcherFor(origin).request({ origin, path: '/', method: 'GET' });
    // What is read stays as it is, while more comes in.
    const chunks: Buffer[] = [];
    answer.body.on('data', (chunk: Buffer) => void chunks.push(chunk));
    await once(answer.body, 'end');
    sizes.push(...chunks.map(({ length }) => length));
    expect(Buffer.concat(chunks).equals(body)).toBe(true);
  }
  expect(Math.max(...sizes)).toBeGreaterThan(64 * 1024);
});
