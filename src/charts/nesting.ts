import { Lexer } from 'yaml';

/** Levels that a YAML or JSON text may nest. Charts have some ten. */
export const maxNesting = 500;

/**
 * Whether a text nests deeper than that: as a flow (brackets), or as blocks that would need that much indentation. The YAML
 * parser calls itself for each level: some ten thousand brackets end the whole process.
 */
export function isTooDeep(text: string): boolean {
  if (/(?:[-?] ){500}|^ {2000}/m.test(text)) return true;
  return mayNestTooDeep(text.matchAll(/[[\]{}]/g)) && nestsTooDeep(text);
}

/** Takes every bracket for one, also those inside of strings: they are almost always in pairs. */
function mayNestTooDeep(brackets: Iterable<RegExpMatchArray>): boolean {
  let depth = 0;
  for (const [bracket] of brackets) {
    depth = bracket === '[' || bracket === '{' ? depth + 1 : Math.max(0, depth - 1);
    if (depth > maxNesting) return true;
  }
  return false;
}

/** What the lexer puts before the text of a scalar (https://eemeli.org/yaml/#lexer). */
const scalarFollows = '\u001F';

/** Goes by the lexer's tokens, which needs no recursion. */
function nestsTooDeep(text: string): boolean {
  let depth = 0;
  let previous = '';
  for (const token of new Lexer().lex(text)) {
    if (previous !== scalarFollows) {
      if (token === '[' || token === '{') depth += 1;
      else if (token === ']' || token === '}') depth -= 1;
    }
    if (depth > maxNesting) return true;
    previous = token;
  }
  return false;
}
