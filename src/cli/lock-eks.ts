import type { FetchedChart } from '../charts/fetch.ts';
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
import type { ChartCopy, ReplicationWork } from './replicate.ts';
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

/** Changes a chart as it was changed before it was pushed (a patch); it has to come out with the locked digest. */
export type Repatch = (chart: LockedChart, fetched: FetchedChart) => Promise<FetchedChart>;

/**
 * What a locked run of the EKS job copies: images, charts and referrers by digest. To be replicated with `lockedSession`.
 * @throws ReplicationError `conflict` when a chart is another archive now, `unsupported` for a patched one without `repatch`
 */
export async function eksLockWork(
  lock: Lock,
  places: { readonly sources: ChartSources; readonly target: WriteStore; readonly signal: AbortSignal },
  repatch?: Repatch,
): Promise<ReplicationWork> {
  const { sources, target, signal } = places;
  // Two keys may want the same chart; it is copied once.
  const distinct = [...new Map(lock.charts.map((chart) => [chart.target, chart])).values()];
  const planned = new Map(planFromLock(lock).charts.map((chart) => [chart.key, chart]));
  const charts = await Promise.all(
    distinct.map(async (chart): Promise<readonly ChartCopy[]> => {
      const request = planned.get(chart.key);
      const fetched = await asLocked(chart, await fetchLockedChart(chart, sources, signal), repatch);
      return request === undefined ? [] : [await chartRequest(request, fetched, sources.store, target, signal)];
    }),
  );
  const images = lockRequests(lock, { source: sources.store, target: () => target });
  return { images, charts: charts.flat(), verify: true };
}

async function asLocked(
  chart: LockedChart,
  fetched: FetchedChart,
  repatch: Repatch | undefined,
): Promise<FetchedChart> {
  if (chart.digest === fetched.digest) return fetched;
  const patched = await repatch?.(chart, fetched);
  if (patched?.digest === chart.digest) return patched;
  const detail = { reference: `${chart.name} ${chart.version}`, digest: chart.digest };
  if (patched === undefined)
    throw new ReplicationError(
      'unsupported',
      `chart ${chart.name} ${chart.version} was patched, which a lock cannot repeat`,
      {
        ...detail,
        remedy: 'run without --lock',
      },
    );
  throw new ReplicationError('conflict', `chart ${chart.name} ${chart.version} is patched to ${patched.digest} now`, {
    ...detail,
    remedy: 'use the version of this program that wrote the lock, or write the lock anew',
  });
}
