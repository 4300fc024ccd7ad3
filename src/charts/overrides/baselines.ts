import { readInside } from './inside.ts';
import type { DeriveRequest, Profile } from './port.ts';
import type { Baseline } from './probe.ts';
import type { Spending } from './spending.ts';
import { type TemplateKeys, templateKeys } from './template-keys.ts';
import { merge } from '../values/tree.ts';

export type Baselines =
  | { readonly kind: 'read'; readonly baselines: readonly Baseline[]; readonly keys: TemplateKeys }
  | { readonly kind: 'refused'; readonly profile: string; readonly why: string };

/** Renders every profile without overrides. */
export async function readBaselines(request: DeriveRequest, purse: Spending): Promise<Baselines> {
  const inside = await readInside(request.archive);
  const baselines: Baseline[] = [];
  for (const profile of withDefault(request.profiles)) {
    const values = merge(request.values, profile.values);
    const rendering = await purse.render(values, {});
    if (rendering.kind === 'refused' && isImplied(profile, request)) continue;
    if (rendering.kind !== 'rendered') {
      const why = rendering.kind === 'refused' ? rendering.why : 'there were no renders left for it';
      return { kind: 'refused', profile: profile.name, why };
    }
    const { text, references } = rendering;
    baselines.push({ profile: profile.name, values, tree: merge(inside.values, values), text, references });
  }
  return { kind: 'read', baselines, keys: templateKeys(inside.templates) };
}

/** Profiles may be there just because the chart refuses to render without them. */
function isImplied(profile: Profile, { profiles }: DeriveRequest): boolean {
  return profiles.length > 0 && !profiles.includes(profile);
}

/** The data file's `values` alone are a profile too. */
function withDefault(profiles: readonly Profile[]): readonly Profile[] {
  const isDefault = ({ values }: Profile): boolean => Object.keys(values).length === 0;
  return profiles.some(isDefault) ? profiles : [{ name: 'default', values: {} }, ...profiles];
}
