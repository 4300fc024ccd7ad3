import * as z from 'zod';
import type { Credential } from '../model/credentials.ts';
import { type ErrorCode, isReplicationError, ReplicationError } from '../model/errors.ts';
import { wordsOf } from './answer-errors.ts';
import { decodedAnswer } from './encoding.ts';
import type { Answer } from './exchange.ts';
import type { Transport } from './transport.ts';

/** What to ask a token server for (distribution "Token Authentication Specification"). */
export interface TokenQuestion {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scopes: readonly string[];
  readonly credential: Credential | undefined;
  /** Registry that the token is for, as references write it; for messages. */
  readonly host: string;
}

/** An access token. Times are of the transport's monotonic clock, in milliseconds. */
export interface AccessToken {
  readonly header: string;
  readonly obtainedAt: number;
  readonly expiresAt: number;
}

/** Longest answer of a token server, in bytes; the tokens of large organisations reach some 10 KiB. */
const maxTokenBytes = 128 * 1024;
/** Tokens without `expires_in` live this long, in seconds (distribution "Token Authentication Specification"). */
const defaultLifetime = 60;

// Either name may hold the token; some servers send both, some send null.
const TokenBody = z.looseObject({
  token: z.string().nullish(),
  access_token: z.string().nullish(),
  expires_in: z.coerce.number().nullish(),
});

/** How often a token is asked for of which the answer makes no sense: a proxy may have spoilt one on the way. */
const askingTries = 3;

/**
 * Asks for a token: GET with Basic (or anonymous), POST for an identity token (OAuth2 refresh_token grant). Redirects are not
 * followed: credentials go to the realm that was checked and nowhere else.
 * @throws `unauthorized` or `denied` when the server refuses, `corrupt` when its answer is still none
 */
export async function askForToken(
  transport: Transport,
  question: TokenQuestion,
  signal: AbortSignal,
): Promise<AccessToken> {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await transport.send({ ...requestFor(question), requestClass: 'token', repeat: 'safe', signal, limit: maxTokenBytes, what: `token for ${question.host}` }); // prettier-ignore
    if (answer.status !== 200) throw refusal(answer, question, transport);
    try {
      return parseToken(decodedAnswer(answer, maxTokenBytes), question, transport);
    } catch (error) {
      if (!isReplicationError(error, 'corrupt') || attempt >= askingTries) throw error;
    }
  }
}

function requestFor({ realm, service, scopes, credential }: TokenQuestion): {
  url: URL;
  method: 'GET' | 'POST';
  headers: Record<string, string>;
  body?: Uint8Array;
} {
  if (credential?.kind === 'identity-token') {
    const form = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: credential.token, client_id: 'image-replication' }); // prettier-ignore
    if (service !== undefined) form.set('service', service);
    if (scopes.length > 0) form.set('scope', scopes.join(' '));
    return {
      url: realm,
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
      body: Buffer.from(form.toString()),
    };
  }
  const url = new URL(realm);
  // nvcr.io's challenge has no service (keppel#731): then none is sent.
  if (service !== undefined) url.searchParams.set('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  return {
    url,
    method: 'GET',
    headers: { accept: 'application/json', ...(credential === undefined ? {} : { authorization: basic(credential) }) },
  };
}

/** The value of an Authorization header (RFC 7617, UTF-8). */
export function basic(credential: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${credential.username}:${credential.password}`, 'utf8').toString('base64')}`;
}

function parseToken(answer: Answer, question: TokenQuestion, transport: Transport): AccessToken {
  const nonsense = (why: string): ReplicationError =>
    new ReplicationError('corrupt', `the token server ${question.realm.host} of ${question.host} ${why}`, {
      host: question.realm.host,
      status: answer.status,
      remedy: `check that ${question.host} is a registry and no proxy answers in the place of ${question.realm.host}`,
    });
  if (answer.cut) throw nonsense(`answered with more than ${maxTokenBytes} bytes`);
  let json: unknown;
  try {
    // Whatever the content type says: ghcr.io has sent text/plain (spring-cloud-dataflow#4653).
    json = JSON.parse(answer.bytes.toString('utf8'));
  } catch {
    throw nonsense('answered with something that is not JSON');
  }
  const parsed = TokenBody.safeParse(json);
  const token = parsed.success ? parsed.data.token || parsed.data.access_token : undefined;
  if (!token || /[^\x21-\x7e]/.test(token)) throw nonsense('answered without a token');
  transport.mask.add(token);
  const seconds = parsed.data?.expires_in;
  const lifetime = typeof seconds === 'number' && seconds > 0 ? seconds : defaultLifetime;
  const obtainedAt = performance.now();
  return { header: `Bearer ${token}`, obtainedAt, expiresAt: obtainedAt + lifetime * 1000 };
}

function refusal(answer: Answer, question: TokenQuestion, transport: Transport): ReplicationError {
  const { host, credential, realm } = question;
  const words = wordsOf(answer, transport.mask);
  const code =
    answer.status === 401 || answer.status === 400
      ? 'unauthorized'
      : answer.status === 403
        ? 'denied'
        : answer.status === 429
          ? 'throttled'
          : answer.status >= 500
            ? 'unavailable'
            : answer.status >= 300 && answer.status < 400
              ? 'refused'
              : 'unauthorized';
  const who = credential === undefined ? 'an anonymous request' : 'our credentials';
  const said = words.text === '' ? '' : `: ${words.text}`;
  return new ReplicationError(
    code,
    `${host}: its token server ${realm.host} answered ${answer.status} to ${who}${said}`,
    {
      host,
      status: answer.status,
      remedy: remedyFor(code, host, realm.host, credential !== undefined),
    },
  );
}

function remedyFor(code: ErrorCode, host: string, realm: string, known: boolean): string {
  if (code === 'throttled')
    return known
      ? 'wait some minutes and run again'
      : `wait some minutes and run again, or give credentials for ${host}: known users have higher limits`;
  if (code === 'unavailable') return `run again when ${realm} answers: what was copied is kept`;
  return known ? `check the credentials given for ${host}` : `give credentials for ${host}`;
}
