import { registryAsName } from '../../model/target-name.ts';
import type { FoundReference } from '../discovery/found.ts';
import { type Candidate, splitAt } from './candidates.ts';
import type { Refusal, Rendering } from './port.ts';
import { labelLinesWith } from './sameness.ts';
import { escapeRegExp, type Sentinels } from './sentinel.ts';
import type { Spending } from './spending.ts';
import { formatPath, withSetting, type ValuePath, type Values } from '../values/tree.ts';
import { pairUp } from './pair-up.ts';

/** A profile as it renders without overrides. */
export interface Baseline {
  readonly profile: string;
  /** The data file's values with the profile's over them: what is given to helm. */
  readonly values: Values;
  /** These over the chart's own. */
  readonly tree: Values;
  readonly text: string;
  readonly references: readonly FoundReference[];
}

/** A candidate's value at the very beginning of a reference: what stands behind it there is known too. */
export interface Landing {
  readonly baseline: Baseline;
  readonly found: FoundReference;
  readonly candidate: Candidate;
  /** What the render has behind the mark; the mark's own slash included. */
  readonly rest: string;
}

export interface Probe {
  readonly landings: readonly Landing[];
  readonly refusals: readonly Refusal[];
  /** Candidates seen inside of a reference, by its written text: they set a part of it, not its beginning. */
  readonly inner: ReadonlyMap<string, readonly ValuePath[]>;
}

/**
 * Renders once with every candidate marked, and reads from the references which candidate begins which.
 * @param overrides choices that stand already
 */
export async function probe(
  candidates: readonly Candidate[],
  baseline: Baseline,
  overrides: Values,
  sentinels: Sentinels,
  purse: Spending,
): Promise<Probe> {
  const markedValues = candidates.map((candidate, id) => ({
    path: candidate.path,
    mark: sentinels.mark(id),
    value: markedText(candidate, sentinels.mark(id)),
  }));
  const marked = await renderMarked({ candidates: markedValues, baseline, overrides }, purse);
  const landings: Landing[] = [];
  const hidden = new Set<Candidate>();
  const inner = new Map<string, readonly ValuePath[]>();
  const refusals = marked.refusals.map(({ path, why }) => ({ path, why: sentinels.readable(why) }));
  for (const { references, text } of marked.renders) {
    const inLabels = new Map<Candidate, string>();
    for (const line of labelLinesWith(text, sentinels.common))
      for (const id of sentinels.within(line)) {
        const candidate = candidates[id];
        if (candidate !== undefined) inLabels.set(candidate, sentinels.readable(line));
      }
    for (const [{ path }, line] of inLabels)
      refusals.push({ path, why: `it also sets the label "${line}", and Kubernetes takes no such label` });
    const spoiled = new Set(inLabels.keys());
    const land = (landing: Landing): void => {
      if (!spoiled.has(landing.candidate)) landings.push(landing);
    };
    read(references, candidates, baseline, sentinels, { land, hide: (candidate) => hidden.add(candidate), inner });
  }
  // Both parts of a name were empty, and both marks stand where the chart has defaults: what stands behind the first one
  // shows only when it is marked alone.
  const alone = markedValues.filter(({ path }) => [...hidden].some((candidate) => candidate.path === path));
  for (const { references } of (await renderMarked({ candidates: alone, baseline, overrides }, purse)).renders) {
    const land = (landing: Landing): void => {
      if (hidden.has(landing.candidate)) landings.push(landing);
    };
    read(references, candidates, baseline, sentinels, { land, hide: () => undefined, inner: new Map() });
  }
  return { landings, refusals, inner };
}

/** A value at a path, and the mark in it that helm's words may repeat. */
export interface MarkedValue {
  readonly path: ValuePath;
  readonly value: string;
  readonly mark: string;
}

export interface MarkedRenders {
  readonly renders: readonly RenderedRendering[];
  readonly refusals: readonly Refusal[];
}

