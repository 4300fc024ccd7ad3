import { BlockList, isIP } from 'node:net';
import { isLoopbackHost, type NetworkSettings } from '../model/network.ts';

/**
 * Addresses that a public server must not send us to: this machine, private networks, link-local (cloud metadata).
 * RFC 6890 (IPv4 and IPv6 special-purpose registries), RFC 6598 (100.64/10), RFC 4193 (fc00::/7).
 */
function privateRanges(): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of [
    ['0.0.0.0', 8],
    ['10.0.0.0', 8],
    ['100.64.0.0', 10],
    ['127.0.0.0', 8],
    ['169.254.0.0', 16],
    ['172.16.0.0', 12],
    ['192.168.0.0', 16],
  ] as const) {
    list.addSubnet(network, prefix, 'ipv4');
  }
  for (const [network, prefix] of [
    ['::', 127],
    ['fc00::', 7],
    ['fe80::', 10],
  ] as const) {
    list.addSubnet(network, prefix, 'ipv6');
  }
  return list;
}

const privateAddresses = privateRanges();

/** Whether a URL's host name is a private, link-local or loopback IP literal, or a loopback name. Names are not resolved. */
export function isPrivateHost(hostname: string): boolean {
  if (isLoopbackHost(hostname)) return true;
  const literal = hostname.replace(/^\[|\]$/g, '');
  const version = isIP(literal);
  if (version === 0) return false;
  return privateAddresses.check(literal, version === 4 ? 'ipv4' : 'ipv6');
}

/** Whether plain HTTP to this URL's host is allowed: loopback, or named by the user (with or without its port). */
export function mayBePlain(url: URL, network: NetworkSettings): boolean {
  return isLoopbackHost(url.hostname) || isInsecureHost(url, network);
}

/** Whether the user named this host as insecure. */
export function isInsecureHost(url: URL, network: NetworkSettings): boolean {
  return network.insecureHosts.some((named) => {
    const host = named.toLowerCase();
    return host === url.host || host === url.hostname || host === `${url.hostname}:${portOf(url)}`;
  });
}

/** The port that a URL leads to, the scheme's default filled in. */
export function portOf(url: URL): string {
  return url.port !== '' ? url.port : url.protocol === 'http:' ? '80' : '443';
}

/** A URL for messages: without query (presigned URLs carry secrets there) and without userinfo. */
export function printable(url: URL): string {
  return `${url.origin}${url.pathname}`;
}
