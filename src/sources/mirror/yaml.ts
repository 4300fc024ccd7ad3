import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { defaultSection, Problems, type RawEntry, type RawFile, type RawSection } from './raw.ts';

/**
 * Parses a mirror file in YAML: a map of sections, each a map of the keys that the INI form has; lists where that has
 * comma lists. `DEFAULT` is what `[DEFAULT]` is.
 * @throws ReplicationErrors `configuration`, each with file and line
 */
export function parseYaml(text: string, file: string): RawFile {
  const problems = new Problems(file);
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false });
  const lineOf = (node: unknown): number => {
    const start = (node as Node | null)?.range?.[0];
    return start === undefined ? 1 : counter.linePos(start).line;
  };
  for (const error of document.errors) problems.add(counter.linePos(error.pos[0]).line, error.message);
  problems.throwIfAny();
  const sections: RawSection[] = [];
  let defaults: RawSection = { name: defaultSection, line: 1, entries: new Map() };
  const root = document.contents;
  if (root !== null && !isMap(root)) problems.add(lineOf(root), 'expected a map of sections');
  for (const { key, value } of isMap(root) ? root.items : []) {
    const line = lineOf(key);
    const name = isScalar(key) ? String(key.value) : '';
    if (!isMap(value)) {
      problems.add(line, `"${name}" is no map of keys and values`);
      continue;
    }
    const entries = new Map<string, RawEntry>();
    for (const pair of value.items) {
      const at = lineOf(pair.key);
      const written = textOf(pair.value);
      if (written === undefined) problems.add(at, `"${String(pair.key)}" in "${name}" is neither a text nor a list`);
      else entries.set(String(pair.key).toLowerCase(), { value: written, line: at });
    }
    const section = { name, line, entries };
    if (name === defaultSection) defaults = section;
    else sections.push(section);
  }
  problems.throwIfAny();
  return { file, defaults, sections };
}

/** A value as it is written: `tag: 1.10` means the tag 1.10, not the number 1.1. */
function textOf(node: unknown): string | undefined {
  if (isSeq(node)) {
    const parts = node.items.map(textOf);
    return parts.every((part) => part !== undefined) ? parts.join('\n') : undefined;
  }
  if (node === null) return '';
  if (!isScalar(node)) return undefined;
  if (node.value === null) return '';
  return typeof node.value === 'string' ? node.value : (node.source ?? '');
}