/** Renders all marked values at once. When helm refuses, those that it names are left out; when it names none, halves are tried. */
export async function renderMarked(
  trial: { readonly candidates: readonly MarkedValue[]; readonly baseline: Baseline; readonly overrides: Values },
  purse: Spending,
): Promise<MarkedRenders> {
  const { candidates, baseline, overrides } = trial;
  if (candidates.length === 0) return { renders: [], refusals: [] };
  const marked = candidates.reduce(
    (values, { path, value }) => withSetting(values, baseline.tree, path, value),
    overrides,
  );
  const rendering = await purse.render(baseline.values, marked);
  if (rendering.kind === 'spent') return { renders: [], refusals: [] };
  if (rendering.kind === 'rendered') return { renders: [rendering], refusals: [] };
  const named = candidates.filter((candidate) => isNamed(rendering, candidate));
  const culprits = candidates.length === 1 ? candidates : named;
  if (culprits.length > 0) {
    const rest = candidates.filter((candidate) => !culprits.includes(candidate));
    const refusals = culprits.map(({ path }) => ({ path, why: rendering.why }));
    return joined({ renders: [], refusals }, await renderMarked({ ...trial, candidates: rest }, purse));
  }
  const half = Math.ceil(candidates.length / 2);
  const first = await renderMarked({ ...trial, candidates: candidates.slice(0, half) }, purse);
  return joined(first, await renderMarked({ ...trial, candidates: candidates.slice(half) }, purse));
}

function joined(a: MarkedRenders, b: MarkedRenders): MarkedRenders {
  return { renders: [...a.renders, ...b.renders], refusals: [...a.refusals, ...b.refusals] };
}

type RenderedRendering = Extract<Rendering, { readonly kind: 'rendered' }>;
type RefusedRendering = Extract<Rendering, { readonly kind: 'refused' }>;

function markedText(candidate: Candidate, mark: string): string {
  switch (candidate.edit) {
    case 'fill':
      return mark;
    case 'prefix':
      return `${mark}/${registryAsName(candidate.text)}`;
    case 'embed':
      return replaceAll(candidate.text, candidate.holds, (reference) => `${mark}/${registryAsName(reference)}`);
  }
}

/** Replaces references in a text, the longest first, so that none is taken for a part of another. */
export function replaceAll(text: string, references: readonly string[], by: (reference: string) => string): string {
  const [reference, ...rest] = [...references].sort((a, b) => b.length - a.length);
  if (reference === undefined) return text;
  return splitAt(text, reference)
    .map((part) => replaceAll(part, rest, by))
    .join(by(reference));
}

/**
 * Whether helm's words point at the candidate: by its mark, or by its path as schemas print it (`image.registry` in helm
 * 3 before 3.18, `/image/registry` since).
 */
function isNamed(refused: RefusedRendering, { path, mark }: MarkedValue): boolean {
  const { why, values = [] } = refused;
  const dotted = path.join('.');
  if (why.includes(mark) || values.includes(formatPath(path)) || values.includes(dotted)) return true;
  const names = [formatPath(path), dotted, `/${path.join('/')}`];
  if (names.some((name) => name.length > 3 && new RegExp(`(?<![\\w.])${escapeRegExp(name)}(?![\\w.])`).test(why)))
    return true;
  if (!/additional propert/i.test(why)) return false;
  // A map may be what is one too many: `image` for `image.repository`.
  if (values.length > 0) return values.some((each) => dotted.startsWith(`${each}.`));
  const last = escapeRegExp(String(path.at(-1)));
  return new RegExp(`["']${last}["']|\\b${last} (?:is|was) not allowed`).test(why);
}

interface Reading {
  readonly land: (landing: Landing) => void;
  /** The candidate begins a reference of which another one's mark has taken the rest away. */
  readonly hide: (candidate: Candidate) => void;
  readonly inner: Map<string, readonly ValuePath[]>;
}

function read(
  rendered: readonly FoundReference[],
  candidates: readonly Candidate[],
  baseline: Baseline,
  sentinels: Sentinels,
  { land, hide, inner }: Reading,
): void {
  for (const [found, now] of pairUp(baseline.references, rendered, sentinels)) {
    const leading = sentinels.leading(now.text);
    const candidate = leading && candidates[leading.id];
    if (leading !== undefined && candidate !== undefined) {
      const behind = sentinels.within(leading.rest).map((id) => candidates[id]);
      if (behind.some((other) => other !== candidate && other?.edit === 'fill')) hide(candidate);
      else land({ baseline, found, candidate, rest: sentinels.without(leading.rest) });
      continue;
    }
    const paths = sentinels
      .within(now.text)
      .flatMap((id) => (candidates[id] === undefined ? [] : [candidates[id].path]));
    if (paths.length > 0) inner.set(found.text, paths);
  }
}
