import pLimit from 'p-limit';
import type { Repositories, RepositoryName } from '../aws/repositories.ts';
import { ReplicationErrors, type ReplicationError, toReplicationError } from '../model/errors.ts';
import { hasProjectPrefix, type TaggedRepository } from './policy.ts';

/** Requests to ECR's API at once. Its rates for these operations are not published. */
const requestsAtOnce = 8;

export interface FoundRepository extends TaggedRepository, RepositoryName {}

/** All repositories under `<project>-` with their tags. One that vanishes meanwhile is left out. */
export async function taggedRepositories(
  registry: Repositories,
  project: string,
  signal: AbortSignal,
): Promise<readonly FoundRepository[]> {
  const { repositories } = await registry.list({ signal });
  const limit = pLimit(requestsAtOnce);
  const found = await Promise.all(
    repositories
      .filter(({ name }) => hasProjectPrefix(name, project))
      .map((each) => limit(async () => withTags(registry, each, signal))),
  );
  return found.filter((each) => each !== undefined);
}

/** The repository with its tags as they are now; `undefined` when it is gone. */
export async function withTags(
  registry: Repositories,
  repository: RepositoryName,
  signal: AbortSignal,
): Promise<FoundRepository | undefined> {
  const tags = await registry.tags(repository, signal);
  return tags === undefined ? undefined : { name: repository.name, arn: repository.arn, tags };
}

/** Does all of the work, a few at a time; what fails does not stop the rest. @throws ReplicationErrors with all failures */
export async function forAll<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const limit = pLimit(requestsAtOnce);
  const failures: ReplicationError[] = [];
  await Promise.all(
    items.map((item) =>
      limit(async () => {
        try {
          await work(item);
        } catch (error) {
          failures.push(toReplicationError(error, { side: 'target' }));
        }
      }),
    ),
  );
  if (failures.length > 0) throw new ReplicationErrors(failures);
}
