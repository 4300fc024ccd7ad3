import type { JsonLike } from '../helm-yaml.ts';
import { isList, isMap, type Values } from '../values/tree.ts';

/**
 * Merges as the EKS module merges the published values into its own: maps by key, lists one behind the other, anything else
 * is replaced (idf-modules modules/compute/eks/helpers.py `deep_merge`, deepmerge's `always_merger`).
 */
export function mergeAppending(own: Values, published: Values): Values {
  const entries = new Map(Object.entries(own));
  for (const [key, value] of Object.entries(published)) {
    const before = entries.get(key);
    entries.set(key, both(before, value));
  }
  return Object.fromEntries(entries);
}

function both(before: JsonLike | undefined, value: JsonLike): JsonLike {
  if (isMap(before) && isMap(value)) return mergeAppending(before, value);
  return isList(before) && isList(value) ? [...before, ...value] : value;
}
