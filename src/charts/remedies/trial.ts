import { discover } from '../discovery/discover.ts';
import type { FoundReference } from '../discovery/found.ts';
import { copyOf, isHook, nameOf, type JsonMap, type RenderedObject, writeObjects } from './objects.ts';
import type { Move } from '../patch/port.ts';

/** One reference in the objects before a remedy, and what stands in its place after it. */
export interface Tried {
  readonly found: FoundReference;
  readonly now: string | undefined;
}

/** Applies a change to a copy of the objects and finds the references again, at the same places. */
export function tryOn(objects: readonly RenderedObject[], change: (object: JsonMap) => void): readonly Tried[] {
  const changed = copyOf(objects);
  for (const { object } of changed) change(object);
  const before = discover(writeObjects(objects)).references;
  const after = new Map<string, FoundReference[]>();
  for (const each of discover(writeObjects(changed)).references)
    after.set(keyOf(each), [...(after.get(keyOf(each)) ?? []), each]);
  return before.map((found) => ({ found, now: after.get(keyOf(found))?.shift()?.text }));
}

function keyOf({ place }: FoundReference): string {
  const { object, template, path, inside = [] } = place;
  return [template, object.apiVersion, object.kind, object.namespace, object.name, ...path, '', ...inside].join('\0');
}

/** References that changed and are none of the moves, or went elsewhere than their target. */
export function astray(tried: readonly Tried[], moves: readonly Move[]): readonly Tried[] {
  const targets = new Map(moves.map(({ text, target }) => [text, target]));
  return tried.filter(({ found, now }) => now !== found.text && now !== targets.get(found.text));
}

/** Places at which a reference is not at its target. */
export function placesLeft(tried: readonly Tried[], { text, target }: Move): readonly FoundReference['place'][] {
  return tried.filter(({ found, now }) => found.text === text && now !== target).map(({ found }) => found.place);
}

/** Objects in which a text stands and that are hooks. */
export function hooksWith(objects: readonly RenderedObject[], text: string): readonly string[] {
  return objects
    .filter(({ object }) => isHook(object) && JSON.stringify(object).includes(text))
    .map(({ object }) => nameOf(object));
}

export function describePlace(place: FoundReference['place']): string {
  const path = place.path
    .map((key, at) => (typeof key === 'number' ? `[${key}]` : `${at > 0 ? '.' : ''}${key}`))
    .join('');
  return `${place.object.kind}/${place.object.name} ${path}`;
}
