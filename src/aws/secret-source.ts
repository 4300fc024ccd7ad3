import type { BasicCredential, CredentialSource } from '../model/credentials.ts';
import { ReplicationError } from '../model/errors.ts';
import { isPublicHost, normaliseHost, hostOfKey } from './secret-hosts.ts';
import { hostCredentials, pickCredential, type Secret } from './secrets.ts';

export interface SecretScope {
  /** Nested key that the parameter names. A key that is a host name is for that host only. */
  readonly key?: string | undefined;
  /** Targets of docker mappings and chart hosts that the user's own data files name (as references write them). */
  readonly allowedHosts: ReadonlySet<string>;
}

/**
 * Decides which host gets which credential of a secret. A nested key that is a host name applies to that host only. The
 * pair at the top level, or under the key that was picked, goes to the allowed hosts only, and never to a well-known
 * public one.
 * @throws ReplicationError `configuration` when the secret holds no usable credential for the key
 */
export function credentialSourceFromSecret(secret: Secret, scope: SecretScope): CredentialSource {
  const { byHost, general, allowed } = resolve(secret, scope);
  return {
    credentialFor: (host) => {
      const name = normaliseHost(host);
      return Promise.resolve(byHost.get(name) ?? (allowed.has(name) ? general : undefined));
    },
  };
}

/** Allowed hosts that get nothing because they are well-known public ones: worth a notice, with the remedy. */
export function withheldHosts(secret: Secret, scope: SecretScope): readonly string[] {
  const { byHost, general } = resolve(secret, scope);
  if (general === undefined) return [];
  const hosts = new Set([...scope.allowedHosts].map(normaliseHost));
  return [...hosts].filter((host) => isPublicHost(host) && !byHost.has(host)).sort();
}

interface Resolved {
  readonly byHost: ReadonlyMap<string, BasicCredential>;
  /** The credential that is not bound to a host by its key. */
  readonly general: BasicCredential | undefined;
  readonly allowed: ReadonlySet<string>;
}

function resolve(secret: Secret, { key, allowedHosts }: SecretScope): Resolved {
  const byHost = hostCredentials(secret);
  const allowed = new Set([...allowedHosts].map(normaliseHost).filter((host) => !isPublicHost(host)));
  const wanted = key === undefined || key === '' ? undefined : key;
  if (wanted !== undefined) {
    const credential = pickCredential(secret, wanted);
    return { byHost, general: hostOfKey(wanted) === undefined ? credential : undefined, allowed };
  }
  if (secret.top === undefined && byHost.size === 0) pickCredential(secret);
  return { byHost, general: secret.top, allowed };
}

/** What to tell a user whose secret was withheld from a public host. */
export function withheldNotice(secret: Secret, host: string): string {
  return `secret "${secret.name}" is not sent to ${host}, which is public; add a key "${host}" with username and password to the secret if it is meant for that host`;
}

/** A credential for exactly one host, such as the one that HelmDistroUrl names. */
export function credentialForHost(host: string, credential: BasicCredential): CredentialSource {
  const only = normaliseHost(host);
  if (only === '') throw new ReplicationError('configuration', 'a credential needs a host that it is for');
  return { credentialFor: (asked) => Promise.resolve(normaliseHost(asked) === only ? credential : undefined) };
}
