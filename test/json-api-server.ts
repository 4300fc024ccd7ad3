import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** What to answer: a body with status 200, or an AWS error. */
export type JsonAnswer =
  { readonly output: unknown } | { readonly status?: number; readonly error: string; readonly message?: string };

export interface JsonApiServer {
  readonly url: string;
  readonly requests: { readonly operation: string; readonly input: unknown; readonly headers: IncomingHttpHeaders }[];
  close(): Promise<void>;
}

/** An AWS service of the JSON 1.1 protocol (ECR, Secrets Manager) that answers what the test says. */
export async function startJsonApiServer(
  respond: (operation: string, input: unknown) => JsonAnswer,
): Promise<JsonApiServer> {
  const requests: { operation: string; input: unknown; headers: IncomingHttpHeaders }[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const operation = String(request.headers['x-amz-target']).split('.').at(-1) ?? '';
      const input: unknown = JSON.parse((await text(request)) || '{}');
      requests.push({ operation, input, headers: request.headers });
      const answer = respond(operation, input);
      response.setHeader('content-type', 'application/x-amz-json-1.1');
      response.statusCode = 'error' in answer ? (answer.status ?? 400) : 200;
      response.end(
        JSON.stringify('error' in answer ? { __type: answer.error, message: answer.message ?? '' } : answer.output),
      );
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // a TCP server that listens has such an address
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
