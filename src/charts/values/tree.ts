import type { JsonLike } from '../helm-yaml.ts';

/** Values of a chart, as a map. Never changed in place. */
export type Values = Readonly<Record<string, JsonLike>>;

/** Keys and positions from the top of the values. */
export type ValuePath = readonly (string | number)[];

/** A map, and no list, null or scalar. */
export function isMap(value: JsonLike | undefined): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isList(value: JsonLike | undefined): value is readonly JsonLike[] {
  return Array.isArray(value);
}

/** Merges as helm merges values: maps by key, anything else is replaced. */
export function merge(under: Values, over: Values): Values {
  const entries = new Map(Object.entries(under));
  for (const [key, value] of Object.entries(over)) {
    const before = entries.get(key);
    entries.set(key, isMap(before) && isMap(value) ? merge(before, value) : value);
  }
  return Object.fromEntries(entries);
}

/** What stands there; `undefined` where the path leads nowhere. */
export function valueAt(tree: JsonLike | undefined, path: ValuePath): JsonLike | undefined {
  let node = tree;
  for (const key of path) {
    if (typeof key === 'number') node = isList(node) ? node[key] : undefined;
    else node = isMap(node) && Object.hasOwn(node, key) ? node[key] : undefined;
  }
  return node;
}

/** Whether a value can be set there: every step is a map or list, or nothing yet. */
export function isReachable(tree: JsonLike | undefined, path: ValuePath): boolean {
  let node = tree;
  for (const key of path) {
    if (node === undefined || node === null) return typeof key === 'string';
    if (typeof key === 'number' ? !isList(node) : !isMap(node)) return false;
    node = valueAt(node, [key]);
  }
  return true;
}

/**
 * Overrides with one more value. Helm replaces lists as a whole: a list on the way is taken over from the chart's values.
 * @param tree the values that the overrides go over
 */
export function withSetting(overrides: Values, tree: Values, path: ValuePath, value: JsonLike): Values {
  const result = place(overrides, tree, path, value);
  return isMap(result) ? result : overrides;
}

function place(over: JsonLike | undefined, base: JsonLike | undefined, path: ValuePath, value: JsonLike): JsonLike {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (typeof key === 'number') {
    const list = isList(over) ? over : isList(base) ? base : [];
    // An element is whole in the copied list: what is set inside of it goes over itself.
    return list.map((element, position) => (position === key ? place(element, undefined, rest, value) : element));
  }
  const map = isMap(over) ? over : {};
  const inside = place(
    Object.hasOwn(map, key) ? map[key] : undefined,
    isMap(base) && Object.hasOwn(base, key) ? base[key] : undefined,
    rest,
    value,
  );
  return Object.fromEntries([...Object.entries(map).filter(([each]) => each !== key), [key, inside]]);
}

/** Text of a string or number, empty for all else. */
export function textOf(value: JsonLike | undefined): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

export interface Leaf {
  readonly path: ValuePath;
  /** Text of a string or number; empty for null and the empty string. */
  readonly text: string;
  readonly empty: boolean;
  readonly value: JsonLike;
}

/** Strings, numbers and nulls of the values, in order. */
export function* leaves(node: JsonLike, path: ValuePath = []): Generator<Leaf> {
  if (node === null || typeof node === 'string' || typeof node === 'number') {
    const text = textOf(node);
    yield { path, text, empty: text === '', value: node };
  } else if (isList(node)) {
    for (const [position, item] of node.entries()) yield* leaves(item, [...path, position]);
  } else if (isMap(node)) {
    for (const [key, item] of Object.entries(node)) yield* leaves(item, [...path, key]);
  }
}

/** All maps of the values, each before those inside it. */
export function* maps(node: JsonLike, path: ValuePath = []): Generator<{ path: ValuePath; map: Values }> {
  if (isList(node)) {
    for (const [position, item] of node.entries()) yield* maps(item, [...path, position]);
  } else if (isMap(node)) {
    yield { path, map: node };
    for (const [key, item] of Object.entries(node)) yield* maps(item, [...path, key]);
  }
}

export function formatPath(path: ValuePath): string {
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${key}`)).join('');
}
