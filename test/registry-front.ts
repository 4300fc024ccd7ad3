import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { onTestFinished } from 'vitest';
import type { Place, TestWorld } from './copy-world.ts';
import { noCredentials } from '../src/model/credentials.ts';
import { registryStore, type RegistryOptions } from '../src/registry/store.ts';
import type { RegistryServer } from '../src/testing/registry-server.ts';

/** For tests only: something in front of a registry that answers in its place, or changes what it answers. */

export interface Asked {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** How many requests came with this method and path before. */
  readonly times: number;
}

type Headers = Readonly<Record<string, string | undefined>>;

/** An answer without going on to the registry, or a change of the registry's own. */
export type Doing =
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string | Uint8Array;
    }
  | {
      readonly kind: 'change';
      readonly status?: number;
      /** Headers with which the request goes on. */
      readonly request?: Readonly<Record<string, string>>;
      /** Headers to set; `undefined` takes one away. */
      readonly headers?: Headers | ((headers: IncomingHttpHeaders) => Headers);
      readonly body?: (bytes: Buffer) => Uint8Array;
    };

export interface Front extends Place {
  readonly host: string;
  readonly asked: readonly Asked[];
}

/** Opens a front of the registry, and the store that leads to it. `doing`: `undefined` passes request and answer on as they are. */
export async function frontOf(
  world: TestWorld,
  behind: RegistryServer,
  doing: (asked: Asked) => Doing | undefined,
  options: Partial<RegistryOptions> = {},
): Promise<Front> {
  const asked: Asked[] = [];
  const server = createServer((incoming, outgoing) => {
    const [method, path] = [incoming.method ?? 'GET', incoming.url ?? '/'];
    const times = asked.filter((each) => each.method === method && each.path === path).length;
    const one = { method, path, headers: incoming.headers, times };
    asked.push(one);
    serve(behind.url, incoming, outgoing, doing(one)).catch(() => outgoing.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`; // listening on TCP, so neither null nor a path
  const store = registryStore(world.transport, host, { credentials: noCredentials, ...options });
  return { server: behind, store, host, asked };
}

async function serve(
  behind: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  doing: Doing | undefined,
): Promise<void> {
  if (doing?.kind === 'answer') {
    await buffer(incoming);
    outgoing.writeHead(doing.status, doing.headers).end(doing.body);
    return;
  }
  const { method } = incoming;
  const headers = { ...incoming.headers, ...doing?.request };
  const forward = request(new URL(incoming.url ?? '/', behind), { method, headers });
  const answered = once(forward, 'response') as Promise<[IncomingMessage]>; // what 'response' brings
  await pipeline(incoming, forward);
  const [answer] = await answered;
  const changed: Record<string, string | string[]> = {};
  const set = typeof doing?.headers === 'function' ? doing.headers(answer.headers) : doing?.headers;
  for (const [name, value] of Object.entries({ ...answer.headers, ...set }))
    if (value !== undefined) changed[name] = value;
  const status = doing?.status ?? answer.statusCode ?? 502;
  if (doing?.body === undefined) {
    outgoing.writeHead(status, changed);
    await pipeline(answer, outgoing);
    return;
  }
  const bytes = doing.body(await buffer(answer));
  if (changed['content-length'] !== undefined) changed['content-length'] = String(bytes.length);
  outgoing.writeHead(status, changed).end(method === 'HEAD' ? undefined : bytes);
}
