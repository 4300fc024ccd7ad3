import { readInside } from './inside.ts';
import type { Derivation, DeriveRequest, Profile } from './port.ts';
import type { Baseline } from './probe.ts';
import { searchOverrides } from './search.ts';
import { spending } from './spending.ts';
import { templateKeys } from './template-keys.ts';
import { merge } from './tree.ts';

const defaultMaxRenders = 60;

/**
 * Finds the smallest set of values that points a chart's image references at the target, and proves it by a render with
 * exactly these. Values are marked, all at once, with texts that look like the override that would stand there; where a
 * mark begins a reference, that value moves it. Charts with awkward values cost more renders (see `cost`).
 * @throws ReplicationError `refused`, `corrupt` when the archive is none; whatever `render` throws
 */
export async function deriveOverrides(request: DeriveRequest): Promise<Derivation> {
  const purse = spending(request.render, request.maxRenders ?? defaultMaxRenders, request.signal);
  const inside = await readInside(request.archive);
  const baselines: Baseline[] = [];
  for (const profile of withDefault(request.profiles)) {
    const values = merge(request.values, profile.values);
    const rendering = await purse.render(values, {});
    if (rendering.kind !== 'rendered') {
      const why = rendering.kind === 'refused' ? rendering.why : 'there were no renders left for it';
      return { kind: 'refused', profile: profile.name, why, cost: purse.cost() };
    }
    const { text, references } = rendering;
    baselines.push({ profile: profile.name, values, tree: merge(inside.values, values), text, references });
  }
  return searchOverrides(request, baselines, templateKeys(inside.templates), purse);
}

/** The data file's `values` alone are a profile too. */
function withDefault(profiles: readonly Profile[]): readonly Profile[] {
  const isDefault = ({ values }: Profile): boolean => Object.keys(values).length === 0;
  return profiles.some(isDefault) ? profiles : [{ name: 'default', values: {} }, ...profiles];
}
