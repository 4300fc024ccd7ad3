import type { FetchedChart } from '../charts/fetch.ts';
import { patchedAsFetched } from '../charts/patch/as-fetched.ts';
import { repeatPatch } from '../charts/patch/repeat-patch.ts';
import { ReplicationError } from '../model/errors.ts';
import type { ChartIsolation } from '../model/isolation.ts';
import type { Lock, LockedChart } from '../model/lock.ts';
import type { PlannedChart } from '../model/plan.ts';
import type { Outcome } from '../model/result.ts';
import type { WriteStore } from '../model/store.ts';
import type { EksPlan } from '../sources/eks/plan.ts';
import { chartRequest } from './copy-requests.ts';
import { buildLock, copiedDigests, type ReplicatedChart } from './lock.ts';
import { type ChartSources, fetchLockedChart } from './lock-charts.ts';
import { lockRequests, planFromLock } from './lock-plan.ts';
import type { ChartCopy, ReplicationWork } from './one-try.ts';
import type { Target } from './target.ts';

export interface EksLockInput {
  readonly plan: Pick<EksPlan, 'plan' | 'result' | 'updatedImages'>;
  /** Hosts that the user's own data files name. */
  readonly ownHosts?: ReadonlySet<string> | undefined;
  /** After the proof. */
  readonly isolation: readonly ChartIsolation[];
  readonly outcomes: readonly Outcome[];
  readonly fetched: (chart: PlannedChart) => Promise<Omit<ReplicatedChart, 'chart'>>;
  readonly sources: ChartSources;
  readonly target: Pick<Target, 'store' | 'host' | 'path'>;
  readonly signal: AbortSignal;
}

/** The lock of a run of the EKS job, once everything is copied, verified and proven. @throws as `buildLock` */
export async function eksLock(input: EksLockInput): Promise<Lock> {
  const { plan, result, updatedImages } = input.plan;
  const { target } = input;
  return buildLock({
    job: plan.job,
    target: `${target.host}/${target.path}`,
    images: plan.images,
    charts: await Promise.all(plan.charts.map(async (chart) => ({ chart, ...(await input.fetched(chart)) }))),
    isolation: input.isolation,
    eks: {
      amiVersion: result.ami.version,
      additionalImages: { ...result.additional_images },
      updatedImages: updatedImages.map((each) => ({ ...each })),
      ...(input.ownHosts === undefined || input.ownHosts.size === 0 ? {} : { ownHosts: [...input.ownHosts].sort() }),
    },
    copied: copiedDigests(input.outcomes),
    sourceStore: input.sources.store,
    targetStore: () => target.store,
    signal: input.signal,
  });
}

/**
 * What a locked run of the EKS job copies: images, charts and referrers by digest. To be replicated with `lockedSession`.
 * @throws ReplicationError `conflict` when a chart is another archive now, or a patch gives another one
 */
export async function eksLockWork(
  lock: Lock,
  places: { readonly sources: ChartSources; readonly target: WriteStore; readonly signal: AbortSignal },
): Promise<ReplicationWork> {
  const { sources, target, signal } = places;
  // Two keys may want the same chart; it is copied once.
  const distinct = [...new Map(lock.charts.map((chart) => [chart.target, chart])).values()];
  const planned = new Map(planFromLock(lock).charts.map((chart) => [chart.key, chart]));
  const charts = await Promise.all(
    distinct.map(async (chart): Promise<readonly ChartCopy[]> => {
      const request = planned.get(chart.key);
      const fetched = await asLocked(chart, await fetchLockedChart(chart, sources, signal));
      return request === undefined ? [] : [await chartRequest(request, fetched, sources.store, target, signal)];
    }),
  );
  const images = lockRequests(lock, { source: sources.store, target: () => target });
  return { images, charts: charts.flat(), verify: true };
}

/** The chart as it is at the target: patched as it was then, where it was. */
async function asLocked(chart: LockedChart, fetched: FetchedChart): Promise<FetchedChart> {
  const pushed =
    chart.patch === undefined
      ? fetched
      : await patchedAsFetched(fetched, await repeatPatch(fetched.archive, chart.patch));
  if (pushed.digest === chart.digest) return pushed;
  throw new ReplicationError('conflict', `chart ${chart.name} ${chart.version} comes out as ${pushed.digest} now`, {
    reference: `${chart.name} ${chart.version}`,
    digest: chart.digest,
    remedy: 'use the version of this program that wrote the lock, or write the lock anew',
  });
}
