import type { Chart, ChartDependency } from '../chart.ts';
import type { JsonLike } from '../helm-yaml.ts';
import { chartValues } from '../values/chart-values.ts';
import { isMap, valueAt, type Values } from '../values/tree.ts';
import type { FoundReference, PartRole } from './found.ts';
import { asReference, namesImage, referencesIn } from './grammar.ts';
import { composeReferences } from './parts.ts';

/** A value that keeps an image out of the render. */
export interface Switch {
  /** From the top chart's values: `['grafana', 'imageRenderer', 'enabled']`. */
  readonly path: readonly string[];
  /** What it is now: `false`, or nothing. */
  readonly value: JsonLike | undefined;
}

/** An image that the values name and the render does not: a condition hides it. */
export interface ConditionalImage {
  /**
   * The reference, likeliest first. There are several when the values leave the tag to the chart: then it is the appVersion
   * with or without `v`.
   */
  readonly candidates: readonly string[];
  /** The map or string in the top chart's values that names it. */
  readonly valuePath: readonly (string | number)[];
  readonly parts: Readonly<Partial<Record<PartRole, string>>> | undefined;
  /** Switches that are off above and beside it, outermost first. Empty when none can be told from the values. */
  readonly switches: readonly Switch[];
}

/**
 * Images in a chart's values that no render shows. Needs no render of its own: what switching on really gives is read from
 * renders with the switches set (switched-on.ts).
 * @param values what the user sets
 * @param rendered references of all renders
 */
export function conditionalImages(
  chart: Chart,
  values: Values,
  rendered: readonly FoundReference[],
): readonly ConditionalImage[] {
  const all = chartValues(chart, values);
  const shown = rendered.map(({ text }) => text);
  const found: ConditionalImage[] = [];
  walkChart({ chart, all, path: [], switches: [] }, (image) => {
    if (!image.candidates.some((candidate) => shown.some((text) => isSame(text, candidate)))) found.push(image);
  });
  return found;
}

/** A template may put a registry before what the values say, and a digest or a variant (`-slim`) behind. */
function isSame(rendered: string, candidate: string): boolean {
  const bare = rendered.replace(/@sha256:.*$/, '');
  const wanted = candidate.replace(/@sha256:.*$/, '');
  if (bare === wanted || bare.endsWith(`/${wanted}`)) return true;
  const tagged = asReference(wanted)?.tag !== undefined;
  const start = tagged ? `${wanted}-` : `${wanted}:`;
  return bare.startsWith(start) || bare.includes(`/${start}`);
}

interface Level {
  readonly chart: Chart;
  readonly all: Values;
  /** Where the chart's values stand in the top chart's. */
  readonly path: readonly string[];
  readonly switches: readonly Switch[];
}

type Emit = (image: ConditionalImage) => void;

function walkChart(level: Level, emit: Emit): void {
  const own = valueAt(level.all, level.path);
  if (!isMap(own)) return;
  const subcharts = new Set(level.chart.subcharts.keys());
  const rest = Object.fromEntries(Object.entries(own).filter(([key]) => !subcharts.has(key)));
  walkValues(rest, level.path, level.switches, level.chart, emit);
  for (const [key, chart] of level.chart.subcharts) {
    const dependency = level.chart.metadata.dependencies?.find(({ name, alias }) => (alias ?? name) === key);
    const off = dependency === undefined ? undefined : conditionOf(dependency, own, level.path);
    const switches = withSwitches(level.switches, off === undefined ? [] : [off]);
    walkChart({ chart, all: level.all, path: [...level.path, key], switches }, emit);
  }
}

/**
 * A dependency's condition: the first of its comma-separated paths that is there decides. Tags decide when none is.
 * https://helm.sh/docs/chart_best_practices/dependencies/#conditions-and-tags
 */
