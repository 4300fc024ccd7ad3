import * as z from 'zod';
import type { Credential, CredentialSource } from '../model/credentials.ts';
import { ReplicationError } from '../model/errors.ts';
import type { SecretMask } from '../model/secrets.ts';

export interface GoogleOptions {
  /** Host of the metadata server, as Google's own libraries take it from GCE_METADATA_HOST. */
  readonly metadataHost?: string | undefined;
  readonly mask: SecretMask;
  readonly now?: () => number;
}

/** https://docs.cloud.google.com/compute/docs/access/authenticate-workloads#applications */
const Token = z.looseObject({ access_token: z.string().min(1), expires_in: z.number() });

/** A token is good for an hour; it is renewed this long before its end, in milliseconds. */
const marginMs = 120_000;

/** Artifact Registry, and Container Registry's names that it serves now. */
function isGoogleRegistry(host: string): boolean {
  return /^[a-z0-9-]+-docker\.pkg\.dev$|^(?:[a-z]+\.)?gcr\.io$/.test(host);
}

/**
 * Tokens of the machine's or pod's service account (GKE workload identity) for Google's registries, from the metadata
 * server: https://docs.cloud.google.com/artifact-registry/docs/docker/authentication#token. Asked only after a challenge.
 */
export function googleCredentials(options: GoogleOptions): CredentialSource {
  const { mask, now = () => Date.now() } = options;
  let held: { readonly token: Promise<z.infer<typeof Token>>; until: number } | undefined;
  const fresh = async (): Promise<Credential> => {
    if (held === undefined || held.until <= now()) {
      const entry = { token: ask(options.metadataHost ?? 'metadata.google.internal'), until: Infinity };
      held = entry;
      try {
        entry.until = now() + (await entry.token).expires_in * 1000 - marginMs;
      } catch (error) {
        if (held === entry) held = undefined;
        throw error;
      }
    }
    const { access_token: password } = await held.token;
    mask.addBasic('oauth2accesstoken', password);
    return { kind: 'basic', username: 'oauth2accesstoken', password };
  };
  return {
    async credentialFor(host, request) {
      if (!isGoogleRegistry(host)) return undefined;
      if (request?.rejected === true) held = undefined;
      return fresh();
    },
  };
}

async function ask(host: string): Promise<z.infer<typeof Token>> {
  // Plain HTTP within the machine, never by way of a proxy; the header is what keeps browsers from asking.
  const url = `http://${host}/computeMetadata/v1/instance/service-accounts/default/token`;
  let why: string;
  try {
    const answer = await fetch(url, { headers: { 'metadata-flavor': 'Google' }, signal: AbortSignal.timeout(10_000) });
    const parsed = answer.ok ? Token.safeParse(await answer.json()) : undefined;
    if (parsed?.success === true) return parsed.data;
    why = answer.ok ? 'its answer is no token' : `it answered ${answer.status}`;
  } catch (cause) {
    why = cause instanceof Error ? cause.message : String(cause);
  }
  throw new ReplicationError('unauthorized', `no token from the metadata server ${host}: ${why}`, {
    host,
    remedy:
      'give the pod a Google service account (workload identity), or log in by docker config.json and leave CLOUD out',
  });
}
