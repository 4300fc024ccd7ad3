import { createHash } from 'node:crypto';
import type { MirrorSection } from '../sources/mirror/mirror-file.ts';

/** What is remembered of a section between two passes. Times are milliseconds since 1970. */
export interface SectionState {
  readonly section: string;
  /** Of what it said when it was last looked at. */
  readonly fingerprint: string;
  /** When it was last looked at. */
  readonly checked: number;
  /** When it is due again; `undefined`: never. */
  readonly next: number | undefined;
  /** Failed attempts since the last good one. */
  readonly failures: number;
  readonly error: string | undefined;
}

/** How a pass ended for a section; `error` is for people. */
export type SectionResult = { readonly kind: 'done' } | { readonly kind: 'failed'; readonly error: string };

/** A section that says something else, or goes elsewhere, is done anew. @param target names the target, such as `ecr 123456789012 eu-west-1` */
function fingerprintOf(section: MirrorSection, target: string): string {
  const { source, tags, platforms, target: repository } = section;
  return createHash('sha256')
    .update(JSON.stringify([target, source, tags, platforms, repository]))
    .digest('hex');
}

/** `now` in milliseconds since the epoch; `target` as fingerprints name it. */
export interface DueOptions {
  readonly now: number;
  readonly target: string;
  /** Whoever runs the program by hand, or as a CronJob, does not wait for a back-off. */
  readonly retryFailed: boolean;
}

/** When a section is due: 0 for now, `undefined` for never. */
export function dueTime(
  section: MirrorSection,
  state: SectionState | undefined,
  { target, retryFailed }: Pick<DueOptions, 'target' | 'retryFailed'>,
): number | undefined {
  if (state === undefined || state.fingerprint !== fingerprintOf(section, target)) return 0;
  if (state.failures > 0) return retryFailed ? 0 : (state.next ?? 0);
  if (section.refreshSeconds === undefined) return undefined;
  // The interval may have been shortened since, or lengthened.
  const newest = state.checked + (section.refreshSeconds * 1000 + jitterSpan(section.refreshSeconds));
  const oldest = state.checked + section.refreshSeconds * 1000;
  return Math.min(Math.max(state.next ?? oldest, oldest), newest);
}

/** Sections that are due now, in the order of the file. */
export function dueSections(
  sections: readonly MirrorSection[],
  states: ReadonlyMap<string, SectionState>,
  options: DueOptions,
): readonly MirrorSection[] {
  return sections.filter((section) => {
    const due = dueTime(section, states.get(section.name), options);
    return due !== undefined && due <= options.now;
  });
}

const firstPauseMs = 30_000;
const longestPauseMs = 3_600_000;

/** Milliseconds by which a refresh may come later, so that many sections do not ask one registry in the same second. */
function jitterSpan(refreshSeconds: number): number {
  return Math.min(refreshSeconds * 100, 600_000);
}

/** When a section was tried, in milliseconds since the epoch, and where it went. */
export interface Attempt {
  readonly now: number;
  readonly target: string;
  /** From 0 to 1. */
  readonly random: number;
}

/**
 * What is remembered after an attempt. After a failure the next one comes after 30 s, 1 min, 2 min, … up to an hour and
 * never later than the section's own interval, each time shortened by up to a half at random.
 */
export function stateAfter(
  section: MirrorSection,
  before: SectionState | undefined,
  result: SectionResult,
  { now, target, random }: Attempt,
): SectionState {
  const common = { section: section.name, fingerprint: fingerprintOf(section, target), checked: now };
  const { refreshSeconds } = section;
  if (result.kind === 'done') {
    const next =
      refreshSeconds === undefined ? undefined : now + refreshSeconds * 1000 + random * jitterSpan(refreshSeconds);
    return { ...common, next: next === undefined ? undefined : Math.round(next), failures: 0, error: undefined };
  }
  const failures = (before?.failures ?? 0) + 1;
  const own = refreshSeconds === undefined ? longestPauseMs : refreshSeconds * 1000;
  const pause = Math.min(firstPauseMs * 2 ** Math.min(failures - 1, 20), longestPauseMs, own);
  return { ...common, next: Math.round(now + pause * (1 - random / 2)), failures, error: result.error };
}
