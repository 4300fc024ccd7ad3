import { noteComposed } from './composed-reference.ts';
import { noteContainerImage } from './container-image.ts';
import { fieldMode } from './field-mode.ts';
import type { FoundReference, NotAnImage, ObjectIdentity } from './found.ts';
import { asReference, maySayImage, namesImage, referencesIn } from './grammar.ts';
import { kindIn, type Path, placeOf, type Walk } from './walk-state.ts';
import { at, parseTrees, textAt, type Tree, type TreeScalar } from './yaml-tree.ts';

/** The images of one object, and whether it runs containers. */
export interface CollectedImages {
  readonly references: readonly FoundReference[];
  readonly notImages: readonly NotAnImage[];
  readonly runsContainers: boolean;
}

/** Finds the images of one object. Places have lines of the parsed text and no template. */
export function collectImages(tree: Tree, object: ObjectIdentity): CollectedImages {
  const walk: Walk = {
    object,
    mode: fieldMode(object),
    outer: undefined,
    references: [],
    notImages: [],
    seen: { containers: false },
  };
  if (walk.mode === 'definition') definitionDefaults(tree, [], walk);
  else if (walk.mode !== 'secret') visit(tree, { path: [], name: '', owner: undefined }, walk);
  if (object.kind === 'ConfigMap') configuration(at(tree, 'data'), walk);
  return { references: walk.references, notImages: walk.notImages, runsContainers: walk.seen.containers };
}

/** Where the walk stands. */
interface Here {
  readonly path: Path;
  /** Key under which the node stands; for items of a list, the list's. */
  readonly name: string;
  /** The nearest object or template above: a map with `metadata` and `spec`. */
  readonly owner: Tree | undefined;
}

const containerLists = new Set(['containers', 'initContainers', 'ephemeralContainers']);

function visit(tree: Tree, here: Here, walk: Walk): void {
  if (tree.kind === 'list') {
    for (const [position, item] of tree.items.entries()) visit(item, { ...here, path: [...here.path, position] }, walk);
    return;
  }
  if (tree.kind === 'scalar') {
    if (walk.mode === 'custom') customString(tree, here, walk);
    return;
  }
  const owner = at(tree, 'spec')?.kind === 'map' && at(tree, 'metadata') !== undefined ? tree : here.owner;
  const taken = walk.mode === 'custom' ? noteComposed(tree, here.path, walk) : new Set<string>();
  for (const [key, value] of tree.entries) {
    if (taken.has(key)) continue;
    const next: Here = { path: [...here.path, key], name: childName(key, here.name), owner };
    if (!special(key, value, next, walk)) visit(value, next, walk);
  }
}

/** Values of a map named `images` are images, whatever their keys are. */
function childName(key: string, parent: string): string {
  return /images$/i.test(parent) && !namesImage(key) ? `${parent}.${key}` : key;
}

/** Fields of pods, by Kubernetes' types. Returns whether nothing is left to do for the field. */
function special(key: string, value: Tree, here: Here, walk: Walk): boolean {
  if (containerLists.has(key) && value.kind === 'list') {
    for (const [position, item] of value.items.entries()) container(item, [...here.path, position], here, walk);
    return true;
  }
  if (key === 'volumes' && value.kind === 'list') imageVolumes(value.items, here.path, walk);
  if (key === 'env' && value.kind === 'list') environment(value.items, here.path, walk);
  else if ((key === 'args' || key === 'command') && value.kind !== 'map') commandLine(value, here.path, walk);
  else if (key === 'annotations' && value.kind === 'map') annotations(value, here.path, walk);
  else return (key === 'labels' || key === 'matchLabels') && value.kind === 'map';
  return true;
}

function container(item: Tree, path: Path, here: Here, walk: Walk): void {
  if (item.kind !== 'map') return;
  const image = at(item, 'image');
  if (image?.kind === 'scalar' && image.text !== undefined && image.text.trim() !== '') {
    walk.seen.containers = true;
    noteContainerImage(image, image.text.trim(), [...path, 'image'], here.owner, walk);
  }
  const rest: Tree = { ...item, entries: item.entries.filter(([key]) => key !== 'image' || image?.kind !== 'scalar') };
  visit(rest, { ...here, path, name: 'container' }, walk);
}

/** Volumes made of an image's content (https://kubernetes.io/docs/concepts/storage/volumes/#image). */
function imageVolumes(items: readonly Tree[], path: Path, walk: Walk): void {
  for (const [position, item] of items.entries()) {
    const reference = at(at(item, 'image'), 'reference');
    if (reference?.kind !== 'scalar' || reference.text === undefined || reference.text.trim() === '') continue;
    noteContainerImage(reference, reference.text.trim(), [...path, position, 'image', 'reference'], undefined, walk);
  }
}

