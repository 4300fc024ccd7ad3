import type { ECR } from '@aws-sdk/client-ecr';
import type { BasicCredential } from '../model/credentials.ts';
import { ReplicationError } from '../model/errors.ts';
import type { SecretMask } from '../model/secrets.ts';

/** What ECR's API hands out for its data plane: a Basic credential, and the address of the registry it belongs to. */
export interface EcrToken {
  readonly credential: BasicCredential;
  /** `https://123456789012.dkr.ecr.eu-central-1.amazonaws.com`, as ECR says it: right in every partition. */
  readonly proxyEndpoint: string;
}

/** ECR's tokens for one registry, renewed before they end (12 hours, API_GetAuthorizationToken). */
export interface EcrTokens {
  /** @param options.rejected the token given before was refused: fetch another one, once for all who ask */
  current(options?: { readonly rejected?: boolean }): Promise<EcrToken>;
}

interface Held {
  readonly token: EcrToken;
  /** Milliseconds since the epoch; infinity when ECR did not say when the token ends. */
  readonly refreshAt: number;
  readonly replacedRejectedAt: number | undefined;
}

/** Tokens are good for 12 hours; one is replaced half an hour before its end, or at half of a shorter life. */
const marginMs = 30 * 60_000;
/** Requests that were under way with the old token may still be refused this long after it was replaced. */
const graceMs = 2_000;

/** Keeps one token and refreshes it before it expires or when it is refused; one request serves all waiters. */
export function ecrTokens(
  ecr: () => Promise<Pick<ECR, 'getAuthorizationToken'>>,
  options: { readonly mask: SecretMask; readonly registryId?: string | undefined },
): EcrTokens {
  let held: Held | undefined;
  let flight: Promise<Held> | undefined;

  const refresh = (rejected: boolean): Promise<Held> => {
    flight ??= fetchToken(ecr, options, rejected)
      .then((fresh) => (held = fresh))
      .finally(() => (flight = undefined));
    return flight;
  };
  return {
    async current({ rejected = false } = {}) {
      if (flight !== undefined) return (await flight).token;
      if (held === undefined) return (await refresh(false)).token;
      const now = Date.now();
      const justReplaced = held.replacedRejectedAt !== undefined && now - held.replacedRejectedAt < graceMs;
      if (now >= held.refreshAt || (rejected && !justReplaced)) return (await refresh(rejected)).token;
      return held.token;
    },
  };
}

async function fetchToken(
  ecr: () => Promise<Pick<ECR, 'getAuthorizationToken'>>,
  { mask, registryId }: { readonly mask: SecretMask; readonly registryId?: string | undefined },
  rejected: boolean,
): Promise<Held> {
  const client = await ecr();
  // registryIds is deprecated because it changes nothing about the token; it does change whose endpoint is named.
  // eslint-disable-next-line @typescript-eslint/no-deprecated
  const answer = await client.getAuthorizationToken(registryId === undefined ? {} : { registryIds: [registryId] });
  const [data] = answer.authorizationData ?? [];
  const token = data?.authorizationToken;
  const proxyEndpoint = data?.proxyEndpoint;
  if (token === undefined || proxyEndpoint === undefined)
    throw new ReplicationError('corrupt', 'ecr:GetAuthorizationToken answered without a token or an endpoint');
  mask.add(token);
  const text = Buffer.from(token, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon <= 0)
    throw new ReplicationError('corrupt', 'ecr:GetAuthorizationToken answered a token that is no user:password');
  const username = text.slice(0, colon);
  const password = text.slice(colon + 1);
  mask.addBasic(username, password);
  const now = Date.now();
  return {
    token: { credential: { kind: 'basic', username, password }, proxyEndpoint },
    refreshAt: refreshTime(now, data?.expiresAt),
    replacedRejectedAt: rejected ? now : undefined,
  };
}

function refreshTime(now: number, expiresAt: Date | undefined): number {
  const end = expiresAt?.getTime() ?? 0;
  // An end in the past (moto answers 2015) says nothing about the token: use it until it is refused.
  if (!(end > now)) return Number.POSITIVE_INFINITY;
  return Math.max(end - marginMs, now + (end - now) / 2);
}
