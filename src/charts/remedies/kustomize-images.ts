import type { FoundReference } from '../discovery/found.ts';
import type { Move } from '../patch/port.ts';
import { escaped } from '../patch/version.ts';
import { below, isJsonMap, type Json, type JsonMap, textAt } from './objects.ts';
import type { ImageRename } from './port.ts';

/**
 * Where the transformer looks besides its own places: `images` of a configuration file
 * (https://github.com/kubernetes-sigs/kustomize/blob/master/examples/transformerconfigs/README.md#images-transformer).
 */
export interface FieldSpec {
  readonly path: string;
  readonly group?: string;
  readonly version: string;
  readonly kind: string;
}

/** Fields that the transformer knows by itself, besides containers. */
const podFields = ['spec/volumes[]/image/reference', 'spec/template/spec/volumes[]/image/reference'];

/** Name, tag and digest of a reference; the name keeps its registry. */
function partsOf(reference: string): { readonly name: string; readonly tag: string; readonly digest: string } {
  const at = reference.indexOf('@');
  const digest = at < 0 ? '' : reference.slice(at + 1);
  const rest = at < 0 ? reference : reference.slice(0, at);
  const colon = rest.lastIndexOf(':');
  const tagged = colon > rest.lastIndexOf('/');
  return { name: tagged ? rest.slice(0, colon) : rest, tag: tagged ? rest.slice(colon + 1) : '', digest };
}

/** The entry that makes the target of a reference. Tag and digest are left alone where they stay the same. */
export function renameOf({ text, target }: Move): ImageRename {
  const from = partsOf(text);
  const to = partsOf(target);
  const renamed = { name: from.name, newName: to.name };
  if (from.tag === to.tag && from.digest === to.digest) return renamed;
  return {
    ...renamed,
    ...(to.tag === '' ? {} : { newTag: to.tag }),
    ...(to.digest === '' ? {} : { digest: to.digest }),
  };
}

/** The field of a reference for a configuration file, where that can name it: a whole string that is no item of a list. */
export function fieldSpecOf({ place, parts }: FoundReference): FieldSpec | undefined {
  const { path, span, inside, object } = place;
  if (span !== undefined || inside !== undefined || parts !== undefined) return undefined;
  const isInListOfLists = path.some((key, at) => typeof key === 'number' && typeof path[at + 1] === 'number');
  if (isInListOfLists || typeof path.at(-1) === 'number' || object.kind === 'CustomResourceDefinition')
    return undefined;
  const slash = object.apiVersion.indexOf('/');
  const field = path
    .flatMap((key, at) =>
      typeof key === 'number' ? [] : `${key.replaceAll('/', '\\/')}${typeof path[at + 1] === 'number' ? '[]' : ''}`,
    )
    .join('/');
  // Named twice, kustomize refuses both: "conflicting fieldspecs".
  if (podFields.includes(field)) return undefined;
  return {
    path: field,
    ...(slash < 0 ? {} : { group: object.apiVersion.slice(0, slash) }),
    version: object.apiVersion.slice(slash + 1),
    kind: object.kind,
  };
}

/** One entry of `images` as kustomize applies it to a text. Digests of sha512 are no match (api/internal/image, IsImageMatched). */
function renamed(text: string, rename: ImageRename): string {
  const match = new RegExp(String.raw`^${escaped(rename.name)}(:[\w.{}-]*)?(@sha256:[\w.{}-]*)?$`).exec(text);
  if (match === null) return text;
  const own = rename.newTag === undefined && rename.digest === undefined;
  const tag = own ? (match[1] ?? '') : rename.newTag === undefined ? '' : `:${rename.newTag}`;
  const digest = own ? (match[2] ?? '') : rename.digest === undefined ? '' : `@${rename.digest}`;
  return `${rename.newName ?? rename.name}${tag}${digest}`;
}

/**
 * What kustomize's images transformer does to one object, in place: `image` in all lists `containers` and `initContainers`
 * at any depth (not in definitions), image volumes of pods and templates, and the fields of the specs.
 */
export function transformImages(object: JsonMap, renames: readonly ImageRename[], specs: readonly FieldSpec[]): void {
  const set = (text: string): string => renames.reduce(renamed, text);
  if (object['kind'] !== 'CustomResourceDefinition') inContainers(object, set);
  const own = specs.filter((spec) => matches(object, spec)).map(({ path }) => path);
  for (const path of [...podFields, ...own]) inField(object, path.split(/(?<!\\)\//), set);
}

function inContainers(node: Json, set: (text: string) => string): void {
  if (Array.isArray(node)) for (const item of node) inContainers(item, set);
  if (!isJsonMap(node)) return;
  for (const [key, value] of Object.entries(node)) {
    inContainers(value, set);
    if ((key !== 'containers' && key !== 'initContainers') || !Array.isArray(value)) continue;
    for (const item of value) if (isJsonMap(item)) setText(item, 'image', set);
  }
}

function matches(object: JsonMap, { group, version, kind }: FieldSpec): boolean {
  const apiVersion = `${group === undefined ? '' : `${group}/`}${version}`;
  return textAt(object, 'kind') === kind && textAt(object, 'apiVersion') === apiVersion;
}

function inField(node: Json, [first = '', ...rest]: readonly string[], set: (text: string) => string): void {
  if (!isJsonMap(node)) return;
  const list = first.endsWith('[]');
  const key = (list ? first.slice(0, -2) : first).replaceAll('\\/', '/');
  const value = node[key];
  if (rest.length === 0) setText(node, key, set);
  else if (Array.isArray(value)) for (const item of list ? value : []) inField(item, rest, set);
  else if (value !== undefined) inField(value, rest, set);
}

function setText(map: JsonMap, key: string, set: (text: string) => string): void {
  const value = map[key];
  if (typeof value === 'string') map[key] = set(value);
}

/** Why kustomize refuses to read these objects, if it does: each needs a name, and one that no other has. */
export function refusedBecause(objects: readonly JsonMap[]): string | undefined {
  const seen = new Set<string>();
  for (const object of objects) {
    const metadata = below(object, 'metadata');
    const name = textAt(metadata, 'name');
    const kind = textAt(object, 'kind');
    if (kind === '' || name === '') return `an object of kind "${kind}" has no name, which kustomize asks for`;
    const namespace = textAt(metadata, 'namespace') || 'default';
    const id = [textAt(object, 'apiVersion'), kind, namespace, name].join('\0');
    if (seen.has(id)) return `${kind}/${name} is in the render twice, which kustomize refuses`;
    seen.add(id);
  }
  return undefined;
}
