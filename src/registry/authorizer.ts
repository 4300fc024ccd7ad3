import type { Credential, CredentialSource } from '../model/credentials.ts';
import { ReplicationError } from '../model/errors.ts';
import { wordsOf } from './answer-errors.ts';
import { orCancelled } from './cancelled.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import type { Answer } from './exchange.ts';
import { checkRealm, type Realm } from './realm.ts';
import { type AccessToken, askForToken, basic } from './tokens.ts';
import type { Transport } from './transport.ts';

/** What a request needs to be allowed to do: `repository:library/nginx:pull`. Empty for requests to no repository. */
export type Scopes = readonly string[];

/** An Authorization header, with the moment (monotonic, milliseconds) that it is known to be valid since. */
interface Grant {
  readonly header: string;
  readonly since: number;
}

type Mode =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'basic' }
  | {
      readonly kind: 'bearer';
      readonly realm: Realm;
      readonly service: string | undefined;
      /** Set where the registry's scopes are none of a repository: public.ecr.aws wants `aws`. */
      readonly fixedScope: string | undefined;
    };

/** A 403 within this time after the grant was obtained is about rights, not about its age. Milliseconds. */
const youngMs = 30_000;
/** A token is renewed this long before it expires, but no later than at half of its life. Milliseconds. */
const marginMs = 25_000;
/** The credential source is asked again after this time: it renews what expires, such as ECR's tokens. Milliseconds. */
const reaskMs = 600_000;

/**
 * Authorization for one registry: learns from its challenge what it wants, keeps tokens per scope, renews them in time
 * and when they are refused. One question to the token server or credential source serves all who wait for it.
 */
export class Authorizer {
  readonly #transport: Transport;
  readonly #host: string;
  readonly #credentials: CredentialSource;
  #mode: Mode;
  #basic: Grant | undefined;
  #basicAskedAt = 0;
  #credential: { readonly value: Credential | undefined } | undefined;
  /** What the registry asked for beyond our own scopes, by these: other names of a repository, other actions. */
  readonly #asked = new Map<string, Scopes>();
  readonly #tokens = new Map<string, AccessToken>();
  readonly #asking = new Map<string, Promise<Grant | undefined>>();

  constructor(transport: Transport, host: string, credentials: CredentialSource, authenticateFirst: boolean) {
    this.#transport = transport;
    this.#host = host;
    this.#credentials = credentials;
    // ECR's data plane takes its token as Basic, without asking first (facts: ECR HTTP API authentication).
    this.#mode = { kind: authenticateFirst ? 'basic' : 'unknown' };
  }

