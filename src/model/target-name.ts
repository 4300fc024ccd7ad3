import { ReplicationError } from './errors.ts';

/** ECR CreateRepository, parameter `repositoryName`: pattern, and 2 to 256 characters. */
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const repositoryPattern = new RegExp(`^${component}(?:/${component})*$`);
const shortestName = 2;
const longestName = 256;

/**
 * A registry as part of a repository name: a port becomes `-<port>`, since a repository name has no colon, and the host is in
 * lower case, which means the same (RFC 3986 section 3.2.2) and is all that ECR takes. What has neither dot nor port may be no
 * host, and stays, as does what stands behind the host.
 * `Host:5000` gives `host-5000`, `host:5000/team` gives `host-5000/team`.
 */
export function registryAsName(registry: string): string {
  const host = /^(?:[^/:@]*\.[^/:@]*|[^/:@]+(?=:[0-9]+(?:\/|$)))/;
  return portAsName(registry.replace(host, (written) => written.toLowerCase()));
}

/** The same for what need not be a host: upper case stays. */
export function portAsName(segment: string): string {
  return segment.replace(/^([^/]*):([0-9]+)(?=\/|$)/, '$1-$2');
}

/**
 * Name at the target of an image reference that is kept as it was written, registry included; the registry's host in lower case.
 * @param prefix what every target begins with: `<registry host>/<project>-`, or ends in `/`
 */
export function targetReference(prefix: string, written: string): string {
  const slash = written.indexOf('/');
  // Without a slash there is no registry, and a colon belongs to the tag.
  return `${prefix}${slash < 0 ? written : registryAsName(written.slice(0, slash)) + written.slice(slash)}`;
}

export interface TargetName {
  /** Host as it was written, port included. */
  readonly host: string;
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

/** Takes a target reference apart. The host is everything before the first slash, whatever it looks like. */
export function splitTarget(target: string): TargetName {
  const slash = target.indexOf('/');
  const at = target.indexOf('@');
  const digest = at < 0 ? undefined : target.slice(at + 1);
  const rest = target.slice(slash + 1, at < 0 ? undefined : at);
  const colon = rest.lastIndexOf(':');
  const hasTag = colon > rest.lastIndexOf('/');
  return {
    host: target.slice(0, Math.max(slash, 0)),
    repository: hasTag ? rest.slice(0, colon) : rest,
    tag: hasTag ? rest.slice(colon + 1) : undefined,
    digest,
  };
}

/**
 * Makes sure that the target's repository can exist in ECR. @throws ReplicationError `configuration` that names it
 * @see https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
 */
export function checkTargetRepository(target: string): void {
  const { repository } = splitTarget(target);
  const why = illegalBecause(repository);
  if (why === undefined) return;
  throw new ReplicationError('configuration', `"${repository}" is no repository name for ECR: ${why}`, {
    reference: target,
    remedy:
      'ECR takes 2 to 256 characters: lower-case letters and digits, with single . _ / or any number of - between them; choose another project name or source name',
  });
}

function illegalBecause(repository: string): string | undefined {
  if (repository.length < shortestName) return 'it is shorter than 2 characters';
  if (repository.length > longestName) return `it has ${repository.length} characters, 256 are allowed`;
  if (repositoryPattern.test(repository)) return undefined;
  if (repository !== repository.toLowerCase()) return 'it has upper-case letters';
  return 'it has characters in places where ECR does not allow them';
}
