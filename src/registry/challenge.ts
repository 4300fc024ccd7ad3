/** One challenge of a WWW-Authenticate header. Scheme and parameter names are in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const token = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
/** An address is no token, and has to be quoted; where it is not, its meaning is plain nevertheless. */
const address = /https?:\/\/[^\s,"]+/y;
const token68 = /[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))/y;
const space = /[ \t]*/y;

/**
 * Splits WWW-Authenticate into its challenges (RFC 9110 section 11.6.1). Several challenges may stand in one header,
 * separated by the same comma that separates parameters; quoted strings may hold commas. What makes no sense is skipped,
 * never thrown: a registry's odd header must not hide a challenge that we understand.
 */
export function parseChallenges(header: string | readonly string[] | undefined): readonly Challenge[] {
  if (header === undefined) return [];
  const values = typeof header === 'string' ? [header] : header;
  return values.flatMap((value) => parseOne(value));
}

function parseOne(text: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let at = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  while (at < text.length) {
    take(space);
    const name = take(token);
    if (name === undefined) {
      at += 1; // a comma, or something that does not belong here
      continue;
    }
    const spaces = take(space) ?? '';
    const current = challenges.at(-1);
    if (text[at] === '=' && current !== undefined) {
      at += 1;
      take(space);
      const value = text[at] === '"' ? quoted() : (take(address) ?? take(token));
      if (value !== undefined && !current.parameters.has(name.toLowerCase()))
        current.parameters.set(name.toLowerCase(), value);
    } else if (text[at] !== '=') {
      challenges.push({ scheme: name.toLowerCase(), parameters: new Map() });
      if (spaces !== '' && !followedByParameter()) take(token68);
    }
  }
  return challenges;

  function followedByParameter(): boolean {
    const rest = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+[ \t]*=[ \t]*["!#$%&'*+\-.^_`|~0-9A-Za-z]/y;
    rest.lastIndex = at;
    return rest.test(text);
  }

  function quoted(): string {
    let value = '';
    at += 1;
    while (at < text.length && text[at] !== '"') {
      if (text[at] === '\\' && at + 1 < text.length) at += 1;
      value += text[at] ?? '';
      at += 1;
    }
    at += 1;
    return value;
  }
}
