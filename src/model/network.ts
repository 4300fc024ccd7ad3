/**
 * How connections leave this process: the same for registries, chart hosts, helm downloads and the AWS SDK.
 * Read once from the environment by src/cli.
 */
export interface NetworkSettings {
  /** Proxy for https URLs, as in HTTPS_PROXY / https_proxy; userinfo in it is a secret. */
  readonly httpsProxy: string | undefined;
  readonly httpProxy: string | undefined;
  /** Hosts reached without proxy, as in NO_PROXY. Loopback hosts are always reached directly. */
  readonly noProxy: string | undefined;
  /** PEM certificates to trust beside the built-in ones (contents of NODE_EXTRA_CA_CERTS and SSL_CERT_FILE). */
  readonly extraCertificates: readonly string[];
  /** Hosts (with port) that may be spoken to in plain HTTP beside loopback. */
  readonly insecureHosts: readonly string[];
}

export const directNetwork: NetworkSettings = {
  httpsProxy: undefined,
  httpProxy: undefined,
  noProxy: undefined,
  extraCertificates: [],
  insecureHosts: [],
};

/** Whether a URL's host name is this machine: 127.0.0.0/8, ::1, localhost and names below it (RFC 6761 section 6.3). */
export function isLoopbackHost(hostname: string): boolean {
  const name = hostname.replace(/^\[|\]$/g, '').toLowerCase();
  return name === 'localhost' || name.endsWith('.localhost') || name === '::1' || /^127(?:\.\d{1,3}){3}$/.test(name);
}
