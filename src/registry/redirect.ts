import { ReplicationError } from '../model/errors.ts';
import type { NetworkSettings } from '../model/network.ts';
import { isInsecureHost, isPrivateHost, mayBePlain, printable } from './addresses.ts';

/** Longest chain of redirects that is followed. */
export const maxRedirects = 10;

/** Whether a status sends a GET or HEAD elsewhere (RFC 9110 section 15.4). */
export function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

/**
 * Where a server's Location leads, relative to the address that was asked.
 * @throws ReplicationError `corrupt` when it is no address, `refused` when it leads from https to plain http, or from a
 *   public host to a private, link-local or loopback address (server-side request forgery)
 */
export function follow(from: URL, location: string | undefined, network: NetworkSettings): URL {
  if (location === undefined || location === '' || !URL.canParse(location, from.href)) {
    throw new ReplicationError('corrupt', `${from.host} sent us elsewhere without saying where (${printable(from)})`, {
      host: from.host,
    });
  }
  const to = new URL(location, from);
  const refuse = (why: string): ReplicationError =>
    new ReplicationError('refused', `${from.host} sent us from ${printable(from)} to ${printable(to)}: ${why}`, {
      host: from.host,
      remedy: `if this host is known to you, name it as insecure host: ${to.host}`,
    });
  if (to.protocol !== 'https:' && to.protocol !== 'http:') throw refuse('that is no http address');
  if (to.username !== '' || to.password !== '') throw refuse('the address carries credentials');
  if (to.protocol === 'http:' && !mayBePlain(to, network)) throw refuse('plain http is not protected');
  if (isPrivateHost(to.hostname) && !isPrivateHost(from.hostname)) {
    if (!isInsecureHost(from, network) && !isInsecureHost(to, network)) throw refuse('that is a private address');
  }
  return to;
}
