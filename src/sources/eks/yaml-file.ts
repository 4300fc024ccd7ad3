import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type Scalar,
  visit,
} from 'yaml';
import type * as z from 'zod';
import { ReplicationError, ReplicationErrors } from '../../model/errors.ts';
import { nearestHint } from './nearest.ts';

/** A parsed YAML file that still knows on which line each key stands. */
export interface YamlFile {
  /** As messages name it. */
  readonly path: string;
  readonly content: unknown;
  /** Line (from 1) of a key, or of the nearest one above it that is written in the file. */
  lineOf(keys: readonly PropertyKey[]): number;
}

/** Below these keys numbers stay numbers; everywhere else a number is text that somebody forgot to quote. */
const freeForm = new Set<unknown>(['values', 'profiles']);

/**
 * Parses YAML 1.2 with merge keys (`<<`). Numbers become the text they are written as (`version: 1.30` is "1.30", not
 * 1.3), except inside `values` and `profiles`. @throws ReplicationErrors `configuration`, one per syntax error
 */
export function parseYamlFile(path: string, text: string): YamlFile {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, merge: true, prettyErrors: false });
  if (document.errors.length > 0) {
    throw new ReplicationErrors(
      document.errors.map((error) => {
        const { line } = lineCounter.linePos(error.pos[0]);
        return error.code === 'MULTIPLE_DOCS'
          ? problemIn(path, line, 'a second YAML document begins here, and only one is read', 'take the line `---` out')
          : problemIn(
              path,
              line,
              `is no valid YAML: ${error.message}`,
              'correct the file; values with special characters need quotes',
            );
      }),
    );
  }
  refuseUnusable(path, document, lineCounter);
  visit(document, {
    Pair: (_, pair) => (isScalar(pair.key) && freeForm.has(pair.key.value) ? visit.SKIP : undefined),
    Scalar: (_, scalar) => {
      if (typeof scalar.value === 'number') scalar.value = numberText(scalar);
    },
  });
  const line = (node: Node | undefined): number => lineCounter.linePos(node?.range?.[0] ?? 0).line;
  return {
    path,
    content: toPlain(path, document),
    lineOf: (keys) => line(deepestNode(document.contents ?? undefined, keys)),
  };
}

/**
 * An empty file is more likely a mistake than a wish. Names that every JavaScript object has are refused as keys, so that
 * no lookup finds what nobody wrote; values of charts may have them, `__proto__` apart, which would be lost.
 */
function refuseUnusable(path: string, document: Document.Parsed, lineCounter: LineCounter): void {
  const { contents } = document;
  if (contents === null || (isScalar(contents) && contents.value === null))
    throw problemIn(path, 1, 'is empty', 'write `charts: {}` if it is to say nothing');
  const problems: ReplicationError[] = [];
  visit(document, {
    Pair: (_, { key }, ancestors) => {
      const name = isScalar(key) ? String(key.value) : '';
      const free = ancestors.some((each) => isPair(each) && isScalar(each.key) && freeForm.has(each.key.value));
      if (name !== '__proto__' && (free || !(name in Object.prototype))) return;
      const { line } = lineCounter.linePos(isScalar(key) ? (key.range?.[0] ?? 0) : 0);
      const what = `"${name}" cannot be used as a key: JavaScript has it in every object`;
      problems.push(problemIn(path, line, what, 'choose another name'));
    },
  });
  if (problems.length > 0) throw new ReplicationErrors(problems);
}

function problemIn(path: string, line: number, what: string, remedy: string): ReplicationError {
  return new ReplicationError('configuration', `${path}:${line}: ${what}`, { reference: path, remedy });
}

/** A number as it is written in the file. */
export function numberText(scalar: Scalar): string {
  return scalar.source ?? String(scalar.value);
}

function toPlain(path: string, document: { toJS(): unknown }): unknown {
  try {
    return document.toJS();
  } catch (error) {
    // An alias without anchor, or aliases that multiply without bound.
    throw new ReplicationError('configuration', `${path}: is no valid YAML: ${String(error)}`, { cause: error });
  }
}

/** The key node (for maps) or item (for lists) at a path, as deep as the file has it. */
function deepestNode(root: Node | undefined, keys: readonly PropertyKey[]): Node | undefined {
  let found = root;
  let current = root;
  for (const key of keys) {
    if (isMap(current)) {
      const pair = current.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
      if (pair === undefined || !isNode(pair.key)) return found;
      found = pair.key;
      current = isNode(pair.value) ? pair.value : undefined;
    } else if (isSeq(current) && typeof key === 'number') {
      const item: unknown = current.items[key];
      if (!isNode(item)) return found;
      found = item;
      current = item;
    } else {
      return found;
    }
    if (isAlias(current)) return found;
  }
  return found;
}

/**
 * Parses the content by a schema, or collects every violation with file, line and key.
 * @param knownKeysAt the keys that are allowed at a place, for hints
 */
export function validate<T>(
  file: YamlFile,
  schema: z.ZodType<T>,
  knownKeysAt: (path: readonly PropertyKey[]) => readonly string[],
): { readonly data: T } | { readonly problems: readonly ReplicationError[] } {
  const parsed = schema.safeParse(file.content);
  if (parsed.success) return { data: parsed.data };
  const found = parsed.error.issues.flatMap((issue): Violation[] => {
    if (issue.code !== 'unrecognized_keys') return [{ keys: issue.path, what: wording(issue, file.content) }];
    return issue.keys.map((key) => ({
      keys: [...issue.path, key],
      what: `unknown key${nearestHint(key, knownKeysAt(issue.path), 'nearest known key')}`,
    }));
  });
  found.sort((a, b) => file.lineOf(a.keys) - file.lineOf(b.keys));
  return { problems: found.map(({ keys, what }) => problemAt(file, keys, what)) };
}

interface Violation {
  readonly keys: readonly PropertyKey[];
  readonly what: string;
}

/** One problem, worded `file:line: key.path: what is wrong`. */
export function problemAt(
  file: YamlFile,
  keys: readonly PropertyKey[],
  what: string,
  remedy?: string,
): ReplicationError {
  const where = keys.length === 0 ? '' : ` ${keys.map(String).join('.')}:`;
  return new ReplicationError('configuration', `${file.path}:${file.lineOf(keys)}:${where} ${what}`, {
    reference: file.path,
    remedy: remedy ?? 'correct the data file; README-DATAFILES.md has all keys',
  });
}

function wording(issue: z.core.$ZodIssue, content: unknown): string {
  if (issue.code === 'invalid_type') {
    const found = kindOf(valueAt(content, issue.path));
    return found === 'nothing'
      ? 'is missing'
      : `expected ${expectedNames[issue.expected] ?? issue.expected}, found ${found}`;
  }
  if (issue.code === 'invalid_value') return `must be ${issue.values.map(String).join(' or ')}`;
  if (issue.code === 'invalid_union') return 'has a value that neither JSON nor YAML 1.2 knows';
  return issue.message;
}

const expectedNames: Readonly<Record<string, string>> = {
  string: 'text',
  object: 'a map',
  record: 'a map',
  array: 'a list',
  boolean: 'true or false',
};

/** What a value is, in words for people. */
export function kindOf(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  return typeof value === 'string' ? 'text' : `the ${typeof value} ${JSON.stringify(value)}`;
}

function valueAt(content: unknown, path: readonly PropertyKey[]): unknown {
  let value = content;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = Reflect.get(value, key);
  }
  return value;
}
