import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { Need } from '../iam/compare.ts';
import { passOn } from '../pass-on.ts';
import { type AwsRequest, needsOf, needsOfAnswer, scopeOf } from './needs.ts';

/**
 * What stands before moto: every program of the test, and moto's interpreter itself, speak to AWS through it. It notes
 * who needed which permission, and answers itself for the services that moto has no use for here.
 */
export interface Front {
  readonly port: number;
  readonly url: string;
  /** Where requests go from now on. */
  relayTo(endpoint: string): void;
  /** By access key id. */
  needs(): ReadonlyMap<string, readonly Need[]>;
  close(): Promise<void>;
}

/** What is answered: a body as JSON, or a text as it is; or nothing, and the connection breaks. */
export type OwnAnswer = { readonly status: number; readonly body: unknown } | 'hang up';

/** An answer, or `undefined` for moto's. */
export type Own = (request: AwsRequest) => OwnAnswer | undefined | Promise<OwnAnswer | undefined>;

export async function startFront(account: string, own: Own): Promise<Front> {
  const needs = new Map<string, Need[]>();
  let endpoint = '';
  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const body = await buffer(incoming);
    const asked: AwsRequest = {
      ...scopeOf(incoming.headers.authorization),
      method: incoming.method ?? 'GET',
      path: incoming.url ?? '/',
      target: String(incoming.headers['x-amz-target'] ?? ''),
      body: body.toString('utf8'),
    };
    const note = (found: readonly Need[]): void => {
      if (asked.service !== '') needs.set(asked.accessKeyId, [...(needs.get(asked.accessKeyId) ?? []), ...found]);
    };
    note(needsOf(asked, account));
    const answered = await own(asked);
    if (answered === undefined) {
      note(needsOfAnswer(asked, await passOn(endpoint, incoming, body, outgoing)));
      return;
    }
    if (answered === 'hang up') {
      incoming.socket.destroy();
      return;
    }
    const [type, text] =
      typeof answered.body === 'string'
        ? ['application/xml', answered.body]
        : ['application/x-amz-json-1.1', JSON.stringify(answered.body)];
    // Step Functions' error has it in its cause.
    outgoing.writeHead(answered.status, { 'content-type': type, 'x-amzn-requestid': 'test' });
    outgoing.end(text);
  };
  const server = createServer((incoming, outgoing) => {
    answer(incoming, outgoing).catch(() => outgoing.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A TCP server that listens has such an address.
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    relayTo: (url) => {
      endpoint = url;
    },
    needs: () => needs,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
