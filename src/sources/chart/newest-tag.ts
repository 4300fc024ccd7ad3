import semver from 'semver';
import { asVersion } from '../../charts/version.ts';

/** How recent a tag is, as far as its text tells. Later kinds in this list count for less. */
type Age =
  | { readonly kind: 'version'; readonly version: semver.SemVer; readonly parts: number }
  | { readonly kind: 'date'; readonly stamp: string }
  | { readonly kind: 'pre-release'; readonly version: semver.SemVer; readonly parts: number }
  | { readonly kind: 'none' };

/** `20240115`, `2024-01-15`, `2024.01.15-1030`, `20240115T103000Z`: year, month, day, and hour, minute, second where there are. */
const date =
  /(?:^|[^0-9])(20\d\d)([-._]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?:[T._-]?([01]\d|2[0-3])[:_-]?([0-5]\d)(?:[:_-]?([0-5]\d))?)?(?![0-9])/;

/** Signatures and the like lie under tags made of digests (cosign `sha256-<hex>.sig`, OCI referrers `sha256-<hex>`). */
const notAnImage = /^sha(?:256|512)-[0-9a-f]{64,}/;

export interface TagChoice {
  /** The tag whose text says that it is the most recent; `undefined` when none says anything. */
  readonly newest: string | undefined;
  /** Tags whose text says nothing of their age (`main-6b40e56`): when they were made has to be asked. */
  readonly undated: readonly string[];
  /** There is a `latest`, which says nothing beyond its name. */
  readonly hasLatest: boolean;
}

/**
 * The most recent of an image's tags by what they say: the highest released version, else the latest date, else the highest
 * pre-release. Never alphabetical: `1.10.0` is newer than `1.9.0`. Of equal ones the more complete wins (`1.25.0`, not `1.25`).
 */
export function chooseNewest(tags: readonly string[]): TagChoice {
  const images = tags.filter((tag) => !notAnImage.test(tag) && tag !== 'latest');
  const aged = images.map((tag) => ({ tag, age: ageOf(tag) }));
  const undated = aged.filter(({ age }) => age.kind === 'none').map(({ tag }) => tag);
  const newest = aged.filter(({ age }) => age.kind !== 'none').sort(newestFirst)[0]?.tag;
  return { newest, undated, hasLatest: tags.includes('latest') };
}

function ageOf(tag: string): Age {
  const stamp = stampOf(tag);
  if (stamp !== undefined && /^v?20\d\d/.test(tag)) return { kind: 'date', stamp };
  // Many digits alone are a build's number or a piece of a hash, and no major version.
  const version = /^v?\d{5,}$/.test(tag) ? undefined : asVersion(tag);
  if (version !== undefined) {
    const parts = tag.split(/[-+]/)[0]?.split('.').length ?? 0;
    return { kind: version.prerelease.length === 0 ? 'version' : 'pre-release', version, parts };
  }
  return stamp === undefined ? { kind: 'none' } : { kind: 'date', stamp };
}

function stampOf(tag: string): string | undefined {
  const match = date.exec(tag);
  if (match === null) return undefined;
  const [, year = '', , month = '', day = '', hour = '00', minute = '00', second = '00'] = match;
  return `${year}${month}${day}${hour}${minute}${second}`;
}

const ranks: Readonly<Record<Age['kind'], number>> = { version: 0, date: 1, 'pre-release': 2, none: 3 };

interface Aged {
  readonly tag: string;
  readonly age: Age;
}

function newestFirst(a: Aged, b: Aged): number {
  if (a.age.kind !== b.age.kind) return ranks[a.age.kind] - ranks[b.age.kind];
  if ('version' in a.age && 'version' in b.age)
    return semver.compareBuild(b.age.version, a.age.version) || b.age.parts - a.age.parts;
  if (a.age.kind === 'date' && b.age.kind === 'date' && a.age.stamp !== b.age.stamp)
    return a.age.stamp > b.age.stamp ? -1 : 1;
  // The same date twice: a running number behind it decides (`2024-01-15.10` after `2024-01-15.9`).
  return b.tag.localeCompare(a.tag, 'en', { numeric: true });
}
