import type { Digest } from '../../model/digest.ts';
import type { Need } from '../overrides/assign.ts';
import { readInside } from '../overrides/inside.ts';
import { findPins } from '../overrides/pin.ts';
import type { Derived, Setting } from '../overrides/port.ts';
import { sentinels } from '../overrides/sentinel.ts';
import { spending } from '../overrides/spending.ts';
import { templateKeys } from '../overrides/template-keys.ts';
import { leaves, merge, withSetting, type ValuePath, type Values } from '../values/tree.ts';
import type { IsolationRequest } from './port.ts';
import type { ChartRenders } from './renders.ts';
import type { Use } from './uses.ts';

/** Values that pin what the declared overrides re-point, and the names that come out of it. */
export interface DeclaredPins {
  readonly values: Values;
  /** By the name without digest. */
  readonly names: ReadonlyMap<string, { readonly target: string; readonly by: readonly ValuePath[] }>;
}

const nothing: DeclaredPins = { values: {}, names: new Map() };
const maxRenders = 20;

/**
 * Pins by digest what is declared, wherever the chart can (`PinDigests`). The derived overrides have their own pins already.
 * @param originals what the chart writes, by the name that the declared overrides make of it
 */
export async function pinDeclared(
  request: IsolationRequest,
  uses: readonly Use[],
  originals: ReadonlyMap<string, string>,
  derivation: Derived,
  renders: ChartRenders,
): Promise<DeclaredPins> {
  const { archive, prefix, signal } = request;
  if (request.digestOf === undefined) return nothing;
  const inside = await readInside(archive);
  const baselines = uses.map(({ profile, values, look }) => ({
    profile: profile.name,
    values,
    tree: merge(inside.values, values),
    text: look.text,
    references: look.references,
  }));
  const needs = baselines.flatMap(({ profile, references }) =>
    references
      .filter(({ text }) => originals.has(text) && !text.includes('@'))
      .map((found): Need => ({ profile, found, target: found.text })),
  );
  const digests = await digestsOf(request, needs, originals);
  if (digests.size === 0) return nothing;
  const wholes = [...leaves(baselines[0]?.tree ?? {})]
    .filter(({ text }) => needs.some(({ target }) => target === text))
    .map(({ path, text, value }): Setting => ({ path, role: 'image', before: value, value: text, insideList: false }));
  const purse = spending(renders.render, maxRenders, signal);
  const pins = await findPins(
    {
      baselines,
      overrides: derivation.values,
      names: new Map(needs.map((need) => [need, need.target])),
      digests,
      wholes,
      keys: templateKeys(inside.templates),
      sentinels: sentinels(
        prefix,
        baselines.map(({ text }) => text),
      ),
    },
    purse,
  );
  const values = pins.settings.reduce<Values>(
    (all, { path, value }) => withSetting(all, baselines[0]?.tree ?? {}, path, value),
    {},
  );
  const names = new Map(
    [...pins.names].map(([need, target]) => [need.target, { target, by: pins.by.get(need) ?? [] }] as const),
  );
  return (await isAsExpected(uses, derivation, { values, names }, renders, signal)) ? { values, names } : nothing;
}

async function digestsOf(
  { digestOf, signal }: IsolationRequest,
  needs: readonly Need[],
  originals: ReadonlyMap<string, string>,
): Promise<ReadonlyMap<Need, Digest>> {
  const known = new Map<string, Digest | undefined>();
  for (const target of new Set(needs.map((need) => need.target)))
    known.set(target, await digestOf?.(originals.get(target) ?? target, signal));
  return new Map(
    needs.flatMap((need) => {
      const digest = known.get(need.target);
      return digest === undefined ? [] : [[need, digest] as const];
    }),
  );
}

/** Renders every use with all overrides: each reference has the name that was found for it, and none came or went. */
async function isAsExpected(
  uses: readonly Use[],
  derivation: Derived,
  { values, names }: DeclaredPins,
  renders: ChartRenders,
  signal: AbortSignal,
): Promise<boolean> {
  const derived = new Map(
    derivation.references.flatMap(({ found, outcome }) =>
      outcome.kind === 'repointed' ? [[found.text, outcome.target] as const] : [],
    ),
  );
  for (const use of uses) {
    const look = await renders.render(merge(use.values, merge(derivation.values, values)), signal);
    if (look.kind !== 'rendered') return false;
    const wanted = use.look.references.map(({ text }) => names.get(text)?.target ?? derived.get(text) ?? text);
    if (JSON.stringify(wanted.sort()) !== JSON.stringify(look.references.map(({ text }) => text).sort())) return false;
  }
  return true;
}
