import { randomBytes } from 'node:crypto';
import { type Answer, AnswerError, jsonAnswer } from './answer.ts';
import type { Exchange } from './http-host.ts';
import { ociError } from './oci-error.ts';

export interface BearerAuth {
  readonly kind: 'bearer';
  /** Without a username every token request is granted. */
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** With a username: whether those without may pull. */
  readonly anonymousPull?: boolean | undefined;
  /** Refresh token that the OAuth2 form of the token endpoint (POST) takes. */
  readonly identityToken?: string | undefined;
  /** Seconds; 300 unless told. */
  readonly expiresIn?: number | undefined;
  /** `null`: the challenge names no service, as nvcr.io's (https://github.com/sapcc/keppel/issues/731). */
  readonly service?: string | null | undefined;
  /** The token endpoint listens on another port, as Docker Hub's is on another host. */
  readonly separateTokenServer?: boolean | undefined;
  /** Overrides the realm in the challenge. */
  readonly realm?: string | undefined;
  /** Further challenges after the Bearer one, as Codeberg sends. */
  readonly extraChallenges?: readonly string[] | undefined;
  /** Under which name the token is given; both are legal. */
  readonly tokenField?: 'token' | 'access_token' | undefined;
  /** Leave `expires_in` out: clients must then assume 60 seconds. */
  readonly omitExpiresIn?: boolean | undefined;
}

export type RegistryAuth =
  | { readonly kind: 'none' }
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  | BearerAuth
  /** ECR's way: Basic with a token from GetAuthorizationToken. Seconds; 43,200 (12 hours) unless told. */
  | { readonly kind: 'ecr-token'; readonly expiresIn?: number | undefined };

/** A repository and what is to be done there: `pull`, `push`, `delete`. */
export interface Access {
  readonly repository: string;
  readonly actions: readonly string[];
}

export interface Authenticator {
  /** @throws AnswerError 401 or 403 with the challenge when the request may not have this access */
  check(exchange: Exchange, access: readonly Access[]): void;
  /** Answers a request to the token endpoint. */
  token(exchange: Exchange): Promise<Answer>;
  /** What GetAuthorizationToken hands out. */
  issueEcrToken(): { readonly token: string; readonly expiresAt: number };
  /** Every token issued so far is expired from now on. */
  expireTokens(): void;
}

interface IssuedToken {
  expiresAt: number;
  /** `undefined` grants everything. */
  readonly access: readonly Access[] | undefined;
}

export interface AuthContext {
  /** `https://HOST` of the registry as clients know it. */
  readonly endpoint: string;
  readonly tokenUrl: string;
}

export function createAuthenticator(auth: RegistryAuth, context: AuthContext): Authenticator {
  const tokens = new Map<string, IssuedToken>();
  const issue = (seconds: number, access: readonly Access[] | undefined): { token: string; expiresAt: number } => {
    const token = randomBytes(24).toString('base64url');
    const expiresAt = Date.now() + seconds * 1000;
    tokens.set(token, { expiresAt, access });
    return { token, expiresAt };
  };
  return {
    check(exchange, access) {
      if (auth.kind === 'basic') checkBasic(auth, exchange);
      if (auth.kind === 'bearer') checkBearer(auth, context, tokens, exchange, access);
      if (auth.kind === 'ecr-token') checkEcr(context, tokens, exchange);
    },
    async token(exchange) {
      if (auth.kind !== 'bearer') throw ociError(404, 'NOT_FOUND', 'there is no token endpoint here');
      return answerToken(auth, issue, exchange);
    },
    issueEcrToken() {
      const { token, expiresAt } = issue(auth.kind === 'ecr-token' ? (auth.expiresIn ?? 43_200) : 43_200, undefined);
      return { token: Buffer.from(`AWS:${token}`).toString('base64'), expiresAt };
    },
    expireTokens() {
      for (const token of tokens.values()) token.expiresAt = 0;
    },
  };
}

