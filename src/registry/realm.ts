import { ReplicationError } from '../model/errors.ts';
import { isLoopbackHost, type NetworkSettings } from '../model/network.ts';
import { isPrivateHost, mayBePlain, printable } from './addresses.ts';

/** A token server that a challenge named. */
export interface Realm {
  readonly url: URL;
  /** Whether the registry's credentials may be sent there. */
  readonly trusted: boolean;
}

/** Token servers that belong to a registry without sharing its parent domain, seen in their challenges (facts: nvidia-container-toolkit#1945). */
const knownRealms: Readonly<Record<string, readonly string[]>> = {
  'nvcr.io': ['authn.nvidia.com'],
  'dhi.io': ['auth.docker.io'],
  'registry.hub.docker.com': ['auth.docker.io'],
};

/** Domains under which everybody can have a name: sharing one proves nothing. */
const sharedDomains = new Set([
  'amazonaws.com',
  'api.aws',
  'on.aws',
  'azurecr.io',
  'azurewebsites.net',
  'windows.net',
  'cloudfront.net',
  'github.io',
  'gitlab.io',
  'pkg.dev',
  'run.app',
  'appspot.com',
  'herokuapp.com',
  'jfrog.io',
  'netlify.app',
  'vercel.app',
  'workers.dev',
  'pages.dev',
]);

/**
 * Checks the realm of a Bearer challenge before anything is sent there: the registry chooses it, so a hostile one could
 * have our credentials sent anywhere. distribution-spec "Token Authentication".
 * @throws ReplicationError `refused`
 */
export function checkRealm(text: string, registry: URL, network: NetworkSettings): Realm {
  const refuse = (why: string): ReplicationError =>
    new ReplicationError('refused', `${registry.host} names a token server that we do not use: ${why}`, {
      host: registry.host,
    });
  if (!URL.canParse(text)) throw refuse('its address makes no sense');
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') throw refuse('its address carries credentials');
  const named = printable(url);
  if (url.protocol !== 'https:') {
    const plain = url.protocol === 'http:' && mayBePlain(url, network) && mayBePlain(registry, network);
    if (!plain) throw refuse(`${named} is not https`);
  }
  if (isPrivateHost(url.hostname) && !isPrivateHost(registry.hostname) && url.hostname !== registry.hostname)
    throw refuse(`${named} is a private address`);
  return { url, trusted: belongsTogether(url.hostname, registry.hostname) };
}

function belongsTogether(realm: string, registry: string): boolean {
  if (realm === registry) return true;
  if (isLoopbackHost(realm) && isLoopbackHost(registry)) return true;
  if (knownRealms[registry]?.includes(realm) === true) return true;
  if (isPrivateHost(realm) || isPrivateHost(registry)) return false;
  const shared = commonDomain(realm, registry);
  if (shared.length < 2) return false;
  // co.uk, com.cn, org.au: nobody's own domain.
  const [second = '', top = ''] = shared.slice(-2);
  const needed = top.length === 2 && second.length <= 3 ? 3 : 2;
  return shared.length >= needed && !sharedDomains.has(shared.slice(-2).join('.'));
}

/** The labels that two names end with alike. */
function commonDomain(a: string, b: string): readonly string[] {
  const left = a.split('.').reverse();
  const right = b.split('.').reverse();
  let count = 0;
  while (count < left.length && count < right.length && left[count] === right[count]) count += 1;
  return left.slice(0, count).reverse();
}
