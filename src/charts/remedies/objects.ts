import { parseAllDocuments, stringify } from 'yaml';
import { isTooDeep } from '../nesting.ts';
import { splitRender } from '../render/split.ts';

/** A Kubernetes object as its JSON; changed in place by those who try something on their own copy. */
export type Json = string | number | boolean | null | Json[] | JsonMap;
export interface JsonMap {
  [key: string]: Json;
}

/** One object of a render and the template that it is from. */
export interface RenderedObject {
  readonly template: string;
  readonly object: JsonMap;
}

export interface ReadObjects {
  readonly objects: readonly RenderedObject[];
  /** The first document that is no YAML, or that tools stricter than helm refuse. */
  readonly problem: string | undefined;
}

/** The objects of a render; those of a list (`kind: List`, `PodList`) one by one. */
export function readObjects(rendered: string): ReadObjects {
  const objects: RenderedObject[] = [];
  let problem: string | undefined;
  for (const { template, text } of splitRender(rendered)) {
    if (isTooDeep(text)) {
      problem ??= `${template}: it nests too deep`;
      continue;
    }
    const documents = parseAllDocuments(text, { uniqueKeys: true, strict: false, logLevel: 'silent', version: '1.1' });
    for (const document of 'empty' in documents ? [] : documents) {
      const error = document.errors[0];
      if (error !== undefined) problem ??= `${template}: ${error.message.split('\n')[0] ?? ''}`;
      // What JSON cannot hold (dates, binary) reads as its text.
      const value: unknown = JSON.parse(JSON.stringify(document.toJS({ maxAliasCount: 1000 }) ?? null));
      if (isJsonMap(value)) objects.push(...expand(value).map((object) => ({ template, object })));
    }
  }
  return { objects, problem };
}

function expand(object: JsonMap): readonly JsonMap[] {
  const items = object['items'];
  const isList = typeof object['kind'] === 'string' && object['kind'].endsWith('List') && Array.isArray(items);
  return isList ? items.filter(isJsonMap).flatMap(expand) : [object];
}

/** The objects as helm prints them, strings quoted, so that they can be searched as a render. */
export function writeObjects(objects: readonly RenderedObject[]): string {
  const one = ({ template, object }: RenderedObject): string =>
    `---\n# Source: ${template}\n${stringify(object, { defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN', lineWidth: 0 })}`;
  return objects.map(one).join('');
}

export function copyOf(objects: readonly RenderedObject[]): readonly RenderedObject[] {
  return structuredClone(objects);
}

export function isJsonMap(value: unknown): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The map below these keys, or `undefined`. */
export function below(object: JsonMap, ...keys: readonly string[]): JsonMap | undefined {
  let map: JsonMap | undefined = object;
  for (const key of keys) {
    const next: Json | undefined = map[key];
    if (!isJsonMap(next)) return undefined;
    map = next;
  }
  return map;
}

export function textAt(map: JsonMap | undefined, key: string): string {
  const value = map?.[key];
  return typeof value === 'string' ? value : '';
}

/** `Deployment/web`, with the namespace before the name where it has one. */
export function nameOf(object: JsonMap): string {
  const metadata = below(object, 'metadata');
  const namespace = textAt(metadata, 'namespace');
  return `${textAt(object, 'kind')}/${namespace === '' ? '' : `${namespace}/`}${textAt(metadata, 'name')}`;
}

/** Hooks are objects with this annotation: https://helm.sh/docs/topics/charts_hooks/ */
export function isHook(object: JsonMap): boolean {
  return textAt(below(object, 'metadata', 'annotations'), 'helm.sh/hook') !== '';
}
