import type { ChartIsolation } from '../model/isolation.ts';
import type { Lock } from '../model/lock.ts';
import { fileNames } from '../publish/consumers/names.ts';
import { planFromLock } from './lock-plan.ts';

/** The proof in a lock, as a run tells it. What a lock leaves out (times, costs, rendered texts, names of objects) is empty. */
export function lockedProof(lock: Lock): readonly ChartIsolation[] {
  return lock.charts.flatMap(({ key, name, version, target, isolation }) => {
    if (isolation === undefined) return [];
    const derived = isolation.derived.map((template) => ({ template, before: '', after: '' }));
    return [{ ...isolation, key, name, version, target, derived, rejected: [], renders: 0, seconds: 0 }];
  });
}

/** What a run says of a proof that it has not made itself; `undefined` where a lock has none. */
export function proofNotice(isolation: readonly ChartIsolation[]): string | undefined {
  if (isolation.length === 0) return undefined;
  const open = isolation.some(({ references }) => references.some(({ outcome }) => outcome === 'uncontrolled'));
  const remedies = open ? '; for remedies of what no value moves, run without --lock' : '';
  return `the proof is that of the lock: no chart is rendered again, as the same charts and images, by digest, are put under the same names${remedies}`;
}

/** Patches of the charts that were changed, by path below the run's folder. */
export function lockedPatches(lock: Lock): Readonly<Record<string, string>> {
  const patches = new Map(
    lock.charts.flatMap(({ key, patch }) => (patch === undefined ? [] : [[key, patch] as const])),
  );
  const files = [...fileNames(planFromLock(lock).charts)].flatMap(([{ key }, name]) => {
    const patch = patches.get(key);
    return patch === undefined ? [] : [[`patches/${name}.patch`, patch] as const];
  });
  return Object.fromEntries(files);
}
