import type { Readable } from 'node:stream';
import type { CredentialSource } from '../model/credentials.ts';
import { type ErrorCode, ReplicationError } from '../model/errors.ts';
import { type AnswerContext, errorFor } from './answer-errors.ts';
import { Authorizer, type Scopes } from './authorizer.ts';
import { decodedAnswer } from './encoding.ts';
import { endpointsOf } from './endpoint.ts';
import type { Answer } from './exchange.ts';
import { ProtocolMismatch } from './network-errors.ts';
import { follow, isRedirect, maxRedirects } from './redirect.ts';
import { RedirectedUploads } from './redirected-uploads.ts';
import type { RequestClass, Transport } from './transport.ts';
import type { TransportRequest } from './transport-request.ts';

export interface ClientOptions {
  readonly credentials: CredentialSource;
  /** Scheme and host where they are known, such as ECR's proxyEndpoint. */
  readonly baseUrl?: string | undefined;
  readonly authenticateFirst?: boolean | undefined;
}

/** One request to a registry. */
export interface RegistryRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT';
  /** Path and query below the registry's root, or a whole address that the registry gave us. */
  readonly path: string | URL;
  readonly repository: string;
  readonly actions: 'pull' | 'pull,push';
  /** Repository that a blob is mounted from: its content must be readable too. */
  readonly from?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly requestClass: RequestClass;
  /** For messages: `manifest library/nginx:1.29`. */
  readonly what: string;
  readonly signal: AbortSignal;
  readonly body?: Uint8Array | Readable | undefined;
  /** Bodies that are good for one try. */
  readonly once?: boolean | undefined;
  /** Longest answer kept in memory, in bytes. */
  readonly limit?: number | undefined;
  readonly stream?: { readonly expected?: number | undefined } | undefined;
  /** `false`: an answer that sends us elsewhere is an answer too. */
  readonly redirects?: false | undefined;
}

/** How storage refuses an address that is good no more; S3 says 400 ExpiredToken where those credentials have expired that signed it. */
const expiredAddress = new Set([400, 401, 403, 410]);
const defaultLimit = 64 * 1024;
/** A body that cannot be repeated wants a token that is valid for this long still, in milliseconds. */
const onceRemainingMs = 60_000;
/** Refusals of one request, the first for want of a token among them: a host whose limit outlasts every token must not hold us for ever. */
const mostRefusals = 6;

/** Requests to one registry: its address, its authorization, its redirects. */
export class RegistryClient {
  readonly transport: Transport;
  /** Registry as references write it. */
  readonly host: string;
  readonly redirectedUploads = new RedirectedUploads();
  readonly #authorizer: Authorizer;
  readonly #endpoints: readonly [URL, ...URL[]];
  /** The endpoint that has answered. */
  #endpoint: URL | undefined;

