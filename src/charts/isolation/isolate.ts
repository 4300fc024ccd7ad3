import { confirm } from '../discovery/confirm.ts';
import type { FoundReference } from '../discovery/found.ts';
import { deriveOverrides } from '../overrides/derive.ts';
import { pairUp, placeKey } from '../overrides/pair-up.ts';
import type { Derivation, Derived, Profile } from '../overrides/port.ts';
import { sentinels } from '../overrides/sentinel.ts';
import { merge, type Values } from '../values/tree.ts';
import { targetReference } from '../../model/target-name.ts';
import type { Digest } from '../../model/digest.ts';
import { assemble } from './assemble.ts';
import { conditionals } from './conditionals.ts';
import type { Findings } from './findings.ts';
import type { IsolatedChart, IsolationRequest } from './port.ts';
import { pinDeclared } from './pin-declared.ts';
import { rejectedOf } from './rejected.ts';
import { type ChartRenders, chartRenders } from './renders.ts';
import { unrendered } from './unrendered.ts';
import { originalOf, type Use } from './uses.ts';

/**
 * Finds every image that a chart names under its profiles, and the values that point each of them at the target. What is
 * declared stays as it is; what is still outside is derived and proven by rendering. Guesses count when a registry confirms them.
 * @throws ReplicationError as `renderChart`, `confirm` and `deriveOverrides`
 */
export async function isolateChart(request: IsolationRequest): Promise<IsolatedChart> {
  const renders = chartRenders(request.renderer, {
    chart: request.archive,
    releaseName: request.key.replaceAll('_', '-').toLowerCase(),
    kubeVersion: request.kubeVersion,
    apiVersions: request.apiVersions,
  });
  const named = await usableProfiles(request, renders);
  if ('why' in named) return unrendered(request, named.why, renders.cost());
  const originals = await originalsOf(request, named.uses, renders);
  const hidden = await conditionals(request, named.uses, originals, renders);
  const uses = [...named.uses, ...(hidden.use === undefined ? [] : [hidden.use])];
  const sorted = await sortOut(request, uses, originals);
  const derivation = await derive(request, uses, sorted, renders);
  if (derivation.kind === 'refused') return unrendered(request, derivation.why, renders.cost());
  const pins = await pinDeclared(request, uses, originals, derivation, renders);
  return assemble(request, { ...sorted, uses, originals, hidden, derivation, pins, cost: renders.cost() });
}

/** The data file's `values` alone are a use of the chart too, unless it refuses them and profiles say how it is used. */
async function usableProfiles(
  request: IsolationRequest,
  renders: ChartRenders,
): Promise<{ readonly uses: readonly Use[] } | { readonly why: string }> {
  const given = request.profiles.map(({ name, values }) => ({ name, values }));
  const bare = given.some(({ values }) => Object.keys(values).length === 0);
  const profiles: readonly Profile[] = bare ? given : [{ name: 'default', values: {} }, ...given];
  const uses: Use[] = [];
  for (const profile of profiles) {
    const values = valuesUnder(request, profile);
    const look = await renders.look(values, request.signal);
    if (look.kind === 'rendered') uses.push({ profile, values, look });
    else if (given.length === 0 || given.includes(profile))
      return { why: given.length === 0 ? look.why : `under profile ${profile.name}: ${look.why}` };
  }
  return { uses };
}

/** As `deriveOverrides` puts them together, so that a render serves both. */
function valuesUnder(request: IsolationRequest, profile: Profile): Values {
  return merge(baseValues(request), withDeclared(request, profile).values);
}

function baseValues({ values, declared }: IsolationRequest): Values {
  return merge(values, declared);
}

function withDeclared({ declared }: IsolationRequest, { name, values }: Profile): Profile {
  return { name, values: Object.keys(values).length === 0 ? {} : merge(values, declared) };
}

/**
 * What the chart writes, by the name that the declared overrides make of it. A declared value may move more than the image
 * that it is declared for: what that is called is seen in a render without the declared overrides.
 */
