import { readSource } from '../render/split.ts';
import type { Difference } from './port.ts';

/** Texts that stand for what was there before, the longest first. */
export type Masks = ReadonlyMap<string, string>;

interface Document {
  readonly template: string;
  /** The template's, for an install or for an upgrade. */
  readonly group: string;
  readonly lines: readonly string[];
}

export interface Comparison {
  readonly derived: readonly Difference[];
  readonly unexplained: readonly Difference[];
}

/**
 * What differs between two renders apart from image references. Helm writes documents in the same order; those that come
 * or go are compared as a whole.
 * @param masks target names to the references that they replace
 * @param values override values to the texts that they replace
 */
export function compareRenders(
  before: string,
  after: string,
  masks: Masks,
  values: Masks,
  profile: string,
): Comparison {
  const masked = unmask(after, masks);
  if (before === masked) return { derived: [], unexplained: [] };
  const derived: Difference[] = [];
  const unexplained: Difference[] = [];
  for (const change of changes(documents(before), documents(masked))) {
    const kind = kindOf(change, values);
    const difference = { profile, kind, template: change.template, before: change.before, after: change.after };
    (kind === 'other' ? unexplained : derived).push(difference);
  }
  return { derived, unexplained };
}

interface Change {
  readonly template: string;
  readonly before: string;
  readonly after: string;
  /** Inside of labels or selectors, where Kubernetes takes 63 characters of a small set. */
  readonly label: boolean;
}

/** Lines with a text in them that stand in labels or selectors. */
export function labelLinesWith(rendered: string, text: string): readonly string[] {
  if (!rendered.includes(text)) return [];
  return documents(rendered).flatMap(({ lines }) =>
    lines.filter((line, i) => line.includes(text) && inLabels(lines, i)).map((line) => line.trim()),
  );
}

/** Lines that differ between two renders of the same values: names and certificates that the chart makes at random. */
export function noiseOf(first: string, second: string): (difference: Difference) => boolean {
  const noisy = new Set(changes(documents(first), documents(second)).map(lineKey));
  return (difference) => noisy.has(lineKey(difference));
}

/** A random line is known by what it says before its value. */
function lineKey({ template, before }: { readonly template: string; readonly before: string }): string {
  return `${template}\0${before}`;
}

function unmask(text: string, masks: Masks): string {
  let masked = text;
  for (const [now, then] of [...masks].sort((a, b) => b[0].length - a[0].length)) masked = masked.replaceAll(now, then);
  return masked;
}

function documents(text: string): readonly Document[] {
  return text.split(/^---[ \t]*$/m).map((part) => {
    const group = /^# Source: .+$/m.exec(part)?.[0] ?? '';
    return { template: readSource(group)?.template ?? '', group, lines: part.split('\n') };
  });
}

function changes(before: readonly Document[], after: readonly Document[]): readonly Change[] {
  const found: Change[] = [];
  const rest = byGroup(after);
  for (const document of before) {
    const other = rest.get(document.group)?.shift();
    if (other === undefined) found.push(whole(document, document.lines.join('\n'), ''));
    else found.push(...changedLines(document, other));
  }
  for (const documents of rest.values())
    for (const each of documents) found.push(whole(each, '', each.lines.join('\n')));
  return found;
}

function byGroup(documents: readonly Document[]): Map<string, Document[]> {
  const groups = new Map<string, Document[]>();
  for (const each of documents) groups.set(each.group, [...(groups.get(each.group) ?? []), each]);
  return groups;
}

function whole({ template }: Document, before: string, after: string): Change {
  return { template, before: before.slice(0, 2000), after: after.slice(0, 2000), label: false };
}

function changedLines(before: Document, after: Document): readonly Change[] {
  if (before.lines.length !== after.lines.length)
    return [whole(before, before.lines.join('\n'), after.lines.join('\n'))];
  return before.lines.flatMap((line, i) => {
    const other = after.lines[i] ?? '';
    if (line === other) return [];
    return [{ template: before.template, before: line.trim(), after: other.trim(), label: inLabels(before.lines, i) }];
  });
}

function inLabels(lines: readonly string[], at: number): boolean {
  let indent = indentOf(lines[at] ?? '');
  for (let i = at - 1; i >= 0 && indent > 0; i -= 1) {
    const line = lines[i] ?? '';
    if (line.trim() === '' || indentOf(line) >= indent) continue;
    indent = indentOf(line);
    if (/^\s*(?:- )?(?:labels|matchLabels|selector|nodeSelector):\s*$/.test(line)) return true;
  }
  return false;
}

function indentOf(line: string): number {
  return line.length - line.trimStart().length;
}

const hash = /[0-9a-f]{32,128}/g;

function kindOf(change: Change, values: Masks): Difference['kind'] {
  const plain = (line: string): string => line.replaceAll(hash, '#');
  if (change.before !== '' && change.after !== '' && plain(change.before) === plain(change.after)) return 'checksum';
  if (change.before !== '' && !change.label && unmask(change.after, values) === change.before) return 'value';
  return 'other';
}
