import { registryAsName } from '../../model/target-name.ts';
import type { JsonLike } from '../helm-yaml.ts';
import type { TemplateKeys } from './template-keys.ts';
import {
  formatPath,
  type Leaf,
  isMap,
  isReachable,
  leaves,
  maps,
  valueAt,
  type ValuePath,
  type Values,
} from '../values/tree.ts';

/**
 * A value that may set image references, and how it is marked. `prefix`: the mark goes before the text that is there.
 * `embed`: before each of the references that the text holds. `fill`: the mark goes where nothing is.
 */
export interface Candidate {
  readonly path: ValuePath;
  readonly text: string;
  /** The value as it is; `undefined` where there is none. */
  readonly before: JsonLike | undefined;
  readonly edit: 'prefix' | 'embed' | 'fill';
  /** References in the text, for `embed`. */
  readonly holds: readonly string[];
}

/** Which values are tried in one go, the likeliest and least intrusive first. */
export type Stage = 'written' | 'templated' | 'empty' | 'global' | 'any';
export const stages: readonly Stage[] = ['written', 'templated', 'empty', 'global', 'any'];

const imageKey = /image|regist|repositor|^repo$|^hub$|docker|mirror|container|override/i;
const nameKey = /image|regist|repositor|^repo$|^hub$|^name$|mirror|override|^host(?:name)?$|^url$/i;
/** Keys that may stand beside an image's parts without being written there. */
const sibling = /regist|repositor|^repo$|override|^image(?:name|ref|url)?$/i;
/** Keys beside an image's name that are no name. */
const otherKey = /tag|version|digest|sha(?:256)?$|policy|secret|enabled|nameoverride/i;

export interface Search {
  /** What the chart's templates read. */
  readonly keys: TemplateKeys;
  /** Values of each profile, over the chart's own. */
  readonly trees: readonly Values[];
  /** References that no value is known for. */
  readonly wanted: readonly string[];
  /** Paths (formatted) that need no second try. */
  readonly tried: ReadonlySet<string>;
}

/** Values that may move what is wanted, by the reasoning of one stage; each path once. */
export function candidatesFor(stage: Stage, search: Search): readonly Candidate[] {
  const found = new Map<string, Candidate>();
  const add = (candidate: Candidate): void => {
    const key = formatPath(candidate.path);
    if (!search.tried.has(key) && !found.has(key)) found.set(key, candidate);
  };
  for (const tree of search.trees) for (const candidate of inTree(stage, tree, search)) add(candidate);
  return [...found.values()];
}

function inTree(stage: Stage, tree: Values, search: Search): readonly Candidate[] {
  switch (stage) {
    case 'written':
      return [...leaves(tree)].flatMap((leaf) => (leaf.empty ? [] : writtenCandidate(leaf, search.wanted)));
    case 'templated':
      return [...leaves(tree)].flatMap(templatedCandidate);
    case 'empty':
      return [...emptyLeaves(tree, search), ...absentKeys(tree, search)];
    case 'global':
      return globals(tree, search);
    case 'any':
      return [...anything(tree, search.wanted), ...unnamed(tree, search)];
  }
}

/** A leaf that a reference begins with, or that holds one. */
function writtenCandidate({ path, text, value: before }: Leaf, wanted: readonly string[]): readonly Candidate[] {
  if (wanted.some((reference) => begins(reference, text, inContext(path))))
    return [{ path, text, before, edit: 'prefix', holds: [] }];
  const holds = wanted.filter((reference) => holdsReference(text, reference));
  return holds.length > 0 ? [{ path, text, before, edit: 'embed', holds }] : [];
}

/** A template in the context of an image. Tried after the values that such templates read, one of which may move them all. */
function templatedCandidate({ path, text, value: before }: Leaf): readonly Candidate[] {
  const isCandidate = text.includes('{{') && inContext(path) && !isOther(path);
  return isCandidate ? [{ path, text, before, edit: 'prefix', holds: [] }] : [];
}

function inContext(path: ValuePath): boolean {
  return path.some((key) => typeof key === 'string' && imageKey.test(key));
}

function begins(reference: string, text: string, inContext: boolean): boolean {
  const trimmed = text.replace(/\/$/, '');
  if (trimmed === '' || !(reference.startsWith(trimmed) || reference.startsWith(registryAsName(trimmed)))) return false;
  const next = reference.charAt(trimmed.length);
  const whole = next === '' || next === '/' || next === ':' || next === '@';
  return inContext || (whole && /[./:]/.test(text));
}

function holdsReference(text: string, reference: string): boolean {
  return reference.length > 3 && text !== reference && splitAt(text, reference).length > 1;
}

/** The text around each place where the reference stands for itself and is no part of a longer one. */
export function splitAt(text: string, reference: string): readonly string[] {
  const parts: string[] = [];
  let start = 0;
  for (let at = text.indexOf(reference); at >= 0; at = text.indexOf(reference, at + 1)) {
    const before = text.charAt(at - 1);
    const after = text.charAt(at + reference.length);
    if (/[\w./:@-]/.test(before) || /[\w/@-]/.test(after) || at < start) continue;
    parts.push(text.slice(start, at));
    start = at + reference.length;
  }
  return [...parts, text.slice(start)];
}

