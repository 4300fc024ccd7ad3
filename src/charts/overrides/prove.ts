import type { Values } from '../values/tree.ts';
import type { FoundReference } from '../discovery/found.ts';
import type { Need } from './assign.ts';
import { placeKey } from './pair-up.ts';
import type { Difference, Proof } from './port.ts';
import type { Baseline } from './probe.ts';
import { compareRenders, noiseOf } from './sameness.ts';
import type { Spending } from './spending.ts';

/** What is expected of the render with all overrides. */
export interface Expectation {
  readonly baselines: readonly Baseline[];
  readonly overrides: Values;
  /** The name that each reference gets; those without one stay as they are. */
  readonly names: ReadonlyMap<Need, string>;
  /** References without such a name that move along: guesses that are no images. */
  readonly carried: ReadonlyMap<FoundReference, string>;
  /** Values of the overrides, to what they replace. */
  readonly values: ReadonlyMap<string, string>;
}

export interface ProofAndTexts extends Proof {
  /** What each reference became, by profile. */
  readonly became: ReadonlyMap<FoundReference, string>;
}

/**
 * Renders every profile with exactly these overrides and compares: each reference that has a name has it now, every
 * other one is as before, none came or went, and nothing else differs but what the chart makes at random.
 */
export async function prove(expectation: Expectation, purse: Spending): Promise<ProofAndTexts> {
  const failures: Proof['failures'][number][] = [];
  const derived: Difference[] = [];
  const unexplained: Difference[] = [];
  const became = new Map<FoundReference, string>();
  for (const baseline of expectation.baselines) {
    const rendering = await purse.render(baseline.values, expectation.overrides);
    if (rendering.kind !== 'rendered') {
      const why = rendering.kind === 'spent' ? 'there were no renders left to prove it' : rendering.why;
      for (const found of baseline.references) failures.push({ profile: baseline.profile, found, why });
      continue;
    }
    const names = new Map([...expectation.carried, ...namesOf(baseline, expectation.names)]);
    for (const [found, now] of matched(baseline.references, rendering.references)) {
      if (found !== undefined && now !== undefined) became.set(found, now.text);
      const why = whyWrong(found, now, names);
      const which = now ?? found;
      if (why !== undefined && which !== undefined) failures.push({ profile: baseline.profile, found: which, why });
    }
    const masks = new Map([...names].map(([found, name]) => [name, found.text]));
    const comparison = compareRenders(baseline.text, rendering.text, masks, expectation.values, baseline.profile);
    const isPart = partsOf(baseline.references);
    const isNoise = await noise(
      [...comparison.unexplained, ...comparison.derived.filter((each) => !isPart(each))],
      baseline,
      purse,
    );
    derived.push(...comparison.derived.filter((each) => !isNoise(each) && !isPart(each)));
    unexplained.push(...comparison.unexplained.filter((each) => !isNoise(each)));
  }
  return { holds: failures.length === 0 && unexplained.length === 0, failures, derived, unexplained, became };
}

/** Renders the baseline once more, but only when there is something to explain. */
async function noise(
  differences: readonly Difference[],
  baseline: Baseline,
  purse: Spending,
): Promise<(difference: Difference) => boolean> {
  if (differences.length === 0) return () => false;
  const again = await purse.render(baseline.values, {});
  return again.kind === 'rendered' ? noiseOf(baseline.text, again.text) : () => false;
}

/** Whether a line is a part of a reference that an operator puts together: then it is no news that it differs. */
function partsOf(references: readonly FoundReference[]): (difference: Difference) => boolean {
  const keys = new Set(
    references.flatMap(({ place, parts = {} }) => Object.values(parts).map((key) => `${place.template}\0${key}`)),
  );
  return ({ template, before, kind }) =>
    kind === 'value' && keys.has(`${template}\0${before.replace(/^- /, '').split(':')[0] ?? ''}`);
}

function namesOf(baseline: Baseline, all: ReadonlyMap<Need, string>): ReadonlyMap<FoundReference, string> {
  const own = [...all].filter(([need]) => need.profile === baseline.profile);
  return new Map(own.map(([need, name]) => [need.found, name]));
}

function whyWrong(
  found: FoundReference | undefined,
  now: FoundReference | undefined,
  names: ReadonlyMap<FoundReference, string>,
): string | undefined {
  if (found === undefined) return `${now?.text ?? ''} is rendered with the overrides only`;
  if (now === undefined) return `${found.text} is not rendered with the overrides any more`;
  const wanted = names.get(found) ?? found.text;
  return now.text === wanted ? undefined : `${found.text} should be ${wanted} and is ${now.text}`;
}

type Match = readonly [FoundReference | undefined, FoundReference | undefined];

function matched(before: readonly FoundReference[], after: readonly FoundReference[]): readonly Match[] {
  const there = new Map<string, FoundReference[]>();
  for (const each of after) there.set(placeKey(each), [...(there.get(placeKey(each)) ?? []), each]);
  const matches: Match[] = before.map((each) => [each, there.get(placeKey(each))?.shift()]);
  for (const rest of there.values()) for (const each of rest) matches.push([undefined, each]);
  return matches;
}
