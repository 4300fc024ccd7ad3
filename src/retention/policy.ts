import { isOwnerTag, ownersIn, ownerTagPrefix, withoutOwner } from '../aws/owner-tag.ts';

/** A repository and its tags, as found. */
export interface TaggedRepository {
  readonly name: string;
  readonly tags: ReadonlyMap<string, string>;
}

/** A repository that stays, and the reason that is printed. */
export interface Kept {
  readonly repository: string;
  readonly why: string;
}

/** A repository that stays, without our tag; `value` is what the tag keeps when another project shares it. */
export interface Untag {
  readonly repository: string;
  readonly key: string;
  readonly value: string | undefined;
}

export interface DestroyDecision {
  readonly untag: readonly Untag[];
  readonly delete: readonly string[];
  readonly keep: readonly Kept[];
}

export interface DestroyQuestion {
  /** Repositories whose names begin with `<project>-`; others are ignored. */
  readonly repositories: readonly TaggedRepository[];
  readonly project: string;
  /** Owner tag of the deployment that goes (see ownerTagKey). */
  readonly ownerKey: string;
  /** Who else says in its inventory that it uses a repository, by repository. */
  readonly usedBy: ReadonlyMap<string, readonly string[]>;
}

/** Whether a repository's name could be one of the project's. `app` has `app-x`, and neither `app2-x` nor `apps`. */
export function hasProjectPrefix(repository: string, project: string): boolean {
  return repository.startsWith(`${project}-`) && repository.length > project.length + 1;
}

/**
 * What the destroy of one deployment does. A repository is ours only if our own tag names exactly our project: names
 * alone say nothing (`app-prod-x` may belong to project `app-prod`). It is deleted when no other owner is left.
 */
export function decideDestroy({ repositories, project, ownerKey, usedBy }: DestroyQuestion): DestroyDecision {
  const untag: Untag[] = [];
  const remove: string[] = [];
  const keep: Kept[] = [];
  for (const { name, tags } of inOrder(repositories).filter((each) => hasProjectPrefix(each.name, project))) {
    const own = tags.get(ownerKey);
    if (own === undefined || !ownersIn(own).includes(project)) {
      keep.push({ repository: name, why: notOurs(tags) });
      continue;
    }
    const value = withoutOwner(own, project);
    const others = [...tags].filter(([key]) => isOwnerTag(key) && key !== ownerKey).map(describeOwner);
    if (value !== undefined) others.unshift(describeOwner([ownerKey, value]));
    for (const user of usedBy.get(name) ?? [])
      if (!tags.has(`${ownerTagPrefix}${user}`)) others.push(`${user} (by its inventory)`);
    if (others.length === 0) remove.push(name);
    else {
      untag.push({ repository: name, key: ownerKey, value });
      keep.push({ repository: name, why: `still used by ${others.join(', ')}` });
    }
  }
  return { untag, delete: remove, keep };
}

/** What `delete-repos` lists before it asks. */
export interface DeleteDecision {
  readonly delete: readonly { readonly repository: string; readonly why: string }[];
  readonly keep: readonly Kept[];
}

/**
 * What `delete-repos` removes: repositories whose owners are all of exactly this project; untagged ones only when asked
 * for, and not where their name begins with the longer name of a project that is known from other repositories.
 */
export function decideDeleteRepos(question: {
  /** All repositories with the prefix, and whatever others were seen. */
  readonly repositories: readonly TaggedRepository[];
  readonly project: string;
  readonly includeUntagged: boolean;
}): DeleteDecision {
  const { repositories, project, includeUntagged } = question;
  const projects = new Set(repositories.flatMap(({ tags }) => projectsIn(tags)));
  const remove: { repository: string; why: string }[] = [];
  const keep: Kept[] = [];
  for (const { name, tags } of inOrder(repositories).filter((each) => hasProjectPrefix(each.name, project))) {
    const owners = projectsIn(tags);
    const others = owners.filter((owner) => owner !== project);
    const longer = [...projects].find((each) => each.length > project.length && hasProjectPrefix(name, each));
    if (others.length > 0)
      keep.push({ repository: name, why: `belongs to project ${[...new Set(others)].join(', ')}` });
    else if (owners.length > 0) remove.push({ repository: name, why: `owned by ${ownersText(tags)}` });
    else if (!includeUntagged)
      keep.push({ repository: name, why: 'has no owner tag (--include-untagged takes it too)' });
    else if (longer !== undefined)
      keep.push({ repository: name, why: `has no owner tag, and may belong to project ${longer}` });
    else remove.push({ repository: name, why: 'has no owner tag' });
  }
  return { delete: remove, keep };
}

function projectsIn(tags: ReadonlyMap<string, string>): readonly string[] {
  return [...tags].filter(([key]) => isOwnerTag(key)).flatMap(([, value]) => ownersIn(value));
}

function ownersText(tags: ReadonlyMap<string, string>): string {
  return [...tags]
    .filter(([key]) => isOwnerTag(key))
    .map(describeOwner)
    .join(', ');
}

function describeOwner([key, value]: readonly [string, string]): string {
  return `${key.slice(key.indexOf(':') + 1)} of project ${value}`;
}

function notOurs(tags: ReadonlyMap<string, string>): string {
  const owners = ownersText(tags);
  return owners === '' ? 'has no owner tag' : `belongs to ${owners}`;
}

function inOrder(repositories: readonly TaggedRepository[]): readonly TaggedRepository[] {
  return [...repositories].sort((a, b) => (a.name < b.name ? -1 : 1));
}
