import { connect, type Socket } from 'node:net';
import { classify, type RequestKind, withoutMount } from './classify.ts';
import type { RelayCounters } from './counters.ts';
import { DelayLine } from './delay-line.ts';
import { type Framing, type Head, MessageReader, noBody } from './http-framing.ts';
import type { SideProfile } from './profile.ts';

export interface RelayContext {
  /** Of the registry, on 127.0.0.1. */
  readonly upstreamPort: number;
  readonly profile: SideProfile;
  readonly counters: RelayCounters;
  /** Whether one more manifest PUT is within the rate; counts it if so. */
  readonly admitManifestPut: () => boolean;
}

/** A request whose answer has not begun yet, in the order of the connection. */
interface Pending {
  readonly method: string;
  /** The relay's own answer, once the request is there whole; `undefined` where the registry answers. */
  readonly own: Buffer | undefined;
  complete: boolean;
}

const tooMany = Buffer.from(
  JSON.stringify({ errors: [{ code: 'TOOMANYREQUESTS', message: 'Rate exceeded' }] }),
  'utf8',
);
/** As ECR does it: no Retry-After. */
const tooManyAnswer = Buffer.concat([
  Buffer.from(
    `HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: ${tooMany.length}\r\n\r\n`,
  ),
  tooMany,
]);

/** First byte of a TLS handshake record (RFC 8446 section 5.1). */
const tlsHandshake = 0x16;

/**
 * Carries one client's connection to the registry and back: delayed, counted, and with the registry's limits added. A
 * client that tries TLS first is turned away at once and not counted: that it has to try is owed to the benchmark alone.
 */
export function relayConnection(client: Socket, context: RelayContext): void {
  client.on('error', () => client.destroy());
  client.once('data', (first: Buffer) => {
    client.pause();
    if (first[0] === tlsHandshake) client.destroy();
    else carry(client, first, context);
  });
}

function carry(client: Socket, first: Buffer, context: RelayContext): void {
  const { profile, counters } = context;
  counters.connections += 1;
  const upstream = connect({ port: context.upstreamPort, host: '127.0.0.1', allowHalfOpen: true });
  for (const socket of [client, upstream]) socket.setNoDelay(true);
  const pending: Pending[] = [];
  const late = (ms: number): void => void (counters.latestMs = Math.max(counters.latestMs, ms));
  const way = { delayMs: profile.rttMs / 2, bytesPerSecond: profile.bytesPerSecond, late };

  const answers = new DelayLine({
    ...way,
    firstByteMs: 0,
    deliver: (bytes) => writeSoon(client, bytes),
    roomAgain: () => upstream.resume(),
    ended: () => client.end(),
  });
  const answerOwn = (): void => {
    for (let [next] = pending; next?.complete === true && next.own !== undefined; [next] = pending) {
      pending.shift();
      counters.statuses['429'] = (counters.statuses['429'] ?? 0) + 1;
      answers.push(next.own);
    }
  };
  const fromClient = requestReader(context, pending, answerOwn, (bytes) => upstream.write(bytes));
  const fromServer = answerReader(counters, pending, answerOwn, (bytes) => answers.push(bytes));
  const requests = new DelayLine({
    ...way,
    firstByteMs: profile.handshakeRtts * profile.rttMs,
    deliver: (bytes) => {
      orGiveUp(() => fromClient.feed(bytes));
      return !upstream.writableNeedDrain;
    },
    roomAgain: () => client.resume(),
    ended: () => upstream.end(),
  });

  const giveUp = (): void => {
    for (const line of [requests, answers]) line.stop();
    for (const socket of [client, upstream]) socket.destroy();
  };
  const orGiveUp = (work: () => void): void => {
    try {
      work();
    } catch {
      // Not HTTP/1.1: both ends see a broken connection, and whoever is measured fails.
      giveUp();
    }
  };
  const fromClientCame = (bytes: Buffer): void => {
    counters.bytesToServer += bytes.length;
    requests.push(bytes);
    if (requests.full) client.pause();
  };
  client.on('data', fromClientCame);
  upstream.on('data', (bytes: Buffer) => {
    counters.bytesToClient += bytes.length;
    orGiveUp(() => fromServer.feed(bytes));
    if (answers.full) upstream.pause();
  });
  client.on('drain', () => answers.resume());
  upstream.on('drain', () => requests.resume());
  client.on('end', () => requests.end());
  upstream.on('end', () => answers.end());
  for (const socket of [client, upstream]) socket.on('error', giveUp);
  client.on('close', giveUp);
  client.resume();
  fromClientCame(first);
}

/** Forwards requests, all but those that are refused; a refused one's body is read and dropped. */
function requestReader(
  context: RelayContext,
  pending: Pending[],
  answerOwn: () => void,
  forward: (bytes: Buffer) => void,
): MessageReader {
  let refused: Pending | undefined;
  return new MessageReader({
    head(head) {
      const [method = '', target = ''] = head.startLine.split(' ');
      const kind = classify(method, target);
      context.counters.requests[kind] += 1;
      const refuse = kind === 'manifest-put' && !context.admitManifestPut();
      const request = { method, own: refuse ? tooManyAnswer : undefined, complete: !refuse };
      pending.push(request);
      refused = refuse ? request : undefined;
      if (!refuse) forward(rewritten(head, kind, target, context.profile));
      return head.framing ?? noBody;
    },
    body(bytes) {
      if (refused === undefined) forward(bytes);
    },
    end() {
      if (refused !== undefined) refused.complete = true;
      answerOwn();
    },
  });
}

function rewritten(head: Head, kind: RequestKind, target: string, profile: SideProfile): Buffer {
  if (kind !== 'mount' || !profile.refuseMounts) return head.bytes;
  const line = head.startLine.replace(target, withoutMount(target));
  return Buffer.concat([Buffer.from(line, 'latin1'), head.bytes.subarray(head.startLine.length)]);
}

/** Hands the registry's answers on, and finds their ends so that the relay's own come in their turn. */
function answerReader(
  counters: RelayCounters,
  pending: Pending[],
  answerOwn: () => void,
  forward: (bytes: Buffer) => void,
): MessageReader {
  let interim = false;
  return new MessageReader({
    head(head) {
      const status = Number(head.startLine.split(' ', 2)[1]);
      interim = status < 200;
      if (!interim) counters.statuses[status] = (counters.statuses[status] ?? 0) + 1;
      forward(head.bytes);
      return interim ? noBody : answerFraming(head, status, pending[0]?.method);
    },
    body: forward,
    end() {
      if (interim) return;
      pending.shift();
      answerOwn();
    },
  });
}

/** RFC 9112 section 6.3: some answers have no body, whatever their headers say. */
function answerFraming(head: Head, status: number, method: string | undefined): Framing {
  if (method === 'HEAD' || status === 204 || status === 304) return noBody;
  return head.framing ?? { kind: 'until-close' };
}

/** Writes what comes in one go, such as a head and its body, as one packet. */
function writeSoon(socket: Socket, bytes: Buffer): boolean {
  if (socket.writableCorked === 0) {
    socket.cork();
    process.nextTick(() => socket.uncork());
  }
  return socket.write(bytes);
}
