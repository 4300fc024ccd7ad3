import type { JsonLike } from '../../charts/helm-yaml.ts';
import {
  formatPath,
  isMap,
  type Leaf,
  leaves,
  type ValuePath,
  valueAt,
  type Values,
} from '../../charts/values/tree.ts';
import { parseReference } from '../../model/reference.ts';
import { splitTarget } from '../../model/target-name.ts';
import type { ValueSetting } from './helm-key.ts';

/** A reference that values move, under the long name that the overrides give it, and the name that it is to have. */
export interface Renaming {
  /** As the chart writes it. */
  readonly reference: string;
  /** What the overrides make of it: the target's prefix and the reference as written. */
  readonly long: string;
  /** The name by the path rule, with the tag that is wanted. */
  readonly short: string;
  /** Paths of the values that give the long name, as text. */
  readonly by: readonly string[];
}

/** Values that rename some references together, as one value moves them all. The ways are tried in order. */
export interface Edit {
  readonly renamings: readonly Renaming[];
  readonly ways: readonly (readonly ValueSetting[])[];
}

export interface EditInput {
  /** The overrides of the long names. */
  readonly overrides: Values;
  /** The chart's values and the user's over them. */
  readonly effective: Values;
  /** What every target begins with, a slash at its end: `host/prefix/`. */
  readonly prefix: string;
  /** Host of the target, and what the registry puts before every name. */
  readonly registry: string;
  readonly renamings: readonly Renaming[];
}

/**
 * How the values that set the long names can give the short ones: a whole image and a repository are written anew, a registry
 * needs the repository beside it. What comes of it is for a render to tell.
 */
export function editsFor(input: EditInput): readonly Edit[] {
  const root = input.prefix.replace(/\/$/, '');
  const setters = [...leaves(input.overrides)].filter(({ text }) => text.includes(root));
  return setters.flatMap((setter) => {
    const own = input.renamings.filter(({ by }) => by.includes(formatPath(setter.path)));
    if (own.length === 0) return [];
    const ways = own.some(({ long }) => setter.text.includes(long))
      ? embedded(setter, own, input)
      : byWhatFollows(setter, own, input);
    return ways.length === 0 ? [] : [{ renamings: own, ways }];
  });
}

type Ways = readonly (readonly ValueSetting[])[];

/** The value holds whole references, alone or in a longer text. */
function embedded({ path, text }: Leaf, own: readonly Renaming[], { effective }: EditInput): Ways {
  const longFirst = [...own].sort((a, b) => b.long.length - a.long.length);
  const replaced = (to: (renaming: Renaming) => string): string =>
    longFirst.reduce((value, renaming) => value.replaceAll(renaming.long, to(renaming)), text);
  const whole = [{ path, value: replaced(({ short }) => short) }];
  // `image: name` with the tag beside it is a whole image without tag.
  const tagless = own.length === 1 && own[0] !== undefined && parseReference(own[0].reference).tag === undefined;
  const beside = tagless && own[0] !== undefined ? tagSettings(path, own[0], effective) : [];
  return beside.length > 0
    ? [[{ path, value: replaced(({ short }) => nameOf(short)) }, ...beside], whole]
    : distinct([whole, [{ path, value: replaced(keepTag) }]]);
}

/** The value is the beginning of the references: a registry, or a repository. */
function byWhatFollows(setter: Leaf, own: readonly Renaming[], input: EditInput): Ways {
  const rests = own.map((renaming) => ({ renaming, rest: renaming.long.slice(setter.text.length) }));
  const [first] = rests;
  if (first === undefined) return [];
  if (rests.every(({ rest }) => /^[:@]/.test(rest))) {
    const name = { path: setter.path, value: nameOf(first.renaming.short) };
    const tags = rests.flatMap(({ renaming }) => tagSettings(setter.path, renaming, input.effective));
    return distinct([[name, ...tags], [name]]);
  }
  if (!rests.every(({ rest }) => rest.startsWith('/'))) return [];
  return registryWays(setter, rests, input);
}

function registryWays(
  setter: Leaf,
  rests: readonly { readonly renaming: Renaming; readonly rest: string }[],
  { effective, prefix, registry }: EditInput,
): Ways {
  const root = prefix.replace(/\/$/, '');
  const partners = rests.map(({ renaming, rest }) => {
    const name = nameOf(rest).slice(1);
    return { renaming, name, leaf: partnerOf(setter.path, name, effective) };
  });
  const tags = partners.flatMap(({ renaming, leaf }) => tagSettings(leaf?.path ?? setter.path, renaming, effective));
  const written = (from: string): ValueSetting[] =>
    partners.flatMap(({ renaming, leaf }) =>
      leaf === undefined ? [] : [{ path: leaf.path, value: nameOf(renaming.short).slice(from.length + 1) }],
    );
  const short = partners.every(({ leaf, name }) => leaf !== undefined || !name.includes('/'));
  const apart = partners.every(({ leaf }) => leaf !== undefined);
  // The registry alone as registry, where each repository can carry the prefix; else the prefix goes with the registry.
  const conventional = [{ path: setter.path, value: registry }, ...written(registry)];
  const together = [{ path: setter.path, value: root }, ...written(root)];
  return distinct([
    ...(apart ? [[...conventional, ...tags], conventional] : []),
    ...(short || written(root).length > 0 ? [[...together, ...tags], together] : []),
  ]);
}

/** The value that holds the repository behind a registry: beside it, else the nearest with this text. */
function partnerOf(path: ValuePath, name: string, effective: Values): Leaf | undefined {
  const same = [...leaves(effective)].filter(
    (leaf) => leaf.text === name && formatPath(leaf.path) !== formatPath(path),
  );
  return nearest(path, same);
}

function nearest(path: ValuePath, all: readonly Leaf[]): Leaf | undefined {
  const shared = (leaf: Leaf): number => {
    const differs = leaf.path.findIndex((key, at) => key !== path[at]);
    return differs < 0 ? leaf.path.length : differs;
  };
  return [...all].sort((a, b) => shared(b) - shared(a))[0];
}

/** Values that give a reference another tag: `tag` beside its name, else the nearest value with the old one. Empty when it keeps its tag. */
function tagSettings(path: ValuePath, { long, short }: Renaming, effective: Values): readonly ValueSetting[] {
  const before = splitTarget(long).tag;
  const wanted = splitTarget(short).tag;
  if (wanted === undefined || before === wanted) return [];
  const folder = path.slice(0, -1);
  const beside = valueAt(effective, folder);
  const key = isMap(beside) ? tagKey(beside) : undefined;
  if (key !== undefined) return [{ path: [...folder, key], value: wanted }];
  const holder = nearest(
    path,
    [...leaves(effective)].filter(({ text }) => text !== '' && text === before),
  );
  return [{ path: holder?.path ?? [...folder, 'tag'], value: wanted }];
}

function tagKey(map: Readonly<Record<string, JsonLike>>): string | undefined {
  const keys = Object.keys(map).filter((key) => !isMap(map[key]));
  return ['tag', 'imageTag', 'version'].find((key) => keys.includes(key)) ?? keys.find((key) => /tag$/i.test(key));
}

/** Host and repository of a target, without tag and digest. */
function nameOf(target: string): string {
  return target.replace(/@.*$/, '').replace(/:[^:/]+$/, '');
}

/** The short name with the tag and digest that the reference has. */
function keepTag({ long, short }: Renaming): string {
  return `${nameOf(short)}${long.slice(nameOf(long).length)}`;
}

function distinct(ways: Ways): Ways {
  return [...new Map(ways.map((way) => [JSON.stringify(way), way])).values()];
}
