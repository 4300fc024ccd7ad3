import { isIP } from 'node:net';
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

/**
 * Domains under which everybody can have a name, at any depth: sharing one proves nothing. The ones of clouds and tunnels
 * that registries are run under, out of https://publicsuffix.org (private domains).
 */
const sharedDomains: readonly string[] = [
  ...['amazonaws.com', 'amazonaws.com.cn', 'amazonaws.eu', 'api.aws', 'awsapprunner.com', 'cloudfront.net', 'elasticbeanstalk.com', 'on.aws'], // prettier-ignore
  ...['azure-api.net', 'azurecontainerapps.io', 'azurecr.cn', 'azurecr.io', 'azurecr.us', 'azureedge.net', 'azurefd.net', 'azurestaticapps.net', 'azurewebsites.net', 'cloudapp.azure.com', 'cloudapp.net', 'trafficmanager.net', 'windows.net'], // prettier-ignore
  ...['appspot.com', 'firebaseapp.com', 'googleusercontent.com', 'pkg.dev', 'run.app', 'web.app'],
  ...['bitbucket.io', 'codespaces.githubpreview.dev', 'github.dev', 'github.io', 'githubusercontent.com', 'gitlab.io', 'gitpod.io', 'hf.space', 'jfrog.io', 'app.github.dev', 'repl.co', 'replit.app', 'replit.dev', 'sourceforge.io'], // prettier-ignore
  ...['deno.dev', 'digitaloceanspaces.com', 'fly.dev', 'glitch.me', 'herokuapp.com', 'netlify.app', 'now.sh', 'ondigitalocean.app', 'onrender.com', 'pages.dev', 'r2.dev', 'railway.app', 'surge.sh', 'vercel.app', 'workers.dev'], // prettier-ignore
  ...['loca.lt', 'localtunnel.me', 'ngrok.app', 'ngrok.dev', 'ngrok.io', 'ngrok-free.app', 'ngrok-free.dev', 'trycloudflare.com', 'ts.net'], // prettier-ignore
  ...['ddns.net', 'duckdns.org', 'dyndns.org', 'nip.io', 'no-ip.org', 'sslip.io'],
  ...['co.com', 'de.com', 'eu.com', 'eu.org', 'gb.net', 'uk.com', 'us.com'],
];

/** Second labels of country domains under which names are registered, besides those of up to three letters. */
const countrySeconds = new Set(['asso', 'firm', 'gouv', 'govt', 'info', 'muni', 'name', 'plc', 'press', 'school', 'store']); // prettier-ignore

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
  if (Object.hasOwn(knownRealms, registry) && knownRealms[registry]?.includes(realm) === true) return true;
  // Numbers have no parent domain, and a name with a dot at its end (RFC 1034 "absolute") would seem to have one more label.
  if ([realm, registry].some((name) => isAddress(name) || isPrivateHost(name) || name.endsWith('.'))) return false;
  if (isShared(realm) || isShared(registry)) return false;
  const shared = commonDomain(realm, registry);
  // co.uk, com.cn, org.au: nobody's own domain.
  const [second = '', top = ''] = shared.slice(-2);
  const registered = top.length === 2 && (second.length <= 3 || countrySeconds.has(second)) ? 3 : 2;
  return shared.length >= registered;
}

function isAddress(hostname: string): boolean {
  return isIP(hostname.replace(/^\[|\]$/g, '')) !== 0;
}

function isShared(hostname: string): boolean {
  return sharedDomains.some((domain) => hostname === domain || hostname.endsWith(`.${domain}`));
}

/** The labels that two names end with alike. */
function commonDomain(a: string, b: string): readonly string[] {
  const left = a.split('.').reverse();
  const right = b.split('.').reverse();
  let count = 0;
  while (count < left.length && count < right.length && left[count] === right[count]) count += 1;
  return left.slice(0, count).reverse();
}
