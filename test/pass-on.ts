import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';

/** Passes a request on to another server, and its answer back. @returns the answer's status */
export async function passOn(
  endpoint: string,
  incoming: IncomingMessage,
  body: Buffer,
  outgoing: ServerResponse,
): Promise<number> {
  const { method, headers } = incoming;
  const forward = request(new URL(incoming.url ?? '/', endpoint), { method, headers });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    forward.once('response', resolve);
    forward.once('error', reject);
  });
  forward.end(body);
  const answer = await answered;
  outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
  await pipeline(answer, outgoing);
  return answer.statusCode ?? 502;
}
