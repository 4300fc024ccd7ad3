import { type Digest, isDigest } from './digest.ts';
import { ReplicationError } from './errors.ts';

/**
 * An image reference as it was written: `[registry/]repository[:tag][@digest]`.
 * Grammar: distribution/reference v0.6 (the one docker, containerd and Kubernetes use).
 */
export interface Reference {
  /** Registry as written, port included; `undefined` when none was written (Docker Hub is meant). */
  readonly registry: string | undefined;
  /** Repository as written, without registry: `nginx`, `bitnami/redis`. */
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

/** Where a reference leads: registry and repository with Docker Hub's short forms spelled out. */
export interface Location {
  /** `docker.io`, `quay.io`, `localhost:5000`, …: in lower case, as hosts are the same in any (RFC 3986 section 3.2.2). */
  readonly registry: string;
  /** `library/nginx` for `nginx`. */
  readonly repository: string;
  /** Tag or digest to ask for: the digest where there is one, else the tag, else `latest`. */
  readonly reference: string;
}

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const repositoryPattern = new RegExp(`^${component}(?:/${component})*$`);
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const registryPattern =
  /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)(?::[0-9]{1,5})?$/;

export function isTag(text: string): boolean {
  return tagPattern.test(text);
}

export function isRepository(text: string): boolean {
  return text.length <= 255 && repositoryPattern.test(text);
}

/** Whether a first path segment names a registry: it has a dot, a port, or is `localhost` (distribution/reference splitDockerDomain). */
export function looksLikeRegistry(segment: string): boolean {
  return segment === 'localhost' || segment.includes('.') || segment.includes(':') || segment !== segment.toLowerCase();
}

/** @throws ReplicationError `configuration` that names the text and what is wrong with it. */
export function parseReference(text: string): Reference {
  const invalid = (why: string): ReplicationError =>
    new ReplicationError('configuration', `"${text}" is not an image reference: ${why}`, {
      reference: text,
      remedy: 'write [registry[:port]/]repository[:tag][@sha256:…]',
    });
  let rest = text;
  let digest: Digest | undefined;
  const at = rest.indexOf('@');
  if (at >= 0) {
    const written = rest.slice(at + 1);
    if (!isDigest(written)) throw invalid(`"${written}" is no sha256 or sha512 digest`);
    digest = written;
    rest = rest.slice(0, at);
  }
  let registry: string | undefined;
  const slash = rest.indexOf('/');
  if (slash >= 0 && looksLikeRegistry(rest.slice(0, slash))) {
    registry = rest.slice(0, slash);
    rest = rest.slice(slash + 1);
    if (!registryPattern.test(registry)) throw invalid(`"${registry}" is no host name`);
  }
  let tag: string | undefined;
  const colon = rest.lastIndexOf(':');
  if (colon >= 0) {
    tag = rest.slice(colon + 1);
    rest = rest.slice(0, colon);
    if (!isTag(tag)) throw invalid(`"${tag}" is no tag`);
  }
  if (!isRepository(rest)) throw invalid(rest === '' ? 'the repository is missing' : `"${rest}" is no repository name`);
  return { registry, repository: rest, tag, digest };
}

const dockerHubNames = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com']);

/** Spells out Docker Hub's short forms: `nginx` is `docker.io/library/nginx:latest`. Hosts become lower case: `QUAY.IO` is `quay.io`. */
export function locate(reference: Reference): Location {
  const host = reference.registry?.toLowerCase();
  const registry = host === undefined || dockerHubNames.has(host) ? 'docker.io' : host;
  const official = registry === 'docker.io' && !reference.repository.includes('/');
  return {
    registry,
    repository: official ? `library/${reference.repository}` : reference.repository,
    reference: reference.digest ?? reference.tag ?? 'latest',
  };
}

/** `registry/repository:tag` or `registry/repository@digest`. */
export function formatLocation(location: Location): string {
  return `${location.registry}/${location.repository}${isDigest(location.reference) ? '@' : ':'}${location.reference}`;
}