function conditionOf(dependency: ChartDependency, own: Values, path: readonly string[]): Switch | undefined {
  for (const written of (dependency.condition ?? '').split(',')) {
    const inside = written.trim() === '' ? [] : written.trim().split('.');
    const value = inside.length === 0 ? undefined : valueAt(own, inside);
    if (typeof value === 'boolean') return value ? undefined : { path: [...path, ...inside], value };
  }
  const tags = (dependency.tags ?? []).map((tag) => ({ path: ['tags', tag], value: valueAt(own, ['tags', tag]) }));
  return tags.some(({ value }) => value === true) ? undefined : tags.find(({ value }) => value === false);
}

const switchNames = /^(?:(?:force)?enabled?|create|install|deploy(?:ed)?|active)$/i;

function walkValues(
  node: JsonLike,
  path: readonly (string | number)[],
  switches: readonly Switch[],
  chart: Chart,
  emit: Emit,
): void {
  if (typeof node === 'string') {
    imageString(node, path, switches, emit);
  } else if (Array.isArray(node)) {
    for (const [position, item] of (node as readonly JsonLike[]).entries())
      walkValues(item, [...path, position], switches, chart, emit);
  } else if (isMap(node)) {
    const inner = withSwitches(switches, ownSwitches(node, path));
    const taken = imageMap(node, path, inner, chart, emit);
    for (const [key, value] of Object.entries(node))
      if (!taken.has(key)) walkValues(value, [...path, key], inner, chart, emit);
  }
}

/** A subchart's `enabled` is often its dependency's condition, too. */
function withSwitches(outer: readonly Switch[], inner: readonly Switch[]): readonly Switch[] {
  const known = new Set(outer.map(({ path }) => path.join('.')));
  return [...outer, ...inner.filter(({ path }) => !known.has(path.join('.')))];
}

function ownSwitches(map: Values, path: readonly (string | number)[]): readonly Switch[] {
  if (path.some((key) => typeof key === 'number')) return [];
  return Object.entries(map).flatMap(([key, value]) =>
    switchNames.test(key) && value === false ? [{ path: [...path.map(String), key], value }] : [],
  );
}

function imageString(text: string, path: readonly (string | number)[], switches: readonly Switch[], emit: Emit): void {
  const key = [...path].reverse().find((each) => typeof each === 'string') ?? '';
  const trimmed = text.trim();
  const [only, ...more] = referencesIn(trimmed, namesImage(key) ? 'image' : 'none');
  if (only?.text !== trimmed || more.length > 0) return;
  emit({ candidates: [trimmed], valuePath: path, parts: undefined, switches });
}

function imageMap(
  map: Values,
  path: readonly (string | number)[],
  switches: readonly Switch[],
  chart: Chart,
  emit: Emit,
): ReadonlySet<string> {
  const texts = new Map<string, string>();
  for (const [key, value] of Object.entries(map)) {
    if (typeof value === 'string' || typeof value === 'number') texts.set(key, String(value));
    else if (value === null) texts.set(key, '');
  }
  const taken = new Set<string>();
  for (const { text, parts } of composeReferences(texts, { withoutTag: true })) {
    const { tag, digest, repository } = asReference(text) ?? {};
    const named = tag !== undefined || digest !== undefined;
    // `defaultImageRegistry` and the like complete other images; a bare name whose repository is empty is not set up.
    if (Object.values(parts).every((key) => /^default/i.test(key))) continue;
    if (repository?.includes('/') !== true && texts.get('repository') === '') continue;
    // A repository in a section of another meaning (a chart's, a git's) has no tag beside it.
    if (!named && (parts.tag === undefined || repository === undefined)) continue;
    for (const key of Object.values(parts)) taken.add(key);
    emit({ candidates: named ? [text] : versionsOf(text, chart), valuePath: path, parts, switches });
  }
  return taken;
}

function versionsOf(repository: string, chart: Chart): readonly string[] {
  const version = chart.metadata.appVersion ?? '';
  if (version === '') return [repository];
  const other = version.startsWith('v') ? version.slice(1) : `v${version}`;
  return [`${repository}:${version}`, `${repository}:${other}`];
}