function environment(items: readonly Tree[], path: Path, walk: Walk): void {
  for (const [position, item] of items.entries()) {
    const value = at(item, 'value');
    if (value?.kind === 'scalar') guess(value, [...path, position, 'value'], textAt(item, 'name') ?? '', walk);
  }
}

/** `--flag=value`, or `--flag` with its value after it. */
function commandLine(value: Tree, path: Path, walk: Walk): void {
  const items = value.kind === 'list' ? value.items : [value];
  let before = '';
  for (const [position, item] of items.entries()) {
    if (item.kind !== 'scalar') continue;
    const flag = /^--?([\w.-]+)$/.exec(before)?.[1] ?? '';
    guess(item, value.kind === 'list' ? [...path, position] : path, flag, walk);
    before = item.text ?? '';
  }
}

function annotations(map: Tree & { readonly kind: 'map' }, path: Path, walk: Walk): void {
  for (const [key, value] of map.entries) {
    if (value.kind === 'scalar') guess(value, [...path, key], key, walk);
  }
}

/** A ConfigMap's data: documents, properties, plain text, and parts under one beginning (`trivy.repository`, `trivy.tag`). */
function configuration(data: Tree | undefined, walk: Walk): void {
  if (data?.kind !== 'map') return;
  const taken = noteComposed(data, ['data'], walk);
  for (const [key, value] of data.entries) {
    if (value.kind === 'scalar' && !taken.has(key)) guess(value, ['data', key], key, walk);
  }
}

/** A string of a custom resource: an image field when its key says so and all of it is a reference. */
function customString(scalar: TreeScalar, here: Here, walk: Walk): void {
  const text = scalar.text?.trim() ?? '';
  const key = typeof here.path.at(-1) === 'number' ? here.name : String(here.path.at(-1) ?? '');
  const bare = key === 'image' && !scalar.number;
  if ((namesImage(key) || namesImage(here.name)) && (bare || /[/:@]/.test(text)) && asReference(text) !== undefined) {
    if (referencesIn(text, 'image').length > 0 || bare) {
      walk.references.push({ kind: kindIn(walk, 'field'), text, place: placeOf(scalar, here.path, text, walk) });
    }
    return;
  }
  guess(scalar, here.path, here.name, walk);
}

/** Reads a string that may hold references: a document of its own, or a text. */
function guess(scalar: TreeScalar, path: Path, name: string, walk: Walk): void {
  const { text } = scalar;
  if (text === undefined || scalar.number || text.length < 3) return;
  if (looksLikeDocument(text) && maySayImage(text) && embedded(scalar, text, path, walk)) return;
  for (const { text: found, start, end } of referencesIn(text, namesImage(name) ? 'image' : 'none')) {
    const whole = start === 0 && end === text.length;
    const place = placeOf(scalar, path, found, walk, whole ? undefined : { start, end });
    walk.references.push({ kind: 'text', text: found, place });
  }
}

function looksLikeDocument(text: string): boolean {
  return /^\s*[[{]/.test(text) || /^(?:---|[ \t]*(?:- +)?["']?[\w./-]+["']?:(?:[ \t]|$))/m.test(text);
}

const deepest = 3;

/** Reads a document inside a string. Returns whether it was one: text with templates or code in it often is none. */
function embedded(scalar: TreeScalar, text: string, path: Path, walk: Walk): boolean {
  const depth = (walk.outer?.depth ?? 0) + 1;
  if (depth > deepest) return false;
  const parsed = parseTrees(text);
  if (parsed.some(({ problem }) => problem !== undefined)) return false;
  const trees = parsed.flatMap(({ tree }) => tree ?? []).filter(({ kind }) => kind !== 'scalar');
  const outer = walk.outer === undefined ? { scalar, text, path, depth } : { ...walk.outer, depth };
  for (const tree of trees) visit(tree, { path: [], name: '', owner: undefined }, { ...walk, mode: 'custom', outer });
  return trees.length > 0;
}

/** Defaults of a definition's fields that are named after images (OpenAPI schema: `<field>: {default: …}`). */
function definitionDefaults(tree: Tree, path: Path, walk: Walk): void {
  if (tree.kind === 'list') {
    for (const [position, item] of tree.items.entries()) definitionDefaults(item, [...path, position], walk);
  }
  if (tree.kind !== 'map') return;
  for (const [key, value] of tree.entries) {
    const field = String(path.at(-1) ?? '');
    if (key === 'default' && value.kind === 'scalar' && namesImage(field)) guess(value, [...path, key], field, walk);
    else definitionDefaults(value, [...path, key], walk);
  }
}
