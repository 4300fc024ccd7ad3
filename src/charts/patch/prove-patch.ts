import type { FoundReference } from '../discovery/found.ts';
import { placeKey } from '../overrides/pair-up.ts';
import type { Difference } from '../overrides/port.ts';
import { compareRenders, noiseOf } from '../overrides/sameness.ts';
import type { Move, ProfileRendering } from './port.ts';

/** What a chart rendered before, twice where it takes the second to tell what is random. */
export interface Before {
  readonly first: readonly ProfileRendering[];
  again(): Promise<readonly ProfileRendering[]>;
}

export interface PatchProof {
  /** What is wrong, in words; `undefined` when exactly the moves happened. */
  readonly problem: string | undefined;
  readonly derived: readonly Difference[];
}

/**
 * Whether exactly these references moved: each is at its target wherever it stood, no other reference changed, came or went, and
 * the renders are otherwise the same, but for checksums of what holds a reference and what the chart makes at random.
 */
export async function provePatch(
  before: Before,
  after: readonly ProfileRendering[],
  moves: readonly Move[],
): Promise<PatchProof> {
  const targets = new Map(moves.map(({ text, target }) => [text, target]));
  const masks = new Map(moves.map(({ text, target }) => [target, text]));
  const derived: Difference[] = [];
  for (const [at, { profile, rendering: old }] of before.first.entries()) {
    const now = after[at]?.rendering;
    if (old.kind !== 'rendered' || now === undefined) continue;
    if (now.kind !== 'rendered') return { problem: `helm refuses the patched chart: ${now.why}`, derived };
    const wrong = wrongReference(old.references, now.references, targets);
    if (wrong !== undefined) return { problem: wrong, derived };
    const comparison = compareRenders(old.text, now.text, masks, new Map(), profile);
    derived.push(...comparison.derived);
    const change = await unexplained(comparison.unexplained, before, at, old.text);
    if (change !== undefined) {
      const line = `"${change.before.slice(0, 200)}" becomes "${change.after.slice(0, 200)}"`;
      return { problem: `something else changes in ${change.template}: ${line}`, derived };
    }
  }
  return { problem: undefined, derived };
}

async function unexplained(
  differences: readonly Difference[],
  before: Before,
  at: number,
  text: string,
): Promise<Difference | undefined> {
  if (differences.length === 0) return undefined;
  const again = (await before.again())[at]?.rendering;
  const isNoise = again?.kind === 'rendered' ? noiseOf(text, again.text) : () => false;
  return differences.find((each) => !isNoise(each));
}

function wrongReference(
  before: readonly FoundReference[],
  after: readonly FoundReference[],
  targets: ReadonlyMap<string, string>,
): string | undefined {
  const there = new Map<string, FoundReference[]>();
  for (const each of after) there.set(placeKey(each), [...(there.get(placeKey(each)) ?? []), each]);
  for (const found of before) {
    const now = there.get(placeKey(found))?.shift();
    const wanted = targets.get(found.text) ?? found.text;
    if (now?.text !== wanted) return `${found.text} should be ${wanted} and is ${now?.text ?? 'gone'}`;
  }
  const more = [...there.values()].flat()[0];
  return more === undefined ? undefined : `${more.text} is rendered now and was not before`;
}
