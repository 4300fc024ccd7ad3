import { cut, formatCount } from './format.ts';

/** Longest text from outside that is shown, in characters. */
const longestText = 1000;

/** Text as code in a line. @see https://spec.commonmark.org/0.31.2/#code-spans */
export function code(text: string): string {
  const line = cut(text.replace(/\s+/g, ' ').trim(), longestText);
  if (line === '') return '(empty)';
  const fence = '`'.repeat(longestRun(line) + 1);
  // A blank beside a back-tick is taken away by readers; only then there is one.
  const pad = line.startsWith('`') || line.endsWith('`') ? ' ' : '';
  return `${fence}${pad}${line}${pad}${fence}`;
}

/** Text as a block of code, behind an indentation. @see https://spec.commonmark.org/0.31.2/#fenced-code-blocks */
export function fenced(text: string, indent: string): string {
  const fence = '`'.repeat(Math.max(3, longestRun(text) + 1));
  const lines = [fence, ...cut(text, 2 * longestText).split('\n'), fence];
  return lines.map((line) => `${indent}${line}`).join('\n');
}

function longestRun(text: string): number {
  return Math.max(0, ...(text.match(/`+/g) ?? []).map((run) => run.length));
}

/** A text that grows by whole paragraphs, as long as there is room. */
export interface Document {
  add(paragraph: string): void;
  /** A heading with entries, each whole or not at all; those left out are counted. Without entries there is no heading. */
  section(heading: string, entries: readonly string[], noun: string, most?: number): void;
  end(): string;
}

/** @param longest in characters */
export function document(longest: number): Document {
  const parts: string[] = [];
  let length = 0;
  // What says that something was left out has to fit, too.
  const reserve = 300;
  const push = (part: string, keep: number): boolean => {
    if (length + part.length + 2 > longest - keep) return false;
    parts.push(part);
    length += part.length + 2;
    return true;
  };
  return {
    add: (paragraph) => void push(paragraph, reserve),
    section(heading, entries, noun, most = 40) {
      if (entries.length === 0) return;
      const kept: string[] = [];
      let size = heading.length;
      for (const entry of entries.slice(0, most)) {
        size += entry.length + 1;
        if (length + size + 2 * reserve > longest) break;
        kept.push(entry);
      }
      const left = entries.length - kept.length;
      const more = left === 0 ? [] : [`- … and ${formatCount(left)} more ${noun} in the report`];
      push([heading, '', ...kept, ...more].join('\n'), 0);
    },
    end: () => `${parts.join('\n\n')}\n`,
  };
}
