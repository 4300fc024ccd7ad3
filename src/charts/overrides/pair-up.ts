import { registryAsName } from '../../model/target-name.ts';
import type { FoundReference } from '../discovery/found.ts';
import type { Sentinels } from './sentinel.ts';

/**
 * The place of a reference, without what may differ between two renders of the same chart: names can be random or made
 * from values. What an upgrade renders is another place than what an install does.
 */
export function placeKey({ place, kind }: FoundReference): string {
  const release = place.isUpgrade === true ? 'upgrade' : 'install';
  return [kind, release, place.template, place.object.apiVersion, place.object.kind, ...place.path].join('\0');
}

/** References of one render with those of another at the same places, in the order of the documents. */
export function pairUp(
  before: readonly FoundReference[],
  after: readonly FoundReference[],
  sentinels: Sentinels,
): readonly (readonly [FoundReference, FoundReference])[] {
  const places = grouped(after);
  return [...grouped(before)].flatMap(([key, references]) => {
    const there = places.get(key) ?? [];
    if (there.length === references.length) return references.flatMap((each, i) => pair(each, there[i]));
    // Something came or went: only what is the same but for the marks belongs together.
    return references.flatMap((each) =>
      pair(
        each,
        there.find(({ text }) => sentinels.without(text) === registryAsName(each.text)),
      ),
    );
  });
}

function pair(
  before: FoundReference,
  after: FoundReference | undefined,
): readonly (readonly [FoundReference, FoundReference])[] {
  return after === undefined ? [] : [[before, after]];
}

function grouped(references: readonly FoundReference[]): ReadonlyMap<string, readonly FoundReference[]> {
  const groups = new Map<string, FoundReference[]>();
  for (const each of references) {
    const key = placeKey(each);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [each]);
    else group.push(each);
  }
  return groups;
}