  /**
   * The Authorization header to send, `undefined` while nothing was asked for.
   * @param remainingMs how long it has to be valid still; a body that cannot be sent twice needs more than a HEAD
   */
  async header(scopes: Scopes, signal: AbortSignal, remainingMs = 0): Promise<string | undefined> {
    const mode = this.#mode;
    if (mode.kind === 'unknown') return undefined;
    if (mode.kind === 'basic') {
      const known =
        this.#basic !== undefined && performance.now() - this.#basicAskedAt < reaskMs ? this.#basic : undefined;
      return (known ?? (await this.#shared('basic', () => this.#obtainBasic(false), signal)))?.header;
    }
    const wanted = mode.fixedScope === undefined ? (this.#asked.get(keyOf(scopes)) ?? scopes) : [mode.fixedScope];
    const known = this.#usableToken(wanted, remainingMs);
    return (known ?? (await this.#shared(keyOf(wanted), () => this.#obtainToken(wanted), signal)))?.header;
  }

  /**
   * After a 401 or 403: another header to try with once, or `undefined` when the answer stands.
   * @param used the header that was refused
   * @param url the address that refused it; a realm is judged by it
   * @throws `refused` when the token server is one that we must not use, `unauthorized` when it refuses us
   */
  async afterRefusal(
    answer: Answer,
    used: string | undefined,
    scopes: Scopes,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    if (answer.status === 403 && !this.#mayBeStale(answer, used)) return undefined;
    const challenges = parseChallenges(answer.headers['www-authenticate']);
    const learned = this.#learn(challenges, answer.url, scopes);
    const mode = learned ?? this.#mode;
    if (mode.kind === 'unknown') return undefined;
    this.#mode = mode;
    if (mode.kind === 'basic') {
      if (this.#basic !== undefined && this.#basic.header !== used) return this.#basic.header;
      const fresh = await this.#shared('basic', () => this.#obtainBasic(used !== undefined), signal);
      return fresh?.header === used ? undefined : fresh?.header;
    }
    const asked = scopeOf(challenges);
    const wanted = mode.fixedScope === undefined ? merge(scopes, asked) : [mode.fixedScope];
    const key = keyOf(wanted);
    // The next request needs no second refusal; a body that is streamed could not be sent after one.
    if (mode.fixedScope === undefined && key !== keyOf(scopes)) this.#asked.set(keyOf(scopes), wanted);
    const known = this.#tokens.get(key);
    if (known !== undefined && known.header === used) this.#tokens.delete(key);
    else if (known !== undefined && this.#usableToken(wanted, 0) !== undefined) return known.header;
    return (await this.#shared(key, () => this.#obtainToken(wanted), signal))?.header;
  }

  /** Whether a header is a token that has expired, as far as our clocks can tell, or was given up since another request was refused with it. */
  hasExpired(header: string | undefined): boolean {
    if (header?.startsWith('Bearer ') !== true) return false;
    return ![...this.#tokens.values()].some((each) => each.header === header && isFresh(each, 0));
  }

  /** A refusal by 403 may mean an expired grant: ECR says "Your authorization token has expired" with 403 (deis/builder#426). */
  #mayBeStale(answer: Answer, used: string | undefined): boolean {
    if (used === undefined) return false;
    if (/expired|reauthenticate|invalid[ _]?token/i.test(wordsOf(answer, this.#transport.mask).text)) return true;
    const since =
      this.#basic?.header === used
        ? this.#basic.since
        : [...this.#tokens.values()].find((token) => token.header === used)?.obtainedAt;
    return since !== undefined && performance.now() - since > youngMs;
  }

  #learn(challenges: readonly Challenge[], url: URL, scopes: Scopes): Mode | undefined {
    const bearer = challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'));
    if (bearer !== undefined) {
      const realm = checkRealm(bearer.parameters.get('realm') ?? '', url, this.#transport.network);
      const asked = scopeOf(challenges);
      const usual = asked.length === 0 || asked.some((scope) => scope.startsWith('repository:'));
      return {
        kind: 'bearer',
        realm,
        service: bearer.parameters.get('service'),
        fixedScope: usual || scopes.length === 0 ? undefined : asked.join(' '),
      };
    }
    return challenges.some(({ scheme }) => scheme === 'basic') ? { kind: 'basic' } : undefined;
  }

  /** A token that covers the scopes (one with more rights does too) and is valid long enough. */
  #usableToken(scopes: Scopes, remainingMs: number): Grant | undefined {
    for (const key of [keyOf(scopes), keyOf(scopes.map((scope) => scope.replace(/:pull$/, ':pull,push')))]) {
      const token = this.#tokens.get(key);
      if (token === undefined) continue;
      if (isFresh(token, remainingMs)) return { header: token.header, since: token.obtainedAt };
    }
    return undefined;
  }

  /** One run of `obtain` for all who ask for the same thing at once. It is not bound to the first one's signal. */
  #shared(key: string, obtain: () => Promise<Grant | undefined>, signal: AbortSignal): Promise<Grant | undefined> {
    let running = this.#asking.get(key);
    if (running === undefined) {
      running = obtain().finally(() => this.#asking.delete(key));
      this.#asking.set(key, running);
      // Those who wait see it fail; when none is left, nobody needs to.
      running.catch(() => undefined);
    }
    return orCancelled(running, signal);
  }

  async #obtainBasic(rejected: boolean): Promise<Grant | undefined> {
    const credential = await this.#ask(rejected);
    if (credential === undefined) return undefined;
    if (credential.kind !== 'basic') {
      throw new ReplicationError(
        'unauthorized',
        `${this.#host} wants user and password, and only an identity token is known`,
        {
          host: this.#host,
          remedy: `give user and password for ${this.#host}`,
        },
      );
    }
    const header = basic(credential);
    this.#basicAskedAt = performance.now();
    if (this.#basic?.header !== header) this.#basic = { header, since: performance.now() };
    return this.#basic;
  }

  async #obtainToken(scopes: Scopes): Promise<Grant | undefined> {
    const mode = this.#mode;
    if (mode.kind !== 'bearer') return undefined;
    const credential = this.#credential === undefined ? await this.#ask(false) : this.#credential.value;
    if (credential !== undefined && !mode.realm.trusted) {
      throw new ReplicationError(
        'refused',
        `${this.#host} wants its credentials sent to ${mode.realm.url.host}, which does not belong to it`,
        {
          host: this.#host,
          remedy: `use the registry without credentials, or check who runs ${mode.realm.url.host}`,
        },
      );
    }
    let token: AccessToken;
    try {
      token = await this.#exchange(mode, scopes, credential);
    } catch (error) {
      if (!isRefused(error) || credential === undefined) throw error;
      const fresh = await this.#ask(true);
      if (fresh === undefined || sameCredential(fresh, credential)) throw error;
      token = await this.#exchange(mode, scopes, fresh);
    }
    this.#tokens.set(keyOf(scopes), token);
    return { header: token.header, since: token.obtainedAt };
  }

  #exchange(mode: Mode & { kind: 'bearer' }, scopes: Scopes, credential: Credential | undefined): Promise<AccessToken> {
    const { realm, service } = mode;
    const question = { realm: realm.url, service, scopes, credential, host: this.#host };
    return askForToken(this.#transport, question, unending());
  }

  async #ask(rejected: boolean): Promise<Credential | undefined> {
    const value = await this.#credentials.credentialFor(this.#host, { rejected });
    if (value?.kind === 'basic') this.#transport.mask.addBasic(value.username, value.password);
    else if (value !== undefined) this.#transport.mask.add(value.token);
    this.#credential = { value };
    return value;
  }
}

/** Whether a token is valid for so long still, and a little longer. */
function isFresh({ obtainedAt, expiresAt }: AccessToken, remainingMs: number): boolean {
  const margin = Math.min(Math.max(marginMs, remainingMs), (expiresAt - obtainedAt) / 2);
  return performance.now() < expiresAt - margin;
}

function unending(): AbortSignal {
  return new AbortController().signal;
}

function isRefused(error: unknown): boolean {
  return error instanceof ReplicationError && (error.code === 'unauthorized' || error.code === 'denied');
}

function sameCredential(a: Credential, b: Credential): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function keyOf(scopes: Scopes): string {
  return [...scopes].sort().join(' ');
}

/** The scopes that a challenge asks for (distribution "Token Authentication Specification": separated by spaces). */
function scopeOf(challenges: readonly Challenge[]): Scopes {
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
  return (bearer?.parameters.get('scope') ?? '').split(/\s+/).filter((scope) => scope !== '');
}

function sameResource(a: string, b: string): boolean {
  return a.slice(0, a.lastIndexOf(':')) === b.slice(0, b.lastIndexOf(':'));
}

/** Ours, and what the registry asked for beyond them; its own alone where it knows the repository by another name. */
function merge(own: Scopes, asked: Scopes): Scopes {
  const named = asked.filter((scope) => scope.startsWith('repository:'));
  if (named.length > 0 && !named.some((scope) => own.some((known) => sameResource(known, scope)))) return asked;
  return [...own, ...asked.filter((scope) => !own.some((known) => covers(known, scope)))];
}

function covers(known: string, scope: string): boolean {
  if (!sameResource(known, scope)) return false;
  const actions = new Set(known.slice(known.lastIndexOf(':') + 1).split(','));
  return scope
    .slice(scope.lastIndexOf(':') + 1)
    .split(',')
    .every((action) => actions.has(action));
}
