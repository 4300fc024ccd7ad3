import type { FoundReference } from '../discovery/found.ts';
import type { Need } from './assign.ts';
import { readBaselines } from './baselines.ts';
import { placeKey } from './pair-up.ts';
import type { Cost, Derivation, DeriveRequest, Proof } from './port.ts';
import { prove } from './prove.ts';
import { spending } from './spending.ts';
import { textOf, type Values } from '../values/tree.ts';

/**
 * Proves any overrides against what a derivation promised: every re-pointed reference has its target name, every other
 * one is as the chart has it, and nothing else changed. For overrides that were read back, merged with others, or edited.
 * @throws ReplicationError as `deriveOverrides`
 */
export async function checkOverrides(
  request: DeriveRequest,
  promised: Extract<Derivation, { readonly kind: 'derived' }>,
  overrides: Values,
): Promise<{ readonly proof: Proof; readonly cost: Cost }> {
  const purse = spending(request.render, request.maxRenders ?? Infinity, request.signal);
  const read = await readBaselines(request, purse);
  if (read.kind === 'refused') {
    const proof = { holds: false, failures: [], derived: [], unexplained: [] };
    return { proof, cost: purse.cost() };
  }
  const targets = new Map<string, string>();
  for (const { found, profiles, outcome } of promised.references) {
    if (outcome.kind === 'repointed')
      for (const profile of profiles) targets.set(promiseKey(profile, found), outcome.target);
  }
  const names = new Map<Need, string>();
  for (const { profile, references } of read.baselines) {
    for (const found of references) {
      const target = targets.get(promiseKey(profile, found));
      if (target !== undefined) names.set({ profile, found, target }, target);
    }
  }
  const values = new Map(promised.settings.map(({ value, before }) => [value, textOf(before)]));
  const result = await prove({ baselines: read.baselines, overrides, names, carried: new Map(), values }, purse);
  const { holds, failures, derived, unexplained } = result;
  return { proof: { holds, failures, derived, unexplained }, cost: purse.cost() };
}

function promiseKey(profile: string, found: FoundReference): string {
  return `${profile}\0${placeKey(found)}\0${found.text}`;
}
