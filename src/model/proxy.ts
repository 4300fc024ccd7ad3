import { BlockList, isIP } from 'node:net';
import { isLoopbackHost, type NetworkSettings } from './network.ts';

/**
 * The proxy that a URL is reached through, if any. NO_PROXY as curl and Go read it: a comma or space separated list of
 * host names (a leading `.` or `*.` is optional; names below match too), `host:port`, IP addresses, CIDR blocks, `*`.
 * Loopback hosts are always reached directly.
 */
export function proxyFor(url: URL, network: NetworkSettings): URL | undefined {
  const proxy = url.protocol === 'https:' ? network.httpsProxy : network.httpProxy;
  if (proxy === undefined || proxy === '') return undefined;
  if (isLoopbackHost(url.hostname) || matchesNoProxy(url, network.noProxy ?? '')) return undefined;
  return new URL(proxy.includes('://') ? proxy : `http://${proxy}`);
}

function matchesNoProxy(url: URL, noProxy: string): boolean {
  const hostname = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const port = url.port !== '' ? url.port : url.protocol === 'http:' ? '80' : '443';
  return noProxy
    .split(/[,\s]+/)
    .filter((entry) => entry !== '')
    .some((entry) => matchesEntry(hostname, port, entry.toLowerCase()));
}

function matchesEntry(hostname: string, port: string, entry: string): boolean {
  if (entry === '*') return true;
  if (entry.includes('/')) return inBlock(hostname, entry);
  const parts = /^(?:\[([^\]]+)\]|([^:]+|[0-9a-f:]+))(?::(\d+))?$/.exec(entry);
  const name = (parts?.[1] ?? parts?.[2] ?? entry).replace(/^\*?\./, '');
  if (parts?.[3] !== undefined && parts[3] !== port) return false;
  return hostname === name || hostname.endsWith(`.${name}`);
}

function inBlock(hostname: string, block: string): boolean {
  const [network = '', prefix = ''] = block.split('/');
  const version = isIP(network);
  if (version === 0 || isIP(hostname) !== version || !/^\d{1,3}$/.test(prefix)) return false;
  const bits = Number(prefix);
  if (bits > (version === 4 ? 32 : 128)) return false;
  const family = version === 4 ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  list.addSubnet(network, bits, family);
  return list.check(hostname, family);
}
