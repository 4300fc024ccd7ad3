import pLimit from 'p-limit';
import { isReplicationError, type ReplicationError, toReplicationError } from '../../model/errors.ts';
import type { FoundReference } from './found.ts';

/** What became of the guesses. */
export interface Confirmation {
  /** Typed references and confirmed guesses, in the order given. */
  readonly references: readonly FoundReference[];
  /** Guesses that their registry does not have: no images, or images that nobody can pull. */
  readonly rejected: readonly FoundReference[];
  /** Guesses that could not be asked for: the host does not answer, or wants credentials. They are not copied. */
  readonly undecided: readonly { readonly found: FoundReference; readonly error: ReplicationError }[];
}

/** Questions under way at a time; the port paces its hosts itself. */
const questionsAtOnce = 16;

/**
 * Sorts out the guesses (`field` and `text`) by asking whether the reference exists. Typed references are what containers
 * will pull: they are not asked for. Each reference is asked for once, in however many places it stands.
 * @param exists resolves to false when the registry says that the reference is not there, rejects when it cannot be asked
 * @throws ReplicationError `cancelled`, `throttled`, `unavailable`, `deadline`: an answer may come later, and a plan must not
 *   depend on the hour
 */
export async function confirm(
  found: readonly FoundReference[],
  exists: (reference: string, signal: AbortSignal) => Promise<boolean>,
  signal: AbortSignal,
): Promise<Confirmation> {
  const limit = pLimit(questionsAtOnce);
  const guesses = [...new Set(found.filter(({ kind }) => kind !== 'typed').map(({ text }) => text))];
  const ask = async (text: string): Promise<boolean | ReplicationError> => {
    signal.throwIfAborted();
    try {
      return await exists(text, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (isReplicationError(error, 'cancelled', 'throttled', 'unavailable', 'deadline', 'internal')) throw error;
      return toReplicationError(error, { reference: text, side: 'source' });
    }
  };
  const answers = new Map(
    await Promise.all(guesses.map((text) => limit(async () => [text, await ask(text)] as const))),
  );
  const answerFor = (each: FoundReference): boolean | ReplicationError =>
    each.kind === 'typed' || (answers.get(each.text) ?? false);
  return {
    references: found.filter((each) => answerFor(each) === true),
    rejected: found.filter((each) => answerFor(each) === false),
    undecided: found.flatMap((each) => {
      const error = answerFor(each);
      return typeof error === 'boolean' ? [] : [{ found: each, error }];
    }),
  };
}
