import type { Chart } from '../chart.ts';
import type { JsonLike } from '../helm-yaml.ts';

export type ValuesMap = Readonly<Record<string, JsonLike>>;

export function isValuesMap(value: JsonLike | undefined): value is ValuesMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The values that a chart is rendered with, subcharts' under their names or aliases: a parent's go over its subcharts', the
 * user's over all (https://helm.sh/docs/chart_template_guide/subcharts_and_globals/).
 */
export function valuesWith(chart: Chart, values: ValuesMap): ValuesMap {
  let under: ValuesMap = {};
  for (const [key, subchart] of chart.subcharts) under = { ...under, [key]: valuesWith(subchart, {}) };
  return overlay(overlay(under, isValuesMap(chart.values) ? chart.values : {}), values);
}

/** Maps are merged by key, anything else is replaced. */
export function overlay(under: ValuesMap, over: ValuesMap): ValuesMap {
  const merged = new Map(Object.entries(under));
  for (const [key, value] of Object.entries(over)) {
    const before = merged.get(key);
    merged.set(key, isValuesMap(before) && isValuesMap(value) ? overlay(before, value) : value);
  }
  return Object.fromEntries(merged);
}

export function valueAt(values: JsonLike | undefined, path: readonly (string | number)[]): JsonLike | undefined {
  let node = values;
  for (const key of path) {
    if (typeof key === 'number') node = Array.isArray(node) ? (node[key] as JsonLike | undefined) : undefined;
    else node = isValuesMap(node) && Object.hasOwn(node, key) ? node[key] : undefined;
  }
  return node;
}

/** A tree with one value in it, to be merged over others. */
export function valuesOf(path: readonly string[], value: JsonLike): ValuesMap {
  const [key, ...rest] = path;
  if (key === undefined) return isValuesMap(value) ? value : {};
  return { [key]: rest.length === 0 ? value : valuesOf(rest, value) };
}
