import type { NotAnImage } from './discover.ts';
import type { FoundKind, FoundReference, ReferencePlace } from './found.ts';
import { asReference, maySayImage, namesImage, referencesIn } from './grammar.ts';
import { composeReferences } from './parts.ts';
import { at, parseTrees, textAt, type Tree, type TreeScalar } from './yaml-tree.ts';

export type ObjectIdentity = ReferencePlace['object'];

export interface CollectedImages {
  readonly references: readonly FoundReference[];
  readonly notImages: readonly NotAnImage[];
  readonly runsContainers: boolean;
}

/**
 * How an object's fields are read. `builtin`: Kubernetes says which fields are images; strings count in arguments,
 * environment and annotations only. `custom`: an operator's object: fields named after images count, and any string
 * may hold one. `definition`: only the defaults of fields. `secret`: nothing.
 */
type Mode = 'builtin' | 'custom' | 'definition' | 'secret';

type Path = readonly (string | number)[];

/** A string of the object whose text is a document of its own, being read. */
interface Outer {
  readonly scalar: TreeScalar;
  readonly text: string;
  readonly path: Path;
  readonly depth: number;
}

interface Walk {
  readonly object: ObjectIdentity;
  readonly mode: Mode;
  readonly outer: Outer | undefined;
  readonly references: FoundReference[];
  readonly notImages: NotAnImage[];
  readonly seen: { containers: boolean };
}

/** Groups of Kubernetes' own API (https://kubernetes.io/docs/reference/kubernetes-api/); all others are custom resources. */
const builtinGroup =
  /^(?:|apps|batch|autoscaling|policy|extensions|(?:admissionregistration|apiextensions|apiregistration|authentication|authorization|certificates|coordination|discovery|events|flowcontrol\.apiserver|internal\.apiserver|networking|node|rbac\.authorization|resource|scheduling|storage|storagemigration)\.k8s\.io)$/;

function modeOf({ apiVersion, kind }: ObjectIdentity): Mode {
  if (kind === 'Secret') return 'secret';
  if (kind === 'CustomResourceDefinition') return 'definition';
  const slash = apiVersion.indexOf('/');
  return builtinGroup.test(slash < 0 ? '' : apiVersion.slice(0, slash)) ? 'builtin' : 'custom';
}

/** Finds the images of one object. Places have lines of the parsed text and no template. */
export function collectImages(tree: Tree, object: ObjectIdentity): CollectedImages {
  const walk: Walk = {
    object,
    mode: modeOf(object),
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
  const taken = walk.mode === 'custom' ? composed(tree, here.path, walk) : new Set<string>();
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
    typed(image, image.text.trim(), [...path, 'image'], here.owner, walk);
  }
  const rest: Tree = { ...item, entries: item.entries.filter(([key]) => key !== 'image' || image?.kind !== 'scalar') };
  visit(rest, { ...here, path, name: 'container' }, walk);
}

function typed(scalar: TreeScalar, text: string, path: Path, owner: Tree | undefined, walk: Walk): void {
  const place = placeOf(scalar, path, text, true, walk);
  if (isInjected(owner) && text === 'auto') walk.notImages.push({ place, why: 'placeholder', text });
  else if (asReference(text) !== undefined) walk.references.push({ kind: kindIn(walk, 'typed'), text, place });
  else if (walk.outer === undefined) walk.notImages.push({ place, why: 'not-a-reference', text: undefined });
}

/**
 * Istio's webhook sets the image of pods that ask for it, whose image is `auto` until then
 * (https://istio.io/latest/docs/setup/additional-setup/gateway/).
 */
function isInjected(owner: Tree | undefined): boolean {
  const metadata = at(owner, 'metadata');
  return ['annotations', 'labels'].some((each) => {
    const map = at(metadata, each);
    return map?.kind === 'map' && map.entries.some(([key]) => /^(?:inject|sidecar)\.istio\.io\//.test(key));
  });
}

/** Volumes made of an image's content (https://kubernetes.io/docs/concepts/storage/volumes/#image). */
function imageVolumes(items: readonly Tree[], path: Path, walk: Walk): void {
  for (const [position, item] of items.entries()) {
    const reference = at(at(item, 'image'), 'reference');
    if (reference?.kind !== 'scalar' || reference.text === undefined || reference.text.trim() === '') continue;
    typed(reference, reference.text.trim(), [...path, position, 'image', 'reference'], undefined, walk);
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
  const taken = composed(data, ['data'], walk);
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
      walk.references.push({ kind: kindIn(walk, 'field'), text, place: placeOf(scalar, here.path, text, true, walk) });
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
    const place = placeOf(scalar, path, found, whole, walk, { start, end });
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

/** References put together from keys of a map. Returns the keys that hold them. */
function composed(tree: Tree & { readonly kind: 'map' }, path: Path, walk: Walk): ReadonlySet<string> {
  const texts = new Map<string, string>();
  for (const [key, value] of tree.entries) if (value.kind === 'scalar') texts.set(key, value.text ?? '');
  const taken = new Set<string>();
  // A bare name in a section that is switched off, or whose repository is empty: a feature that is not set up.
  const unset = texts.get('repository') === '' || switchedOff(tree);
  if (unset && !/[/:@]/.test(texts.get('image') ?? '')) taken.add('image');
  for (const { text, parts } of composeReferences(texts, { withoutTag: false })) {
    const first = at(tree, Object.values(parts)[0] ?? '');
    const line = first?.line ?? tree.line;
    const map: TreeScalar = {
      kind: 'scalar',
      text: undefined,
      number: false,
      flag: undefined,
      block: false,
      line,
      start: 0,
      end: 0,
    };
    const place = placeOf(map, path, text, true, walk);
    const kind = walk.mode === 'custom' ? kindIn(walk, 'field') : 'text';
    walk.references.push({ kind, text, place, parts });
    for (const key of Object.values(parts)) taken.add(key);
  }
  return taken;
}

function switchedOff(tree: Tree): boolean {
  const enabled = at(tree, 'enabled');
  return enabled?.kind === 'scalar' && enabled.flag === false;
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

/** What stands inside a string is a guess, however well it looks. */
function kindIn(walk: Walk, kind: FoundKind): FoundKind {
  return walk.outer === undefined ? kind : 'text';
}

function placeOf(
  scalar: TreeScalar,
  path: Path,
  text: string,
  whole: boolean,
  walk: Walk,
  part?: { readonly start: number; readonly end: number },
): ReferencePlace {
  const { outer, object } = walk;
  if (outer === undefined) {
    const span = whole ? undefined : part;
    const line = scalar.line + (span === undefined ? 0 : linesBefore(scalar, scalar.text ?? '', span.start));
    return { template: '', line, object, path, span };
  }
  // The inner document was parsed from the outer string: its positions are positions there, quotes and escapes included.
  const found = outer.text.slice(scalar.start, scalar.end).indexOf(text);
  const start = scalar.start + Math.max(found, 0);
  const span = scalar.end === 0 ? undefined : { start, end: found < 0 ? scalar.end : start + text.length };
  const line = outer.scalar.line + linesBefore(outer.scalar, outer.text, span?.start ?? 0);
  return { template: '', line, object, path: outer.path, span, inside: path };
}

/** Lines of a block text before a position; elsewhere the text's lines are not those of the document. */
function linesBefore(scalar: TreeScalar, text: string, position: number): number {
  return scalar.block ? text.slice(0, position).split('\n').length - 1 : 0;
}
