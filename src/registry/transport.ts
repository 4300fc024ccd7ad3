import { setMaxListeners } from 'node:events';
import type { ReplicationError } from '../model/errors.ts';
import type { NetworkSettings } from '../model/network.ts';
import { SecretMask } from '../model/secrets.ts';
import type { ProgressCounters, Reporter } from '../report/events.ts';
import { pause, type PacerClock, systemClock } from './clock.ts';
import { openConnections } from './connections.ts';
import { DownHosts } from './down-hosts.ts';
import { type Answer, exchange, type Reading } from './exchange.ts';
import { networkFailure } from './network-errors.ts';
import type { Pacer, Ticket } from './pacer.ts';
import type { KnownRate } from './pacer-bucket.ts';
import type { ShareRates } from './pacer-shared.ts';
import { busyTimeOf, isTransfer, Pacers, type RequestClass } from './pacers.ts';
import { maskProxy } from './proxy-authorization.ts';
import { Refusals } from './refusals.ts';
import { retryAfterMs } from './retry-after.ts';
import { brokenTransfer, wrongLength } from './transfer-errors.ts';
import type { TransportRequest } from './transport-request.ts';

export interface TransportOptions {
  readonly network: NetworkSettings;
  readonly reporter: Reporter;
  readonly counters?: ProgressCounters | undefined;
  /** Takes secrets out of whatever servers say before it gets into an error. */
  readonly mask?: SecretMask | undefined;
  readonly userAgent?: string | undefined;
  /** Small requests under way to one host, per class (default 32). */
  readonly requestsPerHost?: number | undefined;
  /** Blob bodies under way to or from one host, per direction (default 16). */
  readonly transfersPerHost?: number | undefined;
  /**
   * Milliseconds: to connect (10,000), before an answer (60,000), without progress inside a body (60,000), for the whole
   * body of an answer that is kept in memory (60,000), and for all tries of one request, rate limits apart (120,000).
   */
  readonly timeouts?:
    | {
        readonly connectMs?: number;
        readonly headersMs?: number;
        readonly idleMs?: number;
        readonly answerMs?: number;
        readonly requestMs?: number;
      }
    | undefined;
  /** Tries of one request (7), first back-off (400) and longest back-off (20,000) in milliseconds. */
  readonly retry?: { readonly attempts?: number; readonly baseMs?: number; readonly maxMs?: number } | undefined;
  /** Replaced in tests. */
  readonly clock?: PacerClock | undefined;
}

/** Requests to hosts, with their connections, limits, pauses and repetitions. One per run, shared by everything that speaks HTTP. */
export interface Transport {
  readonly network: NetworkSettings;
  readonly mask: SecretMask;
  /**
   * Sends a request, repeating it where that is safe; any HTTP answer that is left after that is returned, not thrown.
   * @throws `unreachable` when there is no answer, `cancelled`
   */
  send(request: TransportRequest): Promise<Answer>;
  /** Tells the rate that a host is known to take. Counts for the first request of the class on. */
  limitRate(origin: string, requestClass: RequestClass, rate: KnownRate): void;
  /** Known rates of manifest writes are spent together with other processes. Counts for the first write to a host on. */
  shareRates(share: ShareRates): void;
  /** Breaks off what is still under way. */
  close(): Promise<void>;
}

const defaults = { requestsPerHost: 32, transfersPerHost: 16 };
/** Statuses after which the same request may succeed (go-containerregistry transport/retry.go; 425 RFC 8470, 522 Cloudflare). */
const repeatable = new Set([408, 425, 499, 500, 502, 503, 504, 522]);
/** A committed upload is hashed and stored before it is answered. */
const uploadAnswerMs = 300_000;

export type { RequestClass } from './pacers.ts';

export function createTransport(options: TransportOptions): Transport {
  return new HttpTransport(options);
}

