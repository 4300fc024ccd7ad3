/**
 * Texts that mark in a render what a value became. A mark looks like the override that would stand there: the target's
 * prefix and a number, so that schemas and templates that refuse the one refuse the other.
 */
export interface Sentinels {
  /** The mark for a candidate (0 to 9999). */
  mark(id: number): string;
  /** What every mark begins with. */
  readonly common: string;
  /** The candidate whose mark the text begins with, and the text behind the mark. */
  leading(text: string): { readonly id: number; readonly rest: string } | undefined;
  /** Candidates whose marks stand in the text, in order. */
  within(text: string): readonly number[];
  /** The text without marks (and the slash behind each). */
  without(text: string): string;
  /** A digest's 64 hex digits that mark a candidate. */
  markHex(id: number): string;
  withinHex(text: string): readonly number[];
  /** The text as a reader should see it: marks become an ellipsis behind the prefix. */
  readable(text: string): string;
}

const salts = ['971', '863', '759', '647', '539', '421', '317', '239', '193', '157'];

/** @param taken texts in which no mark may be found by chance */
export function sentinels(prefix: string, taken: readonly string[]): Sentinels {
  const salt = salts.find((each) => !taken.some((text) => text.includes(`s${each}`))) ?? '971';
  const number = (id: number): string => `${salt}${String(id).padStart(4, '0')}179`;
  const start = escapeRegExp(prefix);
  const anywhere = new RegExp(`${start}s${salt}(\\d{4})179`, 'g');
  const first = new RegExp(`^${start}s${salt}(\\d{4})179`);
  const removable = new RegExp(`${start}s${salt}\\d{4}179/?`, 'g');
  const hex = new RegExp(`${salt}(?<id>\\d{4})179(?:${salt}\\k<id>179){5}f{4}`, 'g');
  return {
    mark: (id) => `${prefix}s${number(id)}`,
    common: `${prefix}s${salt}`,
    leading: (text) => {
      const match = first.exec(text);
      return match === null ? undefined : { id: Number(match[1]), rest: text.slice(match[0].length) };
    },
    within: (text) => [...text.matchAll(anywhere)].map((match) => Number(match[1])),
    without: (text) => text.replaceAll(removable, ''),
    markHex: (id) => `${number(id).repeat(6)}ffff`,
    withinHex: (text) => [...text.matchAll(hex)].map((match) => Number(match[1])),
    readable: (text) => text.replaceAll(anywhere, `${prefix}…`),
  };
}

export function escapeRegExp(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
}
