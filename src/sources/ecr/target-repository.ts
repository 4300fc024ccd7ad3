import { ReplicationError } from '../../model/errors.ts';
import { checkTargetRepository, registryAsName } from '../../model/target-name.ts';

/**
 * Name of a repository at the target: the source's as it is written, registry included where one is written (as the data
 * replication hub's ECR plugin names it), behind the prefix. A prefix that ends in `/ - _ .` is put before it as it is,
 * any other one as a path segment.
 * @throws ReplicationError `configuration` when ECR does not take the name
 */
export function targetRepository(prefix: string, written: string): string {
  const slash = written.indexOf('/');
  const name = slash < 0 ? written : registryAsName(written.slice(0, slash)) + written.slice(slash);
  const repository = `${joined(prefix)}${name}`;
  checkTargetRepository(`target/${repository}`);
  return repository;
}

function joined(prefix: string): string {
  return prefix === '' || /[/_.-]$/.test(prefix) ? prefix : `${prefix}/`;
}

/** The source repository's name that a target repository stands for; `undefined` when it does not begin with the prefix. */
export function sourceRepository(prefix: string, repository: string): string | undefined {
  const start = joined(prefix);
  return repository.startsWith(start) && repository.length > start.length ? repository.slice(start.length) : undefined;
}

/** @throws ReplicationError `usage` when no repository could begin with it */
export function checkPrefix(prefix: string): void {
  try {
    targetRepository(prefix, 'name');
  } catch (cause) {
    throw new ReplicationError('usage', `"${prefix}" is no prefix for ECR repositories`, {
      remedy: 'write lower-case letters and digits with . _ - / between them, such as mirror or team/mirror',
      cause,
    });
  }
}
