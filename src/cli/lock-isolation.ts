import type { ChartIsolation } from '../model/isolation.ts';
import type { Lock } from '../model/lock.ts';

/** The proof in a lock, as a run tells it. What a lock leaves out (times, costs, rendered texts, names of objects) is empty. */
export function lockedProof(lock: Lock): readonly ChartIsolation[] {
  return lock.charts.flatMap(({ key, name, version, target, isolation }) => {
    if (isolation === undefined) return [];
    const derived = isolation.derived.map((template) => ({ template, before: '', after: '' }));
    return [{ ...isolation, key, name, version, target, derived, rejected: [], renders: 0, seconds: 0 }];
  });
}