class HttpTransport implements Transport {
  readonly network: NetworkSettings;
  readonly mask: SecretMask;
  readonly #options: TransportOptions;
  readonly #clock: PacerClock;
  readonly #times: { connectMs: number; headersMs: number; idleMs: number; answerMs: number; requestMs: number };
  readonly #retry: { attempts: number; baseMs: number; maxMs: number };
  readonly #connections;
  readonly #pacers: Pacers;
  readonly #down: DownHosts;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.network = options.network;
    this.mask = options.mask ?? new SecretMask();
    this.#clock = options.clock ?? systemClock;
    this.#down = new DownHosts(this.#clock);
    this.#times = {
      connectMs: 10_000,
      headersMs: 60_000,
      idleMs: 60_000,
      answerMs: 60_000,
      requestMs: 120_000,
      ...options.timeouts,
    };
    this.#retry = { attempts: 7, baseMs: 400, maxMs: 20_000, ...options.retry };
    const small = options.requestsPerHost ?? defaults.requestsPerHost;
    const transfers = options.transfersPerHost ?? defaults.transfersPerHost;
    this.#pacers = new Pacers({
      requestsPerHost: small,
      transfersPerHost: transfers,
      baseMs: this.#retry.baseMs,
      maxMs: this.#retry.maxMs,
      clock: this.#clock,
      counters: options.counters,
    });
    this.#connections = openConnections({
      network: options.network,
      connectMs: this.#times.connectMs,
      perOrigin: Math.max(64, small + 2 * transfers),
    });
    for (const proxy of [options.network.httpProxy, options.network.httpsProxy]) maskProxy(proxy, this.mask);
  }

  send(request: TransportRequest): Promise<Answer> {
    return this.#down.guard(request.url, request.what, () => this.#repeating(request));
  }

  async #repeating(request: TransportRequest): Promise<Answer> {
    const pacer = this.#pacers.of(request.url.origin, request.requestClass);
    const started = this.#clock.now();
    // One signal stops a whole run: dozens of requests listen to it at once, which is no leak.
    setMaxListeners(0, request.signal);
    let failures = 0;
    let refusals: Refusals | undefined;
    let answersAtFirstFailure = 0;
    /** Time that failed tries and the pauses after them took: waiting for one's turn is not the host's fault. */
    let lost = 0;
    for (;;) {
      const admitted = pacer.admit(request.signal, request.again === true || failures > 0 || refusals !== undefined);
      const ticket = admitted instanceof Promise ? await admitted : admitted;
      const sent = this.#clock.now();
      const attempt = await this.#attempt(request, pacer, ticket, Math.max(1_000, this.#times.requestMs - lost));
      if (attempt.kind === 'refused') {
        refusals ??= new Refusals(started);
        const exhausted = refusals.exhaustedBy(attempt.answer, this.#clock.now());
        if (request.repeat === 'never' || exhausted) return attempt.answer;
        // The pacer holds the next try back; one line tells of the pause, however many requests it stops.
        if (attempt.fresh)
          this.#reportRetry(request, `rate limit (${attempt.answer.status})`, attempt.pauseMs, refusals.count);
        continue;
      }
      if (attempt.kind === 'answered' && !repeatable.has(attempt.answer.status)) return attempt.answer;
      if (failures === 0) answersAtFirstFailure = this.#down.answers(request.url.origin);
      failures += 1;
      lost += this.#clock.now() - sent;
      const spent = failures >= this.#attemptsFor(request.url.origin) || lost >= this.#times.requestMs;
      const lastTry = request.repeat === 'never' || spent;
      if (attempt.kind === 'failed') {
        if (!attempt.transient || lastTry) {
          if (request.repeat === 'never' || !attempt.transient) throw attempt.error;
          this.#down.gaveUp(request.url.origin, attempt.error, answersAtFirstFailure);
          throw attempt.error.with({ final: true });
        }
        lost += await this.#pause(request, attempt.error.message, failures);
      } else {
        if (lastTry) return attempt.answer;
        lost += await this.#pause(request, `answer ${attempt.answer.status}`, failures);
      }
    }
  }

  limitRate(origin: string, requestClass: RequestClass, rate: KnownRate): void {
    this.#pacers.limitRate(origin, requestClass, rate);
  }

  shareRates(share: ShareRates): void {
    this.#pacers.shareRates(share);
  }

  async close(): Promise<void> {
    await this.#connections.destroy();
  }

  async #attempt(request: TransportRequest, pacer: Pacer, ticket: Ticket, leftMs: number): Promise<Attempt> {
    const busy = busyTimeOf(request.requestClass, this.#options.counters);
    busy?.begin(performance.now());
    const release = once(() => {
      busy?.end(performance.now());
      pacer.release(ticket);
    });
    try {
      const answer = await this.#exchange(request, release, leftMs);
      this.#down.answered(request.url.origin);
      const asked = retryAfterMs(answer.headers['retry-after'], Date.now());
      const refused = answer.status === 429 || (answer.status === 503 && asked !== undefined);
      // The pacer hears of a refusal before the place is free: else the next request would go out into the same limit.
      const attempt: Attempt = refused
        ? { kind: 'refused', answer, ...pacer.throttled(ticket, asked) }
        : { kind: 'answered', answer };
      if (!refused) pacer.succeeded(ticket);
      if (answer.stream === undefined) release();
      return attempt;
    } catch (error) {
      release();
      const failure = networkFailure(error, { host: request.url.host, what: request.what, signal: request.signal });
      if (failure === undefined) throw error;
      return { kind: 'failed', error: failure.error, transient: failure.transient };
    }
  }

  #exchange(request: TransportRequest, release: () => void, leftMs: number): Promise<Answer> {
    const { counters } = this.#options;
    const transfer = isTransfer(request.requestClass);
    const reading: Reading =
      request.stream === undefined
        ? { limit: request.limit }
        : {
            limit: request.limit,
            stream: {
              expected: request.stream.expected,
              finished: release,
              mapError: (error, received) => brokenTransfer(error, received, request),
              wrongLength: (received) => wrongLength(received, request),
            },
          };
    return exchange(
      this.#connections.dispatcherFor(request.url),
      {
        url: request.url,
        method: request.method,
        headers: {
          'user-agent': this.#options.userAgent ?? 'image-replication',
          // Without it any encoding is as good (RFC 9110 section 12.5.3); digests and ranges are of what is encoded.
          'accept-encoding': 'identity',
          ...request.headers,
        },
        body: request.body,
        signal: request.signal,
        headersMs:
          request.body === undefined
            ? Math.min(this.#times.headersMs, leftMs)
            : Math.max(this.#times.headersMs, uploadAnswerMs),
        idleMs: this.#times.idleMs,
        answerMs: Math.min(this.#times.answerMs, leftMs),
        onRead: counters !== undefined && transfer ? (bytes) => void (counters.readBytes += bytes) : undefined,
        onWritten: counters !== undefined && transfer ? (bytes) => void (counters.writtenBytes += bytes) : undefined,
      },
      reading,
    );
  }

  #attemptsFor(origin: string): number {
    return this.#down.has(origin) ? 1 : this.#retry.attempts;
  }

  /** Exponential back-off with full jitter for one request's own failures. @returns its length in milliseconds */
  async #pause(request: TransportRequest, reason: string, failures: number): Promise<number> {
    const ceiling = Math.min(this.#retry.maxMs, this.#retry.baseMs * 2 ** (failures - 1));
    const ms = this.#clock.random() * ceiling;
    this.#reportRetry(request, reason, ms, failures);
    await pause(this.#clock, ms, request.signal);
    return ms;
  }

  #reportRetry(request: TransportRequest, reason: string, ms: number, attempt: number): void {
    this.#options.reporter.emit({
      type: 'retry',
      host: request.url.host,
      what: request.what,
      reason,
      delaySeconds: ms / 1000,
      attempt,
    });
  }
}

type Attempt =
  | { readonly kind: 'answered'; readonly answer: Answer }
  | { readonly kind: 'refused'; readonly answer: Answer; readonly pauseMs: number; readonly fresh: boolean }
  | { readonly kind: 'failed'; readonly error: ReplicationError; readonly transient: boolean };

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    action();
  };
}