async function originalsOf(
  { values, declaredImages, prefix, signal }: IsolationRequest,
  uses: readonly Use[],
  renders: ChartRenders,
): Promise<ReadonlyMap<string, string>> {
  const marks = sentinels(prefix, []);
  const originals = new Map(declaredImages);
  for (const { profile, look } of uses) {
    if (look.references.every(({ text }) => !text.startsWith(prefix) || originals.has(text))) continue;
    const written = await renders.render(merge(values, profile.values), signal);
    if (written.kind !== 'rendered') continue;
    for (const [before, after] of pairUp(written.references, look.references, marks)) {
      const isMoved = after.text.startsWith(prefix) && !before.text.startsWith(prefix);
      if (isMoved && !originals.has(after.text)) originals.set(after.text, before.text);
    }
  }
  return originals;
}

/** Which references need a place at the target, and under what name the source has them. */
async function sortOut(
  request: IsolationRequest,
  uses: readonly Use[],
  originals: ReadonlyMap<string, string>,
): Promise<Pick<Findings, 'wanted' | 'moved' | 'rejected'>> {
  const { prefix, isAllowed, exists, signal } = request;
  const seen = new Map<string, FoundReference>();
  for (const found of uses.flatMap(({ look }) => look.references)) {
    const key = `${placeKey(found)}\0${found.text}`;
    if (!seen.has(key) && !request.declaredImages.has(found.text)) seen.set(key, found);
  }
  const asked = [...seen.values()]
    .map((found) => ({
      found,
      text: found.text.startsWith(prefix) ? originalOf(found.text, originals, prefix) : found.text,
    }))
    .filter(({ text }) => !isAllowed(text));
  const { rejected, undecided } = await confirm(
    asked.map(({ found, text }) => ({ ...found, text })),
    exists,
    signal,
  );
  const no = new Map(rejectedOf({ rejected, undecided }).map((each) => [each.found.text, each]));
  const wanted = new Set<string>();
  const moved = new Map<string, string>();
  for (const { found, text } of asked) {
    // A container's image needs no confirmation, whatever became of the same text elsewhere.
    if (found.kind !== 'typed' && no.has(text)) continue;
    if (found.text.startsWith(prefix)) moved.set(found.text, text);
    else wanted.add(text);
  }
  return { wanted, moved, rejected: [...no.values()].filter(({ found }) => !wanted.has(found.text)) };
}

async function derive(
  request: IsolationRequest,
  uses: readonly Use[],
  { wanted }: Pick<Findings, 'wanted'>,
  renders: ChartRenders,
): Promise<Derivation> {
  if (wanted.size === 0) return nothingToDerive(uses);
  const digests = await digestsOf(request, wanted);
  const { archive, prefix, signal } = request;
  return deriveOverrides({
    archive,
    values: baseValues(request),
    profiles: uses.map(({ profile }) => withDeclared(request, profile)),
    render: renders.render,
    prefix,
    target: (written) => (wanted.has(written) ? targetReference(prefix, written) : undefined),
    pin: request.digestOf === undefined ? undefined : (written) => digests.get(written),
    signal,
  });
}

/** Nothing is outside: every reference stays as the declared overrides have it, and no render is needed to prove that. */
function nothingToDerive(uses: readonly Use[]): Derived {
  return {
    kind: 'derived',
    values: {},
    settings: [],
    references: uses.flatMap(({ profile, look }) =>
      look.references.map((found) => ({ found, profiles: [profile.name], outcome: { kind: 'left' } as const })),
    ),
    refusals: [],
    proof: { holds: true, failures: [], derived: [], unexplained: [] },
    cost: { renders: 0, seconds: 0 },
  };
}

async function digestsOf(
  { digestOf, signal }: IsolationRequest,
  wanted: ReadonlySet<string>,
): Promise<ReadonlyMap<string, Digest>> {
  if (digestOf === undefined) return new Map();
  const asked = [...wanted].filter((text) => !text.includes('@'));
  const answers = await Promise.all(asked.map(async (text) => [text, await digestOf(text, signal)] as const));
  return new Map(answers.flatMap(([text, digest]) => (digest === undefined ? [] : [[text, digest] as const])));
}