function isOther(path: ValuePath): boolean {
  return otherKey.test(String(path.findLast((key) => typeof key === 'string')));
}

function isGlobal(path: ValuePath): boolean {
  return path.includes('global');
}

/** Names of images that the values leave open: `registry: ""`, `override: null`. */
function emptyLeaves(tree: Values, search: Search): readonly Candidate[] {
  return [...leaves(tree)].flatMap(({ path, empty }) => {
    const last = path.at(-1);
    if (!empty || isGlobal(path) || typeof last !== 'string' || otherKey.test(last)) return [];
    if (!(nameKey.test(last) && (inContext(path.slice(0, -1)) || imageKey.test(last)))) return [];
    return isNear(tree, path, search) ? [fill(tree, path)] : [];
  });
}

/**
 * Whether the map around a path has to do with a wanted reference: one of its texts is a part of one, or it has none
 * that tells.
 */
function isNear(tree: Values, path: ValuePath, search: Search): boolean {
  const map = valueAt(tree, path.slice(0, -1));
  if (!isMap(map)) return true;
  const names = Object.entries(map).flatMap(([key, value]) =>
    typeof value === 'string' && value !== '' && (nameKey.test(key) || /^(?:tag|version)$/i.test(key)) ? [value] : [],
  );
  return (
    names.length === 0 || names.some((name) => name.includes('{{') || search.wanted.some((each) => each.includes(name)))
  );
}

function fill(tree: Values, path: ValuePath): Candidate {
  return { path, text: '', before: valueAt(tree, path), edit: 'fill', holds: [] };
}

/** Keys that only templates read: full paths, and siblings of the values that a wanted reference shows. */
function absentKeys(tree: Values, search: Search): readonly Candidate[] {
  const full = search.keys.paths.filter((path) => !isGlobal(path) && isName(path) && isAbsent(tree, path));
  const siblings = [...maps(tree)].flatMap(({ path, map }) => {
    if (isGlobal(path) || !isImageMap(map, search.wanted)) return [];
    return search.keys.names
      .filter((name) => !Object.hasOwn(map, name) && sibling.test(name))
      .map((name) => [...path, name]);
  });
  return [...full, ...siblings].map((path) => fill(tree, path));
}

function isAbsent(tree: Values, path: ValuePath): boolean {
  return valueAt(tree, path) === undefined && isReachable(tree, path);
}

function isName(path: ValuePath): boolean {
  const last = String(path.at(-1));
  return (
    !otherKey.test(last) &&
    (/regist|repositor|^repo$|override|image(?:name|ref|url)?$/i.test(last) ||
      (last === 'name' && imageKey.test(String(path.at(-2)))))
  );
}

/** A map that has a part of a wanted reference under a key as images have. */
function isImageMap(map: Values, wanted: readonly string[]): boolean {
  return Object.entries(map).some(
    ([key, value]) =>
      (imageKey.test(key) || /^(?:tag|version|name)$/i.test(key)) &&
      (typeof value === 'string' || typeof value === 'number') &&
      String(value).length > 1 &&
      wanted.some((each) => each.includes(String(value))),
  );
}

/** `global.imageRegistry` and its like, written in the values or only read by templates. */
function globals(tree: Values, search: Search): readonly Candidate[] {
  const fromTemplates = search.keys.paths.flatMap((path) => {
    const at = path.indexOf('global');
    const own = path.slice(at);
    return at >= 0 && isName(own) && isAbsent(tree, own) ? [own] : [];
  });
  const fromValues = [...leaves(tree)].flatMap(({ path, empty }) => {
    const at = path.indexOf('global');
    const own = path.slice(at);
    return at >= 0 && empty && isName(own) && isReachable(tree, own) ? [own] : [];
  });
  return [...fromValues, ...fromTemplates].map((path) => fill(tree, path));
}

/** The last resort: every text in the context of an image or that a wanted reference begins with, and every empty name. */
function anything(tree: Values, wanted: readonly string[]): readonly Candidate[] {
  return [...leaves(tree)].flatMap(({ path, text, empty, value }): readonly Candidate[] => {
    if (isOther(path)) return [];
    if (empty) return inContext(path) && typeof path.at(-1) === 'string' && isName(path) ? [fill(tree, path)] : [];
    const isText = /^[\w.:/{}\s-]+$/.test(text) && !/^(?:Always|IfNotPresent|Never)$/.test(text) && /[a-z]/i.test(text);
    const isCandidate = (inContext(path) && isText) || wanted.some((reference) => beginsPlainly(reference, text));
    return isCandidate ? [{ path, text, before: value, edit: 'prefix', holds: [] }] : [];
  });
}

/** Under any key: `team` of `team/web:1`, `quay.io/team/app-` of `quay.io/team/app-core:1`. */
function beginsPlainly(reference: string, text: string): boolean {
  if (text.length < 2 || !reference.startsWith(text)) return false;
  return text.includes('/') || /^(?:$|[/:@])/.test(reference.slice(text.length));
}

/** Values that an image's own line reads, whatever they are called, where nothing is. */
function unnamed(tree: Values, { keys }: Search): readonly Candidate[] {
  return keys.imagePaths
    .filter((path) => !isGlobal(path) && !isOther(path) && isReachable(tree, path))
    .filter((path) => (valueAt(tree, path) ?? '') === '')
    .map((path) => fill(tree, path));
}
