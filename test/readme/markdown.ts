import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

/** The text of a Markdown file of the checkout's root. */
export function document(name: string): string {
  return readFileSync(join(root, name), 'utf8');
}

export interface Fence {
  readonly language: string;
  readonly text: string;
}

export function fencesOf(markdown: string): readonly Fence[] {
  return [...markdown.matchAll(/^```(\S*)\n([\s\S]*?)^```$/gm)].map(([, language = '', text = '']) => ({
    language,
    text,
  }));
}

const shells = ['bash', 'sh', 'shell', 'console'];

/** Commands of shell fences, and of code in sentences and tables; `a && b` are two, comments are none. Each once, in order. */
export function commandsOf(markdown: string): readonly string[] {
  const fenced = fencesOf(markdown).filter(({ language }) => shells.includes(language));
  const lines = fenced.flatMap(({ text }) => text.replaceAll('\\\n', ' ').split('\n'));
  const inline = [...proseOf(markdown).matchAll(/`((?:npm|npx|node|bash) [^`]+)`/g)].map(([, text = '']) => text);
  const commands = [...lines, ...inline]
    .flatMap((line) => line.replace(/(?:^|\s)#.*$/, '').split('&&'))
    .map((part) => part.trim().replace(/^\$ /, '').replace(/\s+/g, ' '));
  return [...new Set(commands.filter((part) => part !== ''))];
}

function proseOf(markdown: string): string {
  return markdown.replace(/^```[\s\S]*?^```$/gm, '');
}

/** Cells of the first table below a heading (`## Files`), without the table's head. */
export function tableBelow(markdown: string, heading: string): readonly (readonly string[])[] {
  const section = markdown.split(`\n${heading}\n`)[1];
  if (section === undefined) throw new Error(`there is no heading "${heading}"`);
  const table = /(?:^\|.*\|\n)+/m.exec(section)?.[0] ?? '';
  const rows = table.trimEnd().split('\n').slice(2);
  return rows.map((row) => row.split('|').slice(1, -1).map((cell) => cell.trim())); // prettier-ignore
}

/** What a cell says in code marks: `a`, `b`. */
export function codeIn(cell: string): readonly string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text);
}

/** Anchors as GitHub makes them from headings. */
export function anchorsOf(markdown: string): ReadonlySet<string> {
  const headings = [...proseOf(markdown).matchAll(/^#+ (.+)$/gm)].map(([, text = '']) => text);
  return new Set(
    headings.map((text) =>
      text
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

/** Targets of links that lead into the project. */
export function linksOf(markdown: string): readonly string[] {
  const targets = [...proseOf(markdown).matchAll(/\]\(([^)]+)\)/g)].map(([, target = '']) => target);
  return targets.filter((target) => !/^[a-z]+:/.test(target));
}
