import type { SecretMask } from '../model/secrets.ts';

/** The value of Proxy-Authorization for a proxy URL with userinfo (RFC 7617), else undefined. */
export function proxyAuthorization(proxy: URL): string | undefined {
  if (proxy.username === '' && proxy.password === '') return undefined;
  const userinfo = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return `Basic ${Buffer.from(userinfo).toString('base64')}`;
}

/** Takes the password of a proxy's address out of whatever is said. */
export function maskProxy(proxy: string | undefined, mask: SecretMask): void {
  if (proxy === undefined || !URL.canParse(proxy)) return;
  const url = new URL(proxy);
  if (proxyAuthorization(url) === undefined) return;
  mask.addBasic(decodeURIComponent(url.username), decodeURIComponent(url.password));
}
