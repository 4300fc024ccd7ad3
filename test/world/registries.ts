import { createHash } from 'node:crypto';
import { locate, parseReference } from '../../src/model/reference.ts';
import type { CertificateAuthority } from '../../src/testing/certificates.ts';
import { buildImage, type ImageContent, withCosignTag, withReferrer } from '../../src/testing/image-builder.ts';
import type { ProxyServer } from '../../src/testing/proxy-server.ts';
import type { RegistryAuth } from '../../src/testing/registry-auth.ts';
import { type RegistryServer, startRegistryServer } from '../../src/testing/registry-server.ts';

/** Credentials of `vault.example.com`. */
export const vaultLogin = { username: 'robot', password: 'vault-Pa55/word+1' };

/**
 * A source registry under its real name: Docker Hub with its token server on another host, private ECR with a region's
 * token, the others with anonymous Bearer tokens. Layers come from another host, as they do from most of them.
 */
export async function startSourceRegistry(
  host: string,
  authority: CertificateAuthority,
  proxy: ProxyServer,
): Promise<RegistryServer> {
  const hub = host === 'docker.io';
  const ecr = /^(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com$/.exec(host);
  const name = hub ? 'registry-1.docker.io' : host;
  const storageName = `layers.${hub ? 'docker.com' : host}`;
  const further = hub ? ['auth.docker.io'] : ecr === null ? [] : [`api.ecr.${ecr[2] ?? ''}.amazonaws.com`];
  const server = await startRegistryServer({
    manners: ecr === null ? 'plain' : 'ecr',
    ...(ecr === null ? { auth: authOf(host) } : { accountId: ecr[1], region: ecr[2] }),
    hostName: name,
    storageHostName: storageName,
    blobRedirect: true,
    tls: await authority.issue([name, storageName, ...further]),
  });
  proxy.route(`${name}:443`, server.host);
  proxy.route(`${storageName}:443`, server.storageHost);
  for (const other of further) proxy.route(`${other}:443`, server.host);
  return server;
}

function authOf(host: string): RegistryAuth {
  if (host === 'vault.example.com') return { kind: 'bearer', ...vaultLogin };
  return { kind: 'bearer', ...(host === 'docker.io' ? { realm: 'https://auth.docker.io/token' } : {}) };
}

/** Puts made-up images under these references: real names, tags and shapes, only the bytes are invented. */
export async function fill(
  references: readonly string[],
  registryOf: (host: string) => Promise<RegistryServer>,
): Promise<void> {
  for (const reference of references) {
    const { registry, repository, reference: tag } = locate(parseReference(reference));
    const server = await registryOf(registry);
    if (server.manifest(repository, tag) === undefined)
      await server.putImage(repository, tag, imageFor(`${registry}/${repository}:${tag}`));
  }
}

/**
 * An image for a reference, of one of the shapes that are met in the wild; the same reference always gets the same. Most
 * are single manifests: ECR takes ten manifests a second, and a test is to be quick.
 */
function imageFor(reference: string): ImageContent {
  const name = reference.replace(/[^a-z0-9.]+/gi, '-');
  const shape = (createHash('sha256').update(reference).digest()[0] ?? 0) % 16;
  if (shape === 0) return withCosignTag(buildImage({ name, attestations: true }));
  if (shape === 1) return withReferrer(buildImage({ name }), { fallbackTag: true });
  if (shape === 2) return buildImage({ name, platforms: ['linux/amd64', 'linux/arm64/v8', 'windows/amd64'] });
  if (shape === 3) return buildImage({ name, nested: true });
  if (shape < 6) return buildImage({ name, format: 'docker' });
  const format = shape < 11 ? 'docker' : 'oci';
  return buildImage({ name, format, platforms: ['linux/amd64'], index: false });
}
