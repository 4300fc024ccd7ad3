import type { Confirmation } from '../discovery/confirm.ts';
import type { FoundReference } from '../discovery/found.ts';

/** A guess that is taken for no image. */
export interface Rejected {
  /** Its text is what was asked for. */
  readonly found: FoundReference;
  readonly why: string;
}

/** Guesses that no registry confirms, each text once; that nobody could be asked weighs more than a no. */
export function rejectedOf({ rejected, undecided }: Pick<Confirmation, 'rejected' | 'undecided'>): readonly Rejected[] {
  const no = new Map<string, Rejected>();
  for (const found of rejected)
    no.set(found.text, { found, why: 'its registry does not have it, so it is taken for no image' });
  for (const { found, error } of undecided) no.set(found.text, { found, why: `not confirmed: ${error.message}` });
  return [...no.values()];
}
