import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
} from 'yaml';
import { isTooDeep, maxNesting } from '../nesting.ts';

/** A YAML or JSON document as discovery walks it: maps keep their order, scalars know where they stand. */
export type Tree =
  | { readonly kind: 'map'; readonly entries: readonly (readonly [string, Tree])[]; readonly line: number }
  | { readonly kind: 'list'; readonly items: readonly Tree[]; readonly line: number }
  | TreeScalar;

export interface TreeScalar {
  readonly kind: 'scalar';
  /** Strings as they are, numbers as they are written, anything else (`true`, `null`) as `undefined`. */
  readonly text: string | undefined;
  readonly number: boolean;
  /** The value of a boolean. */
  readonly flag: boolean | undefined;
  /** Line on which the text begins, from 1: for a block (`|`) the line below its header. */
  readonly line: number;
  /** Whether lines of the text are lines of the document. */
  readonly block: boolean;
  /** Where it is written in the parsed text. */
  readonly start: number;
  readonly end: number;
}

export interface ParsedTree {
  readonly tree: Tree | undefined;
  /** What is wrong with the document, if anything is: line and the parser's words. */
  readonly problem: { readonly line: number; readonly message: string } | undefined;
}

/** Nodes that one text may grow to through its aliases. */
const maxNodes = 500_000;

/**
 * Parses all documents of a text. Duplicate keys and odd documents are tolerated as Kubernetes' own parsers do; what cannot
 * be read is told, and what of it could be read is given.
 */
export function parseTrees(text: string): readonly ParsedTree[] {
  if (isTooDeep(text)) return [{ tree: undefined, problem: { line: 1, message: tooLarge().message } }];
  const lines = new LineCounter();
  try {
    const documents = parseAllDocuments(text, {
      lineCounter: lines,
      uniqueKeys: false,
      strict: false,
      logLevel: 'silent',
      prettyErrors: false,
    });
    return 'empty' in documents ? [] : documents.map((document) => readDocument(document, lines));
  } catch (error) {
    return [{ tree: undefined, problem: { line: 1, message: error instanceof Error ? error.message : String(error) } }];
  }
}

function readDocument(document: Document.Parsed, lines: LineCounter): ParsedTree {
  const error = document.errors[0];
  const problem =
    error === undefined ? undefined : { line: lines.linePos(error.pos[0]).line, message: firstLine(error.message) };
  try {
    const reading: Reading = { lines, budget: { left: maxNodes }, anchors: new Map() };
    const tree = document.contents === null ? undefined : read(document.contents, reading, 0);
    return { tree, problem };
  } catch (thrown) {
    const message = thrown instanceof Error ? firstLine(thrown.message) : String(thrown);
    return { tree: undefined, problem: problem ?? { line: 1, message } };
  }
}

interface Reading {
  readonly lines: LineCounter;
  readonly budget: { left: number };
  /** What anchors stand for, with the number of nodes: each use counts again, as each is walked again. */
  readonly anchors: Map<string, { readonly tree: Tree; readonly nodes: number }>;
}

function read(node: unknown, reading: Reading, depth: number): Tree {
  const before = reading.budget.left;
  spend(reading, 1);
  if (depth > maxNesting) throw tooLarge();
  if (isAlias(node)) {
    const target = reading.anchors.get(node.source);
    spend(reading, target?.nodes ?? 0);
    return target?.tree ?? empty;
  }
  const tree = readNode(node, reading, depth);
  const anchor = isScalar(node) || isCollection(node) ? node.anchor : undefined;
  if (anchor !== undefined) reading.anchors.set(anchor, { tree, nodes: before - reading.budget.left });
  return tree;
}

function spend(reading: Reading, nodes: number): void {
  reading.budget.left -= nodes;
  if (reading.budget.left < 0) throw tooLarge();
}

function tooLarge(): Error {
  return new Error('the document is too deep or too large');
}

function readNode(node: unknown, reading: Reading, depth: number): Tree {
  if (isMap(node)) return { kind: 'map', entries: entriesOf(node.items, reading, depth), line: lineOf(node, reading) };
  if (isSeq(node)) {
    return {
      kind: 'list',
      items: node.items.map((each) => read(each, reading, depth + 1)),
      line: lineOf(node, reading),
    };
  }
  if (!isScalar(node)) return empty;
  const [start = 0, end = 0] = node.range ?? [];
  const block = node.type === 'BLOCK_LITERAL' || node.type === 'BLOCK_FOLDED';
  const number = typeof node.value === 'number' || typeof node.value === 'bigint';
  const flag = typeof node.value === 'boolean' ? node.value : undefined;
  const text = typeof node.value === 'string' ? node.value : number ? (node.source ?? String(node.value)) : undefined;
  return { kind: 'scalar', text, number, flag, block, line: lineOf(node, reading) + (block ? 1 : 0), start, end };
}

const empty: Tree = {
  kind: 'scalar',
  text: undefined,
  number: false,
  flag: undefined,
  block: false,
  line: 1,
  start: 0,
  end: 0,
};

/** A merge key (`<<: *base`, YAML 1.1) brings the keys that the map does not have itself. */
function entriesOf(pairs: readonly unknown[], reading: Reading, depth: number): readonly (readonly [string, Tree])[] {
  const own = new Map<string, Tree>();
  const merged = new Map<string, Tree>();
  for (const pair of pairs) {
    if (!isPair(pair)) continue;
    const key = isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
    const value = read(pair.value, reading, depth + 1);
    if (key !== '<<') {
      own.set(key, value);
      continue;
    }
    for (const source of value.kind === 'list' ? value.items : [value])
      if (source.kind === 'map')
        for (const [name, each] of source.entries) if (!merged.has(name)) merged.set(name, each);
  }
  return [...own, ...[...merged].filter(([name]) => !own.has(name))];
}

function lineOf(node: Node, reading: Reading): number {
  return reading.lines.linePos(node.range?.[0] ?? 0).line;
}

function firstLine(text: string): string {
  return (text.split('\n')[0] ?? '').slice(0, 300);
}

/** The value of a map's key. */
export function at(tree: Tree | undefined, key: string): Tree | undefined {
  return tree?.kind === 'map' ? tree.entries.find(([name]) => name === key)?.[1] : undefined;
}

/** The text of a map's key where it is a string (or a number, as written). */
export function textAt(tree: Tree | undefined, key: string): string | undefined {
  const value = at(tree, key);
  return value?.kind === 'scalar' ? value.text : undefined;
}
