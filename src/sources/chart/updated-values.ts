import {
  Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  parseDocument,
  Scalar,
  type ToStringOptions,
  visit,
  YAMLMap,
} from 'yaml';
import type { JsonLike } from '../../charts/helm-yaml.ts';
import { type ValuePath, valueAt, type Values } from '../../charts/values/tree.ts';
import { ReplicationError } from '../../model/errors.ts';
import type { ValueSetting } from './helm-key.ts';

/** A values file of the user's. */
export interface ValuesFile {
  readonly path: string;
  readonly text: string;
}

/**
 * The user's values file with these values set; comments, order and everything else stay as they are. Of several files the
 * first is the frame, and the others' values go over it as helm merges them: the result stands alone.
 * @param settings paths through lists replace the whole list with the chart's where the file has none, as helm would
 * @param effective the values that the chart is rendered with, before the settings
 * @throws ReplicationError `usage` for a file that is no YAML map
 */
export function updatedValues(
  files: readonly ValuesFile[],
  settings: readonly ValueSetting[],
  effective: Values,
): string {
  const [first, ...others] = files;
  const document = first === undefined ? new Document({}) : openValues(first);
  for (const file of others) {
    const { contents } = openValues(file);
    if (isMap(document.contents) && isMap(contents)) mergeInto(document.contents, contents);
  }
  for (const { path, value } of settings) set(document, path, value, effective);
  if (first === undefined)
    document.commentBefore = ' Values that point the images at the registry that they were copied to.';
  return document.toString({ lineWidth: 0, ...mannersOf(first?.text ?? '') });
}

/** How the file is written: blanks inside of brackets, lists below their key, width of the indentation. */
function mannersOf(text: string): ToStringOptions {
  return {
    flowCollectionPadding: /[[{] \S/.test(text),
    indentSeq: !/^( *)[^\s#-].*:[ \t]*\n\1- /m.test(text),
    indent: /^ {4}(?! )/m.test(text) && !/^ {2}(?! )/m.test(text) ? 4 : 2,
  };
}

/** A values file as data. @throws ReplicationError `usage` */
export function openValues({ path, text }: ValuesFile): Document {
  // YAML 1.1, as helm reads it: `yes` stays what it is there.
  const document = parseDocument(text.replace(/^\uFEFF/, ''), {
    version: '1.1',
    uniqueKeys: false,
    logLevel: 'silent',
  });
  const [problem] = document.errors;
  if (problem !== undefined) {
    const line = problem.linePos?.[0].line ?? 1;
    throw refused(path, `${path}:${line}: is no valid YAML: ${problem.message.split('\n')[0] ?? ''}`);
  }
  // Explicitly typed, since a parsed document without content is not one that can be added to.
  const values: Document = document;
  if (values.contents === null || (isScalar(values.contents) && values.contents.value === null))
    values.contents = new YAMLMap();
  if (!isMap(values.contents)) throw refused(path, `${path}: values are a map, and this is none`);
  standAlone(values);
  return values;
}

function refused(path: string, message: string): ReplicationError {
  return new ReplicationError('usage', message, { reference: path, remedy: 'correct the file given by --values' });
}

/** Anchors become copies: a value that is set at one place must not change at another. Merge keys (`<<`) are spelled out. */
function standAlone(document: Document): void {
  visit(document, {
    Alias: (_, alias) => {
      const source = alias.resolve(document);
      if (source === undefined) return undefined;
      // The anchor itself is dropped below. A copy of nodes, as data would lose how things are written.
      const copy: unknown = source.clone();
      return isNode(copy) ? copy : undefined;
    },
  });
  visit(document, {
    Node: (_, node) => {
      if (!isAlias(node)) delete node.anchor;
    },
  });
  visit(document, {
    Map: (_, map) => {
      for (const pair of map.items.filter((each) => isScalar(each.key) && isMergeKey(each.key.value))) {
        const sources = isSeq(pair.value) ? pair.value.items : [pair.value];
        map.items.splice(map.items.indexOf(pair), 1);
        for (const inner of sources.flatMap((each) => (isMap(each) ? each.items : [])))
          if (isPair(inner) && !map.has(inner.key)) map.items.push(inner);
      }
    },
  });
}

function isMergeKey(value: unknown): boolean {
  return value === '<<' || (typeof value === 'symbol' && value.description === '<<');
}

/** As helm merges: maps by key, everything else is replaced. */
function mergeInto(under: YAMLMap, over: YAMLMap): void {
  for (const { key, value } of over.items) {
    const before = under.get(key, true);
    if (isMap(before) && isMap(value)) mergeInto(before, value);
    else under.set(key, value);
  }
}

function set(document: Document, path: ValuePath, value: string, effective: Values): void {
  const list = path.findIndex((key, at) => typeof key === 'number' && !isSeq(document.getIn(path.slice(0, at), true)));
  if (list >= 0) {
    const before = path.slice(0, list);
    prepare(document, before);
    document.setIn(before, document.createNode(plain(valueAt(effective, before))));
  }
  prepare(document, path);
  const node = document.getIn(path, true);
  const scalar = isScalar(node) ? node : new Scalar(value);
  scalar.value = value;
  const parent = document.getIn(path.slice(0, -1), true);
  // Old go-yaml reads no colon in a plain text inside of brackets.
  if (isCollection(parent) && parent.flow === true && value.includes(':')) scalar.type = Scalar.QUOTE_DOUBLE;
  if (scalar !== node) document.setIn(path, scalar);
}

/** What stands in the way of a path (null, or a text where a map is needed) makes room. */
function prepare(document: Document, path: ValuePath): void {
  for (let depth = 1; depth < path.length; depth += 1) {
    const above = path.slice(0, depth);
    if (!isCollection(document.getIn(above, true))) document.setIn(above, new YAMLMap());
  }
}

function plain(value: JsonLike | undefined): unknown {
  return structuredClone(value ?? null);
}
