import { parseReference } from '../../model/reference.ts';
import { registryAsName } from '../../model/target-name.ts';
import { isReplicationError } from '../../model/errors.ts';
import type { FoundReference } from '../discovery/found.ts';
import type { Candidate } from './candidates.ts';
import type { Role, Setting } from './port.ts';
import { type Landing, replaceAll } from './probe.ts';
import { formatPath, type ValuePath } from '../values/tree.ts';

/** A reference at one place under one profile that has to be re-pointed. */
export interface Need {
  readonly profile: string;
  readonly found: FoundReference;
  /** The name that it is wanted to have. */
  readonly target: string;
}

/** A value that re-points references, and the names that they get by it. */
export interface Choice {
  readonly setting: Setting;
  readonly serves: ReadonlyMap<Need, string>;
  /** Better replaced by another one, if there is any: a part of a host, or a place inside a list. */
  readonly weak: boolean;
}

/**
 * Makes one value of all that a probe shows of a candidate. References can want different ones (their hosts differ, but
 * one registry value serves them all): then most of them win, and the others get the name that comes out of it.
 */
export function choiceFor(
  candidate: Candidate,
  landings: readonly (Landing & { readonly need: Need })[],
  prefix: string,
): Choice | undefined {
  const votes = new Map<string, number>();
  for (const landing of landings) {
    const value = wantedValue(candidate, landing, landing.need, prefix);
    if (value !== undefined) votes.set(value, (votes.get(value) ?? 0) + 1);
  }
  const value = [...votes].sort((a, b) => b[1] - a[1])[0]?.[0];
  if (value === undefined) return undefined;
  const serves = new Map<Need, string>();
  const names = new Map<string, string>();
  for (const landing of landings) {
    const target = resultOf(candidate, value, landing, landing.need);
    if (target === undefined || !isTarget(target, prefix)) continue;
    const holder = names.get(target);
    if (holder !== undefined && !sameImage(holder, landing.need.found.text)) continue;
    names.set(target, landing.need.found.text);
    serves.set(landing.need, target);
  }
  const first = landings.find(({ need }) => serves.has(need));
  if (first === undefined) return undefined;
  const role = roleOf(candidate, first);
  const insideList = candidate.path.some((key) => typeof key === 'number');
  const setting = { path: candidate.path, role, before: candidate.before, value, insideList };
  return { setting, serves, weak: insideList || role === 'fragment' };
}

/** The value by which this one reference gets the name that is wanted for it, or one that means the same. */
function wantedValue(candidate: Candidate, landing: Landing, need: Need, prefix: string): string | undefined {
  const written = need.found.text;
  switch (candidate.edit) {
    case 'embed':
      return replaceAll(candidate.text, candidate.holds, (reference) => `${prefix}${registryAsName(reference)}`);
    case 'prefix':
      return landing.rest === `/${registryAsName(written)}` ? `${prefix}${registryAsName(candidate.text)}` : undefined;
    case 'fill':
      return [need.target, `${prefix}docker.io/${written}`]
        .slice(0, hasHost(written) ? 1 : 2)
        .filter((target) => target.endsWith(landing.rest))
        .map((target) => target.slice(0, target.length - landing.rest.length))
        .find((value) => value.startsWith(prefix) || `${value}/` === prefix);
  }
}

/** The name that a reference gets by a value. */
function resultOf(candidate: Candidate, value: string, landing: Landing, need: Need): string | undefined {
  const { text } = need.found;
  if (candidate.edit === 'fill') {
    const known = need.target.endsWith(landing.rest) || `/${text}`.endsWith(landing.rest);
    return known ? `${value}${landing.rest}` : undefined;
  }
  if (landing.rest !== `/${registryAsName(text)}`) return undefined;
  if (candidate.edit === 'embed') return need.target;
  const moved = value.slice(0, value.length - registryAsName(candidate.text).length);
  return `${moved}${registryAsName(text)}`;
}

function isTarget(target: string, prefix: string): boolean {
  if (!target.startsWith(prefix) || target.length === prefix.length) return false;
  try {
    parseReference(target);
    return true;
  } catch (error) {
    if (isReplicationError(error)) return false;
    throw error;
  }
}

/** Whether two references name the same thing; tags are compared as they stand. */
function sameImage(a: string, b: string): boolean {
  const spelled = (text: string): string => registryAsName(hasHost(text) ? text : `docker.io/${text}`);
  return spelled(a) === spelled(b);
}

function hasHost(written: string): boolean {
  try {
    return parseReference(written).registry !== undefined;
  } catch (error) {
    if (isReplicationError(error)) return true;
    throw error;
  }
}

/** What the candidate is of the reference, by what stands behind it there. */
function roleOf(candidate: Candidate, { rest, found }: Landing): Role {
  if (candidate.edit === 'embed') return 'image';
  const written = registryAsName(found.text);
  const own = registryAsName(candidate.text).replace(/\/$/, '');
  const behind = candidate.edit === 'fill' ? rest : written.startsWith(own) ? written.slice(own.length) : undefined;
  if (behind === undefined) return byName(candidate.path);
  const role = byWhatFollows(behind);
  return candidate.path.includes('global') && (role === 'registry' || role === 'repository') ? `global ${role}` : role;
}

function byWhatFollows(behind: string): Role {
  if (behind === '') return 'image';
  if (behind.startsWith('/')) return 'registry';
  return behind.startsWith(':') || behind.startsWith('@') ? 'repository' : 'fragment';
}

/** For texts that are templates themselves. */
function byName(path: ValuePath): Role {
  const name = formatPath(path.slice(-1));
  if (/regist|hub/i.test(name)) return path.includes('global') ? 'global registry' : 'registry';
  return /image$/i.test(name) ? 'image' : 'repository';
}
