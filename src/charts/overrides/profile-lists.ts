import { splitAt } from './candidates.ts';
import type { Baseline } from './probe.ts';
import { formatPath, leaves, valueAt, type ValuePath } from '../values/tree.ts';

/** An image that a profile's own values name inside of a list. */
export interface ProfileList {
  readonly profile: string;
  /** `initContainers[0].image` */
  readonly path: string;
}

/**
 * Whether the path leads through a list that is not the same under every profile. Values are published once for all of them,
 * and a list in them takes the place of the whole list: what one profile needs there, the others would get.
 */
export function isInProfileList(path: ValuePath, baselines: readonly Baseline[]): boolean {
  const end = path.findIndex((key) => typeof key === 'number');
  if (end < 0 || baselines.length < 2) return false;
  const lists = baselines.map(({ tree }) => JSON.stringify(valueAt(tree, path.slice(0, end)) ?? null));
  return new Set(lists).size > 1;
}

/** Which of the references stand in such lists. */
export function namedInLists(
  references: readonly string[],
  baselines: readonly Baseline[],
): ReadonlyMap<string, ProfileList> {
  const named = new Map<string, ProfileList>();
  if (references.length === 0) return named;
  for (const { profile, tree } of baselines) {
    for (const { path, text } of leaves(tree)) {
      if (text === '' || !isInProfileList(path, baselines)) continue;
      for (const reference of references)
        if (!named.has(reference) && (reference.startsWith(text) || splitAt(text, reference).length > 1))
          named.set(reference, { profile, path: formatPath(path) });
    }
  }
  return named;
}
