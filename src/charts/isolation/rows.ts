import { type Digest, isDigest } from '../../model/digest.ts';
import type { IsolatedReference, IsolationPlace } from '../../model/isolation.ts';
import type { FoundReference } from '../discovery/found.ts';
import type { Outcome } from '../overrides/port.ts';
import { formatPath, leaves, type ValuePath, type Values } from '../values/tree.ts';
import type { Findings, Row } from './findings.ts';
import { conditionalProfile, type IsolationRequest } from './port.ts';
import { isInList, placeOf } from './texts.ts';
import { originalOf } from './uses.ts';

type Fate = Pick<IsolatedReference, 'reference' | 'outcome' | 'target' | 'pinned' | 'why'> & {
  readonly by: readonly ValuePath[];
};

/** One row per reference and what becomes of it, with all its places; sorted by reference. Guesses that are no images have none. */
export function referenceRows(request: IsolationRequest, findings: Findings): readonly Row[] {
  const groups = new Map<string, { fate: Fate; founds: FoundReference[]; profiles: Set<string> }>();
  for (const { found, profiles, outcome } of findings.derivation.references) {
    const fate = fateOf(found, outcome, request, findings);
    if (fate === undefined) continue;
    const key = JSON.stringify([fate.reference, fate.outcome, fate.target]);
    const group = groups.get(key) ?? { fate, founds: [], profiles: new Set<string>() };
    group.founds.push(found);
    for (const profile of profiles) if (profile !== conditionalProfile) group.profiles.add(profile);
    groups.set(key, group);
  }
  return [...groups.values()]
    .flatMap(({ fate, founds, profiles }) => rowOf(fate, founds, profiles))
    .sort((a, b) => compare(`${a.row.reference} ${a.row.target ?? ''}`, `${b.row.reference} ${b.row.target ?? ''}`));
}

function rowOf(fate: Fate, founds: readonly FoundReference[], profiles: ReadonlySet<string>): readonly Row[] {
  const [first] = founds;
  if (first === undefined) return [];
  const { reference, outcome, target, pinned, why, by } = fate;
  const row: IsolatedReference = {
    reference,
    kind: (['typed', 'field', 'text'] as const).find((kind) => founds.some((each) => each.kind === kind)) ?? 'text',
    places: distinctPlaces(founds),
    profiles: [...profiles],
    outcome,
    controlledBy: by.map(formatPath),
    insideList: by.some(isInList),
    ...(target === undefined ? {} : { target }),
    pinned,
    ...(why === undefined ? {} : { why }),
    proof: 'none',
  };
  return [{ row, found: first, digest: pinned && !reference.includes('@') ? digestIn(target) : undefined }];
}

/** With a mark where no install has the reference in such a field. */
function distinctPlaces(founds: readonly FoundReference[]): IsolatedReference['places'] {
  const installed = new Set(
    founds.flatMap(({ place }) => (place.isUpgrade === true ? [] : [fieldKey(placeOf(place))])),
  );
  const places = founds.map(({ place }): IsolationPlace => {
    const plain = placeOf(place);
    return place.isUpgrade !== true || installed.has(fieldKey(plain)) ? plain : { ...plain, onlyUpgrade: true };
  });
  return [...new Map(places.map((place) => [JSON.stringify(place), place])).values()];
}

/** Lines shift when an upgrade has more above it, and names can be random. */
function fieldKey({ template, object, field }: IsolationPlace): string {
  return [template, object.replace(/\/.*$/, ''), field].join('\0');
}

function digestIn(target: string | undefined): Digest | undefined {
  const text = target?.slice(target.indexOf('@') + 1) ?? '';
  return isDigest(text) ? text : undefined;
}

function fateOf(
  found: FoundReference,
  outcome: Outcome,
  request: IsolationRequest,
  { moved, originals, pins }: Findings,
): Fate | undefined {
  const { text } = found;
  const { prefix, declared, declaredImages, isAllowed } = request;
  const reference = text;
  const isPinned = text.includes('@');
  switch (outcome.kind) {
    case 'repointed':
      return {
        reference,
        outcome: 'repointed',
        target: outcome.target,
        pinned: outcome.pinned,
        why: undefined,
        by: outcome.by,
      };
    case 'uncontrolled':
    case 'unknown':
      return { reference, outcome: outcome.kind, target: undefined, pinned: isPinned, why: outcome.why, by: [] };
    case 'refused':
      return { reference, outcome: 'refused', target: undefined, pinned: isPinned, why: outcome.why, by: outcome.by };
    case 'left':
      if (text.startsWith(prefix) && (declaredImages.has(text) || moved.has(text))) {
        const by = settersOf(text, declared, prefix);
        const written = originalOf(text, originals, prefix);
        const pin = pins.names.get(text);
        if (pin === undefined)
          return { reference: written, outcome: 'repointed', target: text, pinned: isPinned, why: undefined, by };
        const { target } = pin;
        return {
          reference: written,
          outcome: 'repointed',
          target,
          pinned: true,
          why: undefined,
          by: [...by, ...pin.by],
        };
      }
      if (isAllowed(text))
        return { reference, outcome: 'allowed', target: undefined, pinned: isPinned, why: undefined, by: [] };
      return undefined;
  }
}

/**
 * Values of the declared overrides that a name at the target begins with: those whose neighbours, repository and tag, are in
 * the name as well, where there are such.
 */
function settersOf(text: string, declared: Values, prefix: string): readonly ValuePath[] {
  const all = [...leaves(declared)];
  const begin = all.filter((leaf) => leaf.text.startsWith(prefix.replace(/\/$/, '')) && text.startsWith(leaf.text));
  const own = begin.filter((leaf) => {
    const parent = formatPath(leaf.path.slice(0, -1));
    return all.every((each) => formatPath(each.path.slice(0, -1)) !== parent || text.includes(each.text));
  });
  return (own.length > 0 ? own : begin).map(({ path }) => path);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
