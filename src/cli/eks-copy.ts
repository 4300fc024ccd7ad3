import { toReplicationError } from '../model/errors.ts';
import { failureOf } from '../model/result.ts';
import type { ReplicationWork } from './one-try.ts';
import { type Replication, replicate } from './replicate.ts';
import type { Session } from './session.ts';
import type { Target } from './target.ts';

/**
 * Copies, after every repository that the run uses got its owner's tag: those that hold everything already get it, too, and
 * they get it before anything is pushed.
 */
export async function claimAndReplicate(session: Session, work: ReplicationWork, target: Target): Promise<Replication> {
  const requests = [...work.charts.map((chart) => chart.request), ...work.images];
  const repositories = new Set(requests.flatMap((request) => request.targets.map((place) => place.repository)));
  const claimed = await Promise.allSettled(
    [...repositories].map((repository) => target.store.ensureRepository(repository, session.signal)),
  );
  const replication = await replicate(session, work);
  const refused = claimed.flatMap((each) =>
    each.status === 'rejected' ? [toReplicationError(each.reason, { side: 'target', host: target.host })] : [],
  );
  const known = new Set(replication.failures.map((failure) => failure.cause));
  const further = refused
    .filter((error) => !known.has(error.message))
    .map((error) => failureOf(error.reference ?? 'repository', error));
  return { ...replication, failures: [...replication.failures, ...further] };
}