/** Username and password of a Basic Authorization header (RFC 7617). */
export function basicCredentials(header: string | undefined): { username: string; password: string } | undefined {
  const match = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(header ?? '');
  if (match?.[1] === undefined) return undefined;
  const text = Buffer.from(match[1], 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

function checkBasic(auth: { username: string; password: string }, exchange: Exchange): void {
  const given = basicCredentials(exchange.headers.authorization);
  if (given?.username === auth.username && given.password === auth.password) return;
  throw challenged(['Basic realm="Registry Realm"']);
}

function checkBearer(
  auth: BearerAuth,
  context: AuthContext,
  tokens: ReadonlyMap<string, IssuedToken>,
  exchange: Exchange,
  access: readonly Access[],
): void {
  const given = /^Bearer (.+)$/i.exec(exchange.headers.authorization ?? '')?.[1];
  const token = given === undefined ? undefined : tokens.get(given);
  const live = token !== undefined && token.expiresAt > Date.now();
  if (live && access.every((wanted) => grants(token, wanted))) return;
  const scope = access.map(({ repository, actions }) => `repository:${repository}:${actions.join(',')}`).join(' ');
  const parameters = [`realm="${auth.realm ?? context.tokenUrl}"`];
  if (auth.service !== null) parameters.push(`service="${auth.service ?? 'registry'}"`);
  if (scope !== '') parameters.push(`scope="${scope}"`);
  // RFC 6750 section 3.1
  if (given !== undefined) parameters.push(`error="${live ? 'insufficient_scope' : 'invalid_token'}"`);
  throw challenged([`Bearer ${parameters.join(',')}`, ...(auth.extraChallenges ?? [])]);
}

function grants(token: IssuedToken, wanted: Access): boolean {
  if (token.access === undefined) return true;
  const held = token.access
    .filter(({ repository }) => repository === wanted.repository)
    .flatMap((each) => each.actions);
  return wanted.actions.every((action) => held.includes(action) || held.includes('*'));
}

/**
 * Challenge text as recorded in renovate's lib/modules/datasource/docker/common.ts; an expired token is 403 and not 401
 * (https://github.com/deis/builder/issues/426).
 */
function checkEcr(context: AuthContext, tokens: ReadonlyMap<string, IssuedToken>, exchange: Exchange): void {
  const given = basicCredentials(exchange.headers.authorization);
  const token = given?.username === 'AWS' ? tokens.get(given.password) : undefined;
  if (token === undefined) {
    throw new AnswerError({
      status: 401,
      headers: {
        'www-authenticate': `Basic realm="${context.endpoint}/",service="ecr.amazonaws.com"`,
        'content-type': 'text/plain; charset=utf-8',
      },
      body: 'Not Authorized\n',
    });
  }
  if (token.expiresAt <= Date.now()) {
    throw ociError(403, 'DENIED', 'Your authorization token has expired. Reauthenticate and try again.');
  }
}

function challenged(challenges: readonly string[]): AnswerError {
  return new AnswerError(
    jsonAnswer(
      401,
      { errors: [{ code: 'UNAUTHORIZED', message: 'authentication required', detail: null }] },
      { 'www-authenticate': challenges, 'docker-distribution-api-version': 'registry/2.0' },
    ),
  );
}

/** GET with Basic, or POST with an OAuth2 form: distribution docs/content/spec/auth/{token,oauth}.md. */
async function answerToken(
  auth: BearerAuth,
  issue: (seconds: number, access: readonly Access[]) => { token: string },
  exchange: Exchange,
): Promise<Answer> {
  const form = exchange.method === 'POST' ? new URLSearchParams(await text(exchange)) : exchange.url.searchParams;
  if (typeof auth.service === 'string' && form.get('service') !== auth.service) {
    throw ociError(400, 'BAD_REQUEST', `unknown service ${form.get('service') ?? ''}`);
  }
  const who = identify(auth, exchange, form);
  if (who === 'nobody') {
    throw new AnswerError(jsonAnswer(401, { details: 'incorrect username or password' }));
  }
  const wanted = form
    .getAll('scope')
    .flatMap((scope) => scope.split(' '))
    .flatMap(parseScope);
  const access = wanted.map(({ repository, actions }) => ({
    repository,
    actions: who === 'user' ? actions : actions.filter((action) => action === 'pull'),
  }));
  const seconds = auth.expiresIn ?? 300;
  const { token } = issue(seconds, access);
  return jsonAnswer(200, {
    [auth.tokenField ?? 'token']: token,
    ...(auth.omitExpiresIn === true ? {} : { expires_in: seconds }),
    issued_at: new Date().toISOString(),
  });
}

function identify(auth: BearerAuth, exchange: Exchange, form: URLSearchParams): 'user' | 'anonymous' | 'nobody' {
  const open = auth.username === undefined;
  if (form.get('grant_type') === 'refresh_token') {
    return form.get('refresh_token') === auth.identityToken ? 'user' : 'nobody';
  }
  const given =
    form.get('grant_type') === 'password'
      ? { username: form.get('username') ?? '', password: form.get('password') ?? '' }
      : basicCredentials(exchange.headers.authorization);
  if (open) return 'user';
  if (given === undefined) return auth.anonymousPull === true ? 'anonymous' : 'nobody';
  return given.username === auth.username && given.password === auth.password ? 'user' : 'nobody';
}

function parseScope(scope: string): readonly Access[] {
  const match = /^repository(?:\([^)]*\))?:(.+):([^:]*)$/.exec(scope);
  if (match?.[1] === undefined || match[2] === undefined) return [];
  return [{ repository: match[1], actions: match[2].split(',') }];
}

async function text(exchange: Exchange): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of exchange.body) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
