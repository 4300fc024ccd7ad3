import { isMap, type ValuePath, valueAt, type Values } from '../../charts/values/tree.ts';
import type { JsonLike } from '../../charts/helm-yaml.ts';

/** One value to set. */
export interface ValueSetting {
  readonly path: ValuePath;
  readonly value: string;
}

/** An image at the target, in the parts that values may have. */
export interface TargetImage {
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
}

/**
 * Values that name an image at a helm key: dots or slashes between segments, where a slash may also stand for the `-` of a
 * subchart's name (`opentelemetry/collector` is `opentelemetry-collector`). The value is an image map, a string, or a map with
 * an `image` in it. `undefined` when the values have nothing there.
 */
export function settingsForKey(key: string, image: TargetImage, values: Values): readonly ValueSetting[] | undefined {
  const path = readings(key).find((each) => valueAt(values, each) !== undefined);
  return path === undefined ? undefined : settingsAt(path, valueAt(values, path), image, values);
}

/** For a key that the values do not have, and that is wanted all the same: an image map in the shape that most charts read. */
export function settingsForNewKey(key: string, image: TargetImage): readonly ValueSetting[] {
  const path = key.split(/[./]/);
  const at = path.at(-1) === 'image' ? path : [...path, 'image'];
  return [
    { path: [...at, 'repository'], value: `${image.registry}/${image.repository}` },
    { path: [...at, 'tag'], value: image.tag },
  ];
}

/** Every way to read a key, the plainest first: `a/b` as `a.b`, as `a-b`. */
function readings(key: string): readonly (readonly string[])[] {
  const segments = key.split('.');
  const nested = segments.flatMap((segment) => segment.split('/'));
  const joined = segments.map((segment) => segment.replaceAll('/', '-'));
  return [nested, joined];
}

function settingsAt(
  path: ValuePath,
  node: JsonLike | undefined,
  image: TargetImage,
  values: Values,
): readonly ValueSetting[] {
  if (isMap(node)) {
    if (isParts(node)) return partSettings(path, node, image);
    // `image` may be missing in a map that is known to hold one.
    return node['image'] === undefined
      ? [
          { path: [...path, 'image', 'repository'], value: `${image.registry}/${image.repository}` },
          { path: [...path, 'image', 'tag'], value: image.tag },
        ]
      : settingsAt([...path, 'image'], node['image'], image, values);
  }
  const parent = valueAt(values, path.slice(0, -1));
  const key = path.at(-1);
  if (isMap(parent) && typeof key === 'string' && isParts(parent) && nameKeys.includes(key))
    return partSettings(path.slice(0, -1), parent, image);
  return [{ path, value: `${image.registry}/${image.repository}:${image.tag}` }];
}

const nameKeys = ['repository', 'name', 'image'];

/** A map that an image is put together from. A `repository` alone is enough; an `image` needs a tag beside it. */
function isParts(map: Values): boolean {
  const has = (key: string): boolean => Object.hasOwn(map, key) && !isMap(map[key]);
  return has('repository') || (has('tag') && (has('image') || has('name'))) || (has('registry') && has('tag'));
}

function partSettings(
  path: ValuePath,
  map: Values,
  { registry, repository, tag }: TargetImage,
): readonly ValueSetting[] {
  const nameKey = nameKeys.find((key) => Object.hasOwn(map, key) && !isMap(map[key])) ?? 'repository';
  const apart = Object.hasOwn(map, 'registry');
  return [
    ...(apart ? [{ path: [...path, 'registry'], value: registry }] : []),
    { path: [...path, nameKey], value: apart ? repository : `${registry}/${repository}` },
    { path: [...path, 'tag'], value: tag },
    // It would pin what stood there before.
    ...(typeof map['digest'] === 'string' && map['digest'] !== '' ? [{ path: [...path, 'digest'], value: '' }] : []),
  ];
}
