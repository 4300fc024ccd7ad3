import semver from 'semver';

const loose = /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/;

/**
 * A chart version as helm understands it (Masterminds/semver v3 `NewVersion`): a leading `v` is fine, missing parts are
 * 0. `undefined` when the text is no version.
 */
export function asVersion(text: string): semver.SemVer | undefined {
  const match = loose.exec(text);
  if (match === null) return undefined;
  const [, major = '0', minor = '0', patch = '0', prerelease = '', build = ''] = match;
  const numbers = [major, minor, patch].map((part) => BigInt(part).toString()).join('.');
  return semver.parse(`${numbers}${prerelease}${build}`) ?? undefined;
}

/** Whether the text names one version completely (`1.2.3`, `v1.2.3-rc.1+build`), not a range. */
export function isExactVersion(text: string): boolean {
  return loose.exec(text)?.[3] !== undefined;
}

const part = String.raw`[\dxX*]+`;
const comparatorPattern = new RegExp(
  String.raw`(!=|=>|=<|>=|<=|~>|=|>|<|~|\^)?\s*v?(${part})(?:\.(${part}))?(?:\.(${part}))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?`,
  'g',
);
const hyphenPattern = /(\S+)\s+-\s+(\S+)/g;

interface Comparator {
  readonly negated: boolean;
  readonly range: semver.Range;
  readonly prerelease: boolean;
}

/**
 * Parses a version constraint in helm's dialect (Masterminds/semver v3: comma or space is AND, `||` is OR, `1.2 - 1.4`,
 * `~`, `^`, `!=`, wildcards) into a predicate. Pre-releases match only when a comparator of the same AND group names one
 * (`>=1.0.0-0` is the usual way to ask for them), which is where node-semver differs.
 * `undefined` when the text is no constraint.
 */
export function parseConstraint(text: string): ((version: semver.SemVer) => boolean) | undefined {
  const written = text.trim() === '' ? '*' : text;
  const groups = written
    .replace(hyphenPattern, '>=$1 <=$2')
    .split('||')
    .map((group) => parseGroup(group));
  const known = groups.filter((group) => group !== undefined);
  if (known.length !== groups.length) return undefined;
  return (version) =>
    known.some((group) => {
      if (version.prerelease.length > 0 && !group.some((comparator) => comparator.prerelease)) return false;
      return group.every(
        ({ negated, range }) => semver.satisfies(version, range, { includePrerelease: true }) !== negated,
      );
    });
}

function parseGroup(text: string): readonly Comparator[] | undefined {
  if (text.replaceAll(comparatorPattern, '').replaceAll(/[\s,]/g, '') !== '') return undefined;
  const comparators: Comparator[] = [];
  for (const [, operator = '', major = '*', minor, patch, prerelease] of text.matchAll(comparatorPattern)) {
    const sign = { '=>': '>=', '=<': '<=', '~>': '~', '!=': '=' }[operator] ?? operator;
    // node-semver takes a pre-release only after a full version; helm charts write `>=1.19-0`, and `*-0` for any version.
    const isWildcard = [major, minor, patch].some((each) => each !== undefined && /^[xX*]$/.test(each));
    const numbers =
      prerelease === undefined || isWildcard
        ? [major, minor, patch].filter((each) => each !== undefined).join('.')
        : `${major}.${minor ?? '0'}.${patch ?? '0'}-${prerelease}`;
    try {
      const range = new semver.Range(`${sign}${numbers}`, { includePrerelease: true });
      comparators.push({ negated: operator === '!=', range, prerelease: prerelease !== undefined });
    } catch {
      return undefined;
    }
  }
  return comparators.length === 0 ? undefined : comparators;
}

/** Newest first, texts that are no versions last; the order of equal versions is kept. */
export function newestFirst(versions: readonly string[]): readonly string[] {
  return versions
    .map((text) => ({ text, version: asVersion(text) }))
    .sort((a, b) => {
      if (a.version === undefined || b.version === undefined) return Number(!a.version) - Number(!b.version);
      return semver.compareBuild(b.version, a.version);
    })
    .map(({ text }) => text);
}

/**
 * The version that helm would choose: the one written exactly as asked for, else the newest that satisfies the text as
 * a constraint (so `1.2.3` finds `v1.2.3`). helm pkg/repo/index.go `IndexFile.Get`, pkg/registry
 * `GetTagMatchingVersionOrConstraint`. `undefined` when none does or the text is no constraint.
 */
export function chooseVersion(available: readonly string[], wanted: string): string | undefined {
  if (wanted !== '' && available.includes(wanted)) return wanted;
  const matches = parseConstraint(wanted);
  if (matches === undefined) return undefined;
  const sorted = newestFirst(available);
  // Of versions that differ in build metadata only (equal to helm) the one asked for.
  const exact = isExactVersion(wanted) ? asVersion(wanted) : undefined;
  const same = exact && sorted.find((text) => asVersion(text)?.raw === exact.raw);
  if (same !== undefined) return same;
  return sorted.find((text) => {
    const version = asVersion(text);
    return version !== undefined && matches(version);
  });
}

/** The tag for a chart version: registries allow no `+` in tags (helm pkg/registry: `+` becomes `_`). */
export function tagOfVersion(version: string): string {
  return version.replaceAll('+', '_');
}

/** The chart version that a tag stands for: the inverse of `tagOfVersion`. */
export function versionOfTag(tag: string): string {
  return tag.replaceAll('_', '+');
}

/** Up to ten of the available versions for an error message: the closest in number to the one asked for, newest first. */
export function nearbyVersions(available: readonly string[], wanted: string): string {
  const sorted = newestFirst(available);
  const version = asVersion(wanted);
  if (version === undefined || sorted.length <= 10) return listed(sorted, sorted.length);
  const below = sorted.findIndex((text) => {
    const each = asVersion(text);
    return each === undefined || semver.compare(each, version) <= 0;
  });
  const start = below < 0 ? sorted.length - 10 : Math.max(0, Math.min(below - 5, sorted.length - 10));
  return listed(sorted.slice(start, start + 10), sorted.length);
}

function listed(shown: readonly string[], total: number): string {
  const some = shown.slice(0, 10);
  return `${some.join(', ')}${total > some.length ? ` and ${total - some.length} more` : ''}`;
}

/** Up to ten names closest to the one asked for (edit distance; names that contain it come first). */
export function nearbyNames(available: readonly string[], wanted: string): string {
  const ranked = [...available]
    .map((name) => ({
      name,
      distance: name.includes(wanted) || wanted.includes(name) ? 0 : editDistance(name, wanted),
    }))
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1));
  return listed(
    ranked.map(({ name }) => name),
    available.length,
  );
}

/** Levenshtein distance in UTF-16 units. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
