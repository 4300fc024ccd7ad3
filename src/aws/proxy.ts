import { isLoopbackHost, type NetworkSettings } from '../model/network.ts';

/**
 * The proxy for a URL, or `undefined` when it is reached directly. NO_PROXY is read as `proxy-from-env` and curl read it:
 * a comma or space separated list of names with optional port; `*` means everything, and a leading dot or `*.` all names
 * below. A plain name also covers the names below it, as in curl, Go and Python. Loopback hosts never use a proxy.
 */
export function proxyFor(url: URL, network: NetworkSettings): string | undefined {
  const proxy = url.protocol === 'https:' ? network.httpsProxy : network.httpProxy;
  if (proxy === undefined || proxy === '' || isLoopbackHost(url.hostname)) return undefined;
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  if (exempt(url.hostname.toLowerCase(), port, network.noProxy ?? '')) return undefined;
  return proxy.includes('://') ? proxy : `http://${proxy}`;
}

function exempt(hostname: string, port: string, noProxy: string): boolean {
  return noProxy
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true;
      const [, host = entry, onlyPort] = /^(.+?):(\d+)$/.exec(entry) ?? [];
      if (onlyPort !== undefined && onlyPort !== port) return false;
      const name = host.replace(/^\*?\.?/, '');
      return hostname === name || hostname.endsWith(`.${name}`);
    });
}
