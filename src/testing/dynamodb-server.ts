import { text } from 'node:stream/consumers';
import { jsonAnswer } from './answer.ts';
import { type DynamodbItems, dynamodbItems } from './dynamodb-items.ts';
import { FaultQueue } from './faults.ts';
import { startHttpHost } from './http-host.ts';
import { RequestLog } from './request-log.ts';

/** DynamoDB on a local port: what a client's AWS_ENDPOINT_URL_DYNAMODB names. */
export interface DynamodbServer {
  readonly url: string;
  readonly items: DynamodbItems;
  /** Requests carry their operation as `action`. */
  readonly requests: RequestLog;
  readonly faults: FaultQueue;
  close(): Promise<void>;
}

export async function startDynamodbServer(): Promise<DynamodbServer> {
  const items = dynamodbItems();
  const requests = new RequestLog();
  const faults = new FaultQueue();
  const host = await startHttpHost({
    log: requests,
    faults,
    classify: (_method, _url, headers) => ({
      class: 'api',
      action: String(headers['x-amz-target']).replace(/^.*\./, ''),
    }),
    async handle({ body, entry }) {
      const input: unknown = JSON.parse(await text(body));
      return jsonAnswer(200, items.answer(entry.action ?? '', input), { 'content-type': 'application/x-amz-json-1.0' });
    },
  });
  return { url: host.url, items, requests, faults, close: () => host.close() };
}
