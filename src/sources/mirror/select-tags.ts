import semver from 'semver';

/** Which tags of a repository a section wants. */
export type TagWish =
  | { readonly kind: 'listed'; readonly tags: readonly string[] }
  | { readonly kind: 'semver'; readonly range: string; readonly keep: number }
  | { readonly kind: 'pattern'; readonly pattern: string; readonly keep: number };

/**
 * The tags that a wish takes of those that there are, newest first. A semver range takes full versions (`1.2.3`, `v1.2.3`);
 * where none fits, short ones (`1.2`, `22.04`) count, too: beside full ones these are moving names of them.
 * Pre-releases only where the range names one, as npm has it (https://github.com/npm/node-semver#prerelease-tags).
 */
export function selectTags(wish: TagWish, available: readonly string[]): readonly string[] {
  switch (wish.kind) {
    case 'listed':
      return wish.tags;
    case 'pattern': {
      const matches = tagMatcher(wish.pattern);
      return [...new Set(available.filter(matches))].sort(newestFirst).slice(0, wish.keep);
    }
    case 'semver': {
      const full = inRange(available, wish.range, (tag) => semver.valid(tag) ?? undefined);
      return (full.length > 0 ? full : inRange(available, wish.range, shortVersion)).slice(0, wish.keep);
    }
  }
}

function inRange(
  tags: readonly string[],
  range: string,
  versionOf: (tag: string) => string | undefined,
): readonly string[] {
  const byVersion = new Map<string, string>();
  for (const tag of [...tags].sort()) {
    const version = versionOf(tag);
    // `1.2.3` and `v1.2.3` are one version: the first of the two stands for both.
    if (version !== undefined && semver.satisfies(version, range) && !byVersion.has(version))
      byVersion.set(version, tag);
  }
  return [...byVersion].sort(([a], [b]) => semver.rcompare(a, b)).map(([, tag]) => tag);
}

function shortVersion(tag: string): string | undefined {
  const [, major, minor = '0'] = /^v?(\d{1,15})(?:\.(\d{1,15}))?$/.exec(tag) ?? [];
  return major === undefined ? undefined : `${Number(major)}.${Number(minor)}.0`;
}

/**
 * Whether tags match: `*` and `?` as in file names, or a regular expression between slashes, which has to match the whole tag.
 * @throws SyntaxError for a regular expression that is none
 */
export function tagMatcher(pattern: string): (tag: string) => boolean {
  const expression = /^\/(.*)\/$/.exec(pattern)?.[1];
  const source =
    expression ?? pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&').replace(/[*?]/g, (sign) => (sign === '*' ? '.*' : '.'));
  const regular = new RegExp(`^(?:${source})$`);
  return (tag) => regular.test(tag);
}

/** Versions by semver; everything else by its numbers and the text between them: 2026-10-01 is newer than 2026-9-30. */
function newestFirst(a: string, b: string): number {
  const [first, second] = [semver.valid(a), semver.valid(b)];
  if (first !== null && second !== null) return semver.rcompare(first, second) || compareText(b, a);
  const [left, right] = [a.match(/\d+|\D+/g) ?? [], b.match(/\d+|\D+/g) ?? []];
  for (const [index, part] of left.entries()) {
    const other = right[index];
    if (other === undefined) return -1;
    const order = compareParts(other, part);
    if (order !== 0) return order;
  }
  return right.length - left.length;
}

function compareParts(a: string, b: string): number {
  if (!/^\d/.test(a) || !/^\d/.test(b)) return compareText(a, b);
  const [first, second] = [BigInt(a), BigInt(b)];
  return first === second ? 0 : first < second ? -1 : 1;
}

function compareText(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