  constructor(transport: Transport, host: string, options: ClientOptions) {
    this.transport = transport;
    this.host = host;
    this.#endpoints = endpointsOf(host, transport.network, options.baseUrl);
    if (this.#endpoints.length === 1) this.#endpoint = this.#endpoints[0];
    this.#authorizer = new Authorizer(transport, host, options.credentials, options.authenticateFirst === true);
  }

  /** Where requests go; before the first answer, where the first one will go. */
  get endpoint(): URL {
    return this.#endpoint ?? this.#endpoints[0];
  }

  /** Tells the rate that the registry is known to take. */
  limitRate(requestClass: RequestClass, perSecond: number, burst: number): void {
    for (const { origin } of this.#endpoints) this.transport.limitRate(origin, requestClass, { perSecond, burst });
  }

  /** Sends a request and follows redirects. Answers of failure are returned; `fail` makes errors of them. */
  async send(request: RegistryRequest): Promise<Answer> {
    return decodedAnswer(await this.#sent(request), request.limit ?? defaultLimit);
  }

  async #sent(request: RegistryRequest): Promise<Answer> {
    const answer = await this.#follow(await this.#atEndpoint(request), request);
    if (request.body !== undefined || !this.#isForeign(answer.url)) return answer;
    if (!expiredAddress.has(answer.status)) return answer;
    // Storage refuses an address whose signature has expired (they live some 5 minutes, stargz-snapshotter#167): ask for a new one.
    return await this.#follow(await this.#atEndpoint(request), request);
  }

  /** The error that an answer means. */
  fail(answer: Answer, request: RegistryRequest, as?: ErrorCode): ReplicationError {
    return errorFor(answer, this.context(request), as);
  }

  context(request: RegistryRequest): AnswerContext {
    return {
      what: request.what,
      host: this.host,
      reference: `${this.host}/${request.repository}`,
      repeated: request.once !== true,
      mask: this.transport.mask,
    };
  }

  /**
   * Where plain HTTP and TLS are both possible, the first request finds out which it is: tried once each way, so that a
   * server of the other kind does not cost a row of repetitions.
   */
  async #atEndpoint(request: RegistryRequest): Promise<Answer> {
    if (this.#endpoint !== undefined || request.path instanceof URL)
      return this.#authorized(request, this.endpoint, false);
    const [first, second] = this.#endpoints;
    let mismatch: unknown;
    try {
      const answer = await this.#authorized(request, first, true);
      if (!wantsTls(answer)) return await this.#settle(first, request, answer);
    } catch (error) {
      if (!mayBeOtherScheme(error, first)) {
        if (isFatal(error)) throw error;
        return this.#authorized(request, first, false);
      }
      mismatch = error;
    }
    if (second === undefined) throw mismatch;
    try {
      return await this.#settle(second, request, await this.#authorized(request, second, true));
    } catch (error) {
      if (mismatch === undefined || !(error instanceof ProtocolMismatch)) throw error;
      // Not that either: the first way was right, and its failure an ordinary one.
      return this.#authorized(request, first, false);
    }
  }

  #settle(endpoint: URL, request: RegistryRequest, answer: Answer): Promise<Answer> {
    this.#endpoint = endpoint;
    const passing = answer.status === 429 || answer.status >= 500 || answer.status === 408;
    return passing ? this.#authorized(request, endpoint, false) : Promise.resolve(answer);
  }

  async #authorized(request: RegistryRequest, endpoint: URL, probing: boolean): Promise<Answer> {
    const url = request.path instanceof URL ? request.path : new URL(request.path, endpoint);
    if (this.#isForeign(url)) return this.transport.send(this.#outgoing(request, url, undefined, probing));
    const scopes = scopesOf(request);
    let used = await this.#authorizer.header(scopes, request.signal, request.once === true ? onceRemainingMs : 0);
    let answer = await this.transport.send(this.#outgoing(request, url, used, probing));
    for (let refusals = 1; answer.status === 401 || answer.status === 403; refusals += 1) {
      // A second refusal stands, unless the token has expired while the request waited for a rate limit.
      if (refusals > 1 && (refusals > mostRefusals || !this.#authorizer.hasExpired(used))) return answer;
      const again = await this.#authorizer.afterRefusal(answer, used, scopes, request.signal);
      // A stream is spent: its sender starts over, with the new token.
      if (again === undefined || isSpent(request)) return answer;
      used = again;
      // It has waited for its turn once: a second wait could outlast the new token, too.
      answer = await this.transport.send({ ...this.#outgoing(request, url, used, false), again: true });
    }
    return answer;
  }

  async #follow(first: Answer, request: RegistryRequest): Promise<Answer> {
    let answer = first;
    if (request.redirects === false) return answer;
    for (let hops = 0; isRedirect(answer.status); hops += 1) {
      const samePurpose = request.method === 'GET' || request.method === 'HEAD' || answer.status >= 307;
      if (!samePurpose || isSpent(request)) return answer;
      if (hops === maxRedirects) {
        throw new ReplicationError(
          'refused',
          `${this.host} sent us on more than ${maxRedirects} times (${request.what})`,
          {
            host: this.host,
            status: answer.status,
          },
        );
      }
      const to = follow(answer.url, answer.headers.location, this.transport.network);
      answer = await this.#authorized({ ...request, path: to }, this.endpoint, false);
    }
    return answer;
  }

  #outgoing(request: RegistryRequest, url: URL, authorization: string | undefined, probing: boolean): TransportRequest {
    return {
      url,
      method: request.method,
      headers: authorization === undefined ? (request.headers ?? {}) : { ...request.headers, authorization },
      requestClass: request.requestClass,
      what: request.what,
      signal: request.signal,
      body: request.body,
      repeat: request.once === true || probing ? 'never' : 'safe',
      limit: request.limit ?? defaultLimit,
      stream: request.stream,
    };
  }

  /** Whether an address is another origin than the registry's: it gets no Authorization. */
  #isForeign(url: URL): boolean {
    return url.origin !== this.endpoint.origin && !(this.#endpoint === undefined && this.#endpoints.some(({ origin }) => origin === url.origin)); // prettier-ignore
  }
}

function isSpent(request: RegistryRequest): boolean {
  return request.body !== undefined && !(request.body instanceof Uint8Array);
}

function scopesOf({ repository, actions, from }: RegistryRequest): Scopes {
  const own = `repository:${repository}:${actions}`;
  return from === undefined ? [own] : [own, `repository:${from}:pull`];
}

/** Go's net/http: "Client sent an HTTP request to an HTTPS server."; nginx: "The plain HTTP request was sent to HTTPS port". */
function wantsTls(answer: Answer): boolean {
  return (
    answer.status === 400 &&
    answer.url.protocol === 'http:' &&
    /HTTP request (?:to an|was sent to) HTTPS/i.test(answer.bytes.toString('latin1'))
  );
}

function mayBeOtherScheme(error: unknown, tried: URL): boolean {
  if (error instanceof ProtocolMismatch) return true;
  // Nothing listens on 443: a host named as insecure may have port 80 only.
  return (
    error instanceof ReplicationError &&
    error.code === 'unreachable' &&
    tried.protocol === 'https:' &&
    tried.port === ''
  );
}

function isFatal(error: unknown): boolean {
  return !(error instanceof ReplicationError) || error.code !== 'unreachable';
}
