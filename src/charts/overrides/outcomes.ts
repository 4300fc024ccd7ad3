import { registryAsName } from '../../model/target-name.ts';
import type { FoundReference } from '../discovery/found.ts';
import type { Choice, Need } from './assign.ts';
import type { Candidate } from './candidates.ts';
import { placeKey } from './pair-up.ts';
import type { Outcome, ReferenceOutcome, Refusal } from './port.ts';
import type { ProfileList } from './profile-lists.ts';
import type { Baseline } from './probe.ts';
import { formatPath, type ValuePath } from '../values/tree.ts';

/** A candidate that stays out, and the references that it is known to move. */
export interface RefusedCandidate extends Refusal {
  readonly candidate: Candidate;
  readonly moves: readonly string[];
}

export interface Findings {
  readonly baselines: readonly Baseline[];
  readonly needs: ReadonlyMap<FoundReference, Need>;
  readonly by: ReadonlyMap<Need, Choice>;
  readonly became: ReadonlyMap<FoundReference, string>;
  readonly refusals: readonly RefusedCandidate[];
  /** Values that pin a reference by digest. */
  readonly pins: ReadonlyMap<Need, readonly ValuePath[]>;
  /** Whether the budget of renders ran out. */
  readonly spent: boolean;
  /** Values that set a part of a reference but not its beginning, by its text. */
  readonly inner: ReadonlyMap<string, readonly ValuePath[]>;
  /** References that a profile names in a list of its own. */
  readonly inLists: ReadonlyMap<string, ProfileList>;
}

/** What became of each reference; the same place with the same reference and outcome is one row for all profiles. */
export function outcomesOf(findings: Findings): readonly ReferenceOutcome[] {
  const rows = new Map<string, { found: FoundReference; profiles: string[]; outcome: Outcome }>();
  for (const { profile, references } of findings.baselines) {
    const seen = new Map<string, number>();
    for (const found of references) {
      const outcome = outcomeOf(found, findings);
      const key = `${placeKey(found)}\0${found.text}\0${JSON.stringify(outcome)}`;
      const ordinal = (seen.get(key) ?? 0) + 1;
      seen.set(key, ordinal);
      const row = rows.get(`${key}\0${ordinal}`);
      if (row === undefined) rows.set(`${key}\0${ordinal}`, { found, profiles: [profile], outcome });
      else row.profiles.push(profile);
    }
  }
  return [...rows.values()];
}

function outcomeOf(found: FoundReference, findings: Findings): Outcome {
  const need = findings.needs.get(found);
  if (need === undefined) return { kind: 'left' };
  const choice = findings.by.get(need);
  if (choice === undefined) return unmoved(need, findings);
  const target = findings.became.get(found) ?? choice.serves.get(need) ?? need.target;
  const pins = findings.pins.get(need) ?? [];
  return {
    kind: 'repointed',
    target,
    by: [...new Set([choice.setting.path, ...pins])],
    pinned: pins.length > 0 || found.text.includes('@'),
  };
}

function unmoved({ found: { text: written }, target }: Need, { refusals, inner, inLists, spent }: Findings): Outcome {
  const list = inLists.get(written);
  if (list !== undefined) {
    const why = `it stands in a list of its own of profile ${list.profile} (${list.path}), and published values would replace that list under every profile: write ${target} there instead`;
    return { kind: 'uncontrolled', why };
  }
  const own = refusals.filter(({ candidate, moves }) => moves.includes(written) || begins(written, candidate));
  const first = own[0];
  if (first !== undefined) return { kind: 'refused', by: own.map(({ path }) => path), why: first.why };
  if (spent)
    return { kind: 'unknown', why: 'the renders that were allowed are spent, and no value is known that moves it' };
  const parts = inner.get(written) ?? [];
  if (parts.length === 0)
    return { kind: 'uncontrolled', why: 'no value changes it: it stands in the template, or is computed there' };
  const names = parts.map(formatPath).join(', ');
  const why = `its host is in no value: ${names} ${parts.length === 1 ? 'sets' : 'set'} only what stands behind it`;
  return { kind: 'uncontrolled', why };
}

function begins(written: string, { edit, text, holds }: Candidate): boolean {
  if (edit === 'embed') return holds.includes(written);
  return edit === 'prefix' && registryAsName(written).startsWith(registryAsName(text));
}
