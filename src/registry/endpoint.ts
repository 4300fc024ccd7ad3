import { ReplicationError } from '../model/errors.ts';
import { isLoopbackHost, type NetworkSettings } from '../model/network.ts';
import { isInsecureHost } from './addresses.ts';

/**
 * The addresses under which a registry may be reached, in the order in which they are tried. More than one only where plain
 * HTTP is allowed: loopback hosts mostly speak it, hosts named as insecure mostly do not.
 */
export function endpointsOf(host: string, network: NetworkSettings, baseUrl?: string): readonly [URL, ...URL[]] {
  if (baseUrl !== undefined) return [origin(baseUrl, host)];
  // References say docker.io, the registry is elsewhere (docker/docs content/manuals/docker-hub/usage/pulls.md).
  const name = host === 'docker.io' ? 'registry-1.docker.io' : host;
  const secure = origin(`https://${name}`, host);
  // Not by setting `protocol`: the port means something else then.
  const plain = origin(`http://${name}`, host);
  if (isLoopbackHost(secure.hostname)) return [plain, secure];
  if (isInsecureHost(secure, network) || isInsecureHost(plain, network)) return [secure, plain];
  return [secure];
}

function origin(text: string, host: string): URL {
  if (!URL.canParse(text)) {
    throw new ReplicationError('configuration', `"${host}" is no registry host`, {
      host,
      remedy: 'write host or host:port',
    });
  }
  return new URL(new URL(text).origin);
}
