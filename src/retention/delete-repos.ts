import type { Repositories } from '../aws/repositories.ts';
import { decideDeleteRepos, type DeleteDecision } from './policy.ts';
import { forAll, type FoundRepository, taggedRepositories, withTags } from './tagged.ts';

export interface DeleteReposRequest {
  readonly repositories: Repositories;
  readonly project: string;
  readonly includeUntagged: boolean;
  /** Asked once, after the list was printed, with the names to delete. */
  readonly confirm: (repositories: readonly string[]) => Promise<boolean>;
  readonly print: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Removes a project's repositories by hand, whichever deployment owns them: lists first, asks, then deletes.
 * @returns the names that were deleted
 * @throws ReplicationErrors with everything that could not be removed
 */
export async function deleteRepos(request: DeleteReposRequest): Promise<readonly string[]> {
  const { repositories: registry, project, includeUntagged, confirm, print, signal } = request;
  const found = await taggedRepositories(registry, project, signal);
  const decision = decideDeleteRepos({ repositories: found, project, includeUntagged });
  const { keep } = decision;
  for (const { repository, why } of keep) print(`keep    ${repository} (${why})`);
  for (const { repository, why } of decision.delete) print(`delete  ${repository} (${why})`);
  if (decision.delete.length === 0) {
    print(`nothing to delete for project ${project}`);
    return [];
  }
  const names = decision.delete.map(({ repository }) => repository);
  if (!(await confirm(names))) {
    print('nothing was deleted');
    return [];
  }
  const deleted: string[] = [];
  const wanted = new Set(names);
  await forAll(
    found.filter(({ name }) => wanted.has(name)),
    async (repository) => {
      const now = await withTags(registry, repository, signal);
      if (now === undefined || !stillToDelete(found, now, request)) {
        print(`kept ${repository.name}: it has changed meanwhile`);
        return;
      }
      await registry.delete(repository, signal);
      deleted.push(repository.name);
      print(`deleted ${repository.name}`);
    },
  );
  return deleted.sort();
}

/** A person may take their time to answer: a repository that another project took meanwhile stays. */
function stillToDelete(
  found: readonly FoundRepository[],
  now: FoundRepository,
  { project, includeUntagged }: DeleteReposRequest,
): boolean {
  const repositories = [...found.filter(({ name }) => name !== now.name), now];
  const again: DeleteDecision = decideDeleteRepos({ repositories, project, includeUntagged });
  return again.delete.some(({ repository }) => repository === now.name);
}
