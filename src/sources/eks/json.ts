import type { Json, JsonMap } from './schema.ts';

export function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Own property only: a path such as `constructor` names nothing that a chart did not write. */
export function own(map: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}

/** Maps are merged key by key, everything else of the second wins: as helm merges values files. */
export function deepMerge(first: JsonMap, second: JsonMap): JsonMap {
  // Not by assignment: that of a key `__proto__` would set the prototype.
  const merged = new Map(Object.entries(first));
  for (const [key, value] of Object.entries(second)) {
    const before = merged.get(key);
    merged.set(key, isJsonMap(before) && isJsonMap(value) ? deepMerge(before, value) : value);
  }
  return Object.fromEntries(merged);
}

export function isJsonMap(value: unknown): value is JsonMap {
  return isMap(value);
}

/** A copy of the map with the value at the path. @returns `undefined` when something that is no map stands in the way */
export function withValue(map: JsonMap, path: readonly string[], value: Json): JsonMap | undefined {
  const [key, ...rest] = path;
  if (key === undefined) return undefined;
  if (rest.length === 0) return { ...map, [key]: value };
  const below = own(map, key) ?? {};
  const inner = isJsonMap(below) ? withValue(below, rest, value) : undefined;
  return inner && { ...map, [key]: inner };
}
