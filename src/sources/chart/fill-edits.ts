import { isMap, maps, type ValuePath, type Values } from '../../charts/values/tree.ts';
import { splitTarget } from '../../model/target-name.ts';
import { settingsForKey, type TargetImage, type ValueSetting } from './helm-key.ts';
import type { Edit, Renaming } from './retarget-edits.ts';

/** Places that are tried for an image that no single value moves. */
const maxPlaces = 8;

/**
 * Values for images whose parts the chart leaves empty and puts in by itself (`registry: ""` and `repository: ""` with
 * defaults in a template): such an image moves only when all of its parts are set at once. Keys that a static list knows for
 * the image go first; whether it is the right place is for a render to tell.
 * @param keyOf helm key that a list has for an image
 */
export function fillEdits(
  open: readonly Renaming[],
  effective: Values,
  keyOf: (reference: string) => string | undefined,
): readonly Edit[] {
  const places = [...maps(effective)].filter(({ map }) => isEmptyImage(map)).slice(0, maxPlaces);
  return open.map((renaming) => {
    const image = partsOf(renaming.short);
    const key = keyOf(renaming.reference);
    const known = key === undefined || image === undefined ? undefined : settingsForKey(key, image, effective);
    const empty = image === undefined ? [] : places.map(({ path, map }) => settingsOf(path, map, image));
    const ways = [...(known === undefined ? [] : [known]), ...empty].flatMap((way) => [withoutTag(way), way]);
    return { renamings: [renaming], ways };
  });
}

function isEmptyImage(map: Values): boolean {
  const { registry, repository } = map;
  const isOpen = (value: unknown): boolean => value === '' || value === null;
  return !Object.values(map).some(isMap) && isOpen(repository) && (registry === undefined || isOpen(registry));
}

function settingsOf(path: ValuePath, map: Values, { registry, repository, tag }: TargetImage): readonly ValueSetting[] {
  const apart = Object.hasOwn(map, 'registry');
  return [
    ...(apart ? [{ path: [...path, 'registry'], value: registry }] : []),
    { path: [...path, 'repository'], value: apart ? repository : `${registry}/${repository}` },
    { path: [...path, 'tag'], value: tag },
  ];
}

/** The chart's own tag is left alone where it is the right one. */
function withoutTag(way: readonly ValueSetting[]): readonly ValueSetting[] {
  return way.filter(({ path }) => path.at(-1) !== 'tag');
}

function partsOf(short: string): TargetImage | undefined {
  const { host, repository, tag } = splitTarget(short);
  return tag === undefined ? undefined : { registry: host, repository, tag };
}
