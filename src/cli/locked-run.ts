import { ReplicationError, toReplicationError } from '../model/errors.ts';
import type { Lock } from '../model/lock.ts';
import { type Failure, failureOf, type Totals } from '../model/result.ts';
import { lockedSession, lockMismatches, lockRequests, type LockStores, movedLock } from './lock-plan.ts';
import { replicate } from './replicate.ts';
import type { Session } from './session.ts';

/**
 * A lock is for the registry that it names. Only a target that is named on the command line takes its place.
 * @param root what names at the run's target begin with, `/` at its end
 * @throws ReplicationError `configuration` when the lock is for another registry
 */
export function lockAt(lock: Lock, root: string, named: boolean, path: string): Lock {
  const foreign = lock.images.flatMap(({ targets }) => targets).find((target) => !target.startsWith(root));
  if (foreign === undefined) return lock;
  if (named) return movedLock(lock, root, path);
  throw new ReplicationError('configuration', `${path} was written for another target: ${foreign} is not on ${root}`, {
    reference: foreign,
    remedy: 'name the target on the command line, or run in the account and region that the lock was written for',
  });
}

/** Copies images, and those signatures and attestations that a lock names, by digest; the target proves that it has them whole. */
export async function replicateLock(
  session: Session,
  lock: Lock,
  stores: LockStores,
): Promise<{ readonly failures: readonly Failure[]; readonly totals: Totals }> {
  const { outcomes, totals, notices, ...copied } = await replicate(lockedSession(session), {
    images: lockRequests(lock, stores),
    charts: [],
    verify: true,
  });
  for (const message of notices) session.reporter.emit({ type: 'notice', level: 'warning', message });
  const failures = [...copied.failures, ...lockMismatches(lock, outcomes)];
  if (failures.length === 0 && session.admission.aborted)
    failures.push(failureOf('run', toReplicationError(session.admission.reason)));
  return { failures, totals };
}

/** Refuses options whose part a lock plays. @param given names of those that were given */
export function refuseBesideLock(given: readonly string[]): void {
  if (given.length === 0) return;
  throw new ReplicationError('usage', 'a lock says which images go where, under which tags and on which platforms', {
    remedy: `leave out ${given.join(', ')}, or --lock`,
  });
}
