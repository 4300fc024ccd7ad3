import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SFN } from '@aws-sdk/client-sfn';
import { afterEach, expect, it } from 'vitest';
import { openTask, type Task } from './task-token.ts';

const open: { close(): unknown }[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

/** Step Functions, of which the connections of some requests are cut off. @param answers whether the nth request, from 1, is answered */
async function connected(answers: (nth: number) => boolean) {
  const operations: string[] = [];
  const server: Server = createServer((request, response) => {
    operations.push(String(request.headers['x-amz-target']).split('.').at(-1) ?? '');
    if (answers(operations.length)) response.setHeader('content-type', 'application/x-amz-json-1.0').end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // a TCP server that listens has such an address
  const client = new SFN({
    endpoint: `http://127.0.0.1:${port}`,
    region: 'eu-west-1',
    credentials: { accessKeyId: 'AKIATASK', secretAccessKey: 'task-secret-key' },
  });
  open.push({ close: () => client.destroy() }, server, { close: () => server.closeAllConnections() });
  const said: string[] = [];
  const task = (heartbeatMs: number, patienceMs: number): Task =>
    openTask({
      ...{ token: 'a-token', sfn: () => Promise.resolve(client), heartbeatMs, patienceMs },
      onLost: () => said.push('lost'),
      onTrouble: (message) => said.push(message),
    });
  return { task, operations, said };
}

it('sends the next heartbeat when one hangs: a task whose connection was cut off is not lost for that', async () => {
  const { task, operations, said } = await connected((nth) => nth > 1);
  const beating = task(100, 500);
  try {
    await expect.poll(() => operations.length, { timeout: 15_000 }).toBeGreaterThan(2);
  } finally {
    beating.stop();
  }
  expect(said[0]).toBe('no heartbeat: no answer within 0.5 s');
  expect(said).not.toContain('lost');
});

it('says again how it ended when nobody answers, and gives up in time', async () => {
  const once = await connected((nth) => nth !== 2);
  const task = once.task(60_000, 2_000);
  await expect.poll(() => once.operations).toEqual(['SendTaskHeartbeat']);
  expect(await task.end({ kind: 'success', output: {} })).toBe(true);
  expect(once.operations.slice(0, 3)).toEqual(['SendTaskHeartbeat', 'SendTaskSuccess', 'SendTaskSuccess']);
  const never = await connected(() => false);
  expect(await never.task(60_000, 200).end({ kind: 'failure', error: 'Failed', cause: 'a' })).toBe(false);
  expect(never.said.join()).toContain('Step Functions was not told how the task ended');
});
