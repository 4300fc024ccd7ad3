import { isScalar, parseDocument } from 'yaml';
import type { ChartContent } from './chart-content.ts';
import { deepMerge, isJsonMap, isMap, own } from './json.ts';
import { nearest } from './nearest.ts';
import type { JsonMap } from './schema.ts';
import { numberText } from './yaml-file.ts';

/**
 * The values that a chart is rendered with when a user sets `values`: its own values.yaml over its subcharts' (under
 * their names or aliases), and the user's over all. Null in a parent counts as null: helm drops the key.
 * @see https://helm.sh/docs/chart_template_guide/subcharts_and_globals/
 */
export function effectiveValues(chart: ChartContent, values: JsonMap = {}): JsonMap {
  let merged: JsonMap = {};
  for (const [key, subchart] of subchartsByKey(chart)) merged = { ...merged, [key]: effectiveValues(subchart) };
  return deepMerge(deepMerge(merged, isJsonMap(chart.values) ? chart.values : {}), values);
}

/** Subcharts under the key that sets their values. A chart may be used under its own name and under aliases as well. */
function subchartsByKey(chart: ChartContent): readonly (readonly [string, ChartContent])[] {
  return [...chart.subcharts];
}

/**
 * The key under which a subchart's values stand, given its name or alias. `undefined` when there is no such subchart,
 * or when a name has several aliases.
 */
export function subchartKey(chart: ChartContent, nameOrAlias: string): string | undefined {
  const subcharts = subchartsByKey(chart);
  if (subcharts.some(([key]) => key === nameOrAlias)) return nameOrAlias;
  const named = subcharts.filter(([, subchart]) => subchart.name === nameOrAlias);
  return named.length === 1 ? named[0]?.[0] : undefined;
}

export function subchartKeys(chart: ChartContent): readonly string[] {
  return subchartsByKey(chart).map(([key]) => key);
}

export function subchartAt(chart: ChartContent, key: string): ChartContent | undefined {
  return subchartsByKey(chart).find(([each]) => each === key)?.[1];
}

export type Lookup =
  { readonly found: true; readonly value: unknown } | { readonly found: false; readonly list: boolean };

/** Follows a path through maps. A list ends it: overrides inside lists would replace the whole list. */
export function lookUp(tree: unknown, path: readonly string[]): Lookup {
  let value = tree;
  for (const key of path) {
    if (!isMap(value) || !Object.hasOwn(value, key)) return { found: false, list: Array.isArray(value) };
    value = own(value, key);
  }
  return { found: true, value };
}

/** The path in the tree that was most likely meant: one that ends in the same word, if there is any. */
export function nearestPath(tree: unknown, path: string): string | undefined {
  const all = [...paths(tree, '')];
  const last = path.slice(path.lastIndexOf('.') + 1);
  const alike = all.filter((each) => each === last || each.endsWith(`.${last}`));
  return nearest(path, alike.length > 0 ? alike : all);
}

function* paths(tree: unknown, prefix: string): Generator<string> {
  if (!isMap(tree)) return;
  for (const [key, value] of Object.entries(tree)) {
    yield `${prefix}${key}`;
    yield* paths(value, `${prefix}${key}.`);
  }
}

/**
 * A number as the chart's values.yaml writes it (`tag: 1.10` is "1.10"), from the chart or the subchart that sets it.
 * The number itself where the text is not at hand.
 */
export function writtenNumber(chart: ChartContent, path: readonly string[], value: number): string {
  if (chart.valuesText !== undefined && lookUp(chart.values, path).found) {
    const node: unknown = parseDocument(chart.valuesText, { merge: true }).getIn(path, true);
    return isScalar(node) && node.value === value ? numberText(node) : String(value);
  }
  const [key, ...rest] = path;
  const subchart = key === undefined ? undefined : subchartAt(chart, key);
  return subchart === undefined ? String(value) : writtenNumber(subchart, rest, value);
}
