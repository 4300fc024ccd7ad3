import { checkTargetRepository, portAsName } from '../../model/target-name.ts';

/**
 * Where a chart is pushed, without tag: prefix, last segment of its repository's URL, name (the name of the original module,
 * that the EKS module builds upon). `https://grafana.github.io/helm-charts/` and `grafana` give `<prefix>helm-charts/grafana`.
 * @throws ReplicationError `configuration` when ECR cannot have such a repository
 */
export function chartTarget(prefix: string, repository: string, name: string): string {
  const last = repository.replace(/\/+$/, '').split('/').at(-1) ?? repository;
  const target = `${prefix}${portAsName(last)}/${name}`;
  checkTargetRepository(target);
  return target;
}

/**
 * The OCI tag of a chart version: `+` is `_`, since a tag has no plus sign.
 * @see https://helm.sh/docs/topics/registries/#deprecated-features-and-strict-naming-policies
 */
export function chartTag(version: string): string {
  return version.replaceAll('+', '_');
}
