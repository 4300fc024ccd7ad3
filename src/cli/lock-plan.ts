import type { CopyRequest, TargetPlace } from '../copy/request.ts';
import { ReplicationError } from '../model/errors.ts';
import { digestAtTarget, type Lock, type LockedChart, type LockedImage, type LockedReferrer } from '../model/lock.ts';
import { type Plan, type PlannedChart, type PlannedImage, planVersion } from '../model/plan.ts';
import { formatLocation, locate, parseReference } from '../model/reference.ts';
import { type Failure, failureOf, type Outcome } from '../model/result.ts';
import type { ReadStore, WriteStore } from '../model/store.ts';
import { splitTarget } from '../model/target-name.ts';
import type { EksPlan } from '../sources/eks/plan.ts';
import { imageRequest, targetPlace } from './copy-requests.ts';
import { copiedDigests } from './lock.ts';
import { onePerRepository } from './lock-contents.ts';
import { parsePlatforms } from './platform-text.ts';
import type { Session } from './session.ts';

/** @throws ReplicationError `usage` when the lock is another job's */
export function checkJob(lock: Lock, job: string, path: string): void {
  if (lock.job === job) return;
  throw new ReplicationError('usage', `${path} is the lock of a run of "${lock.job}", not of "${job}"`, {
    reference: path,
    remedy: `pass it to image-replication ${lock.job}`,
  });
}

/** The plan of a locked run: every source has its digest from the start, so that no tag is asked about. */
export function planFromLock(lock: Lock): Plan {
  return {
    version: planVersion,
    job: lock.job,
    images: lock.images.map(plannedImage),
    charts: lock.charts.map(plannedChart),
  };
}

/** What planning from data files gives, as far as a lock tells it. */
export type LockedEksPlan = Pick<EksPlan, 'plan' | 'result' | 'updatedImages' | 'problems' | 'notices'>;

/**
 * The locked run of the EKS job: what planning from the data files gives otherwise, result included.
 * @param prefix P: `<registry>/<project>-` of this run
 * @throws ReplicationError `configuration` when the lock was written for another registry or project: the values name it
 */
export function eksPlanFromLock(lock: Lock, prefix: string, path: string): LockedEksPlan {
  const plan = planFromLock(lock);
  if (lock.eks === undefined) throw new ReplicationError('configuration', `${path} has no "eks" part`);
  const targets = [...plan.images.flatMap((image) => image.targets), ...plan.charts.map((chart) => chart.target)];
  const foreign = targets.find((target) => !target.startsWith(prefix));
  if (foreign !== undefined) {
    throw new ReplicationError(
      'configuration',
      `${path} was written for another target: ${foreign} is not below ${prefix}`,
      {
        reference: foreign,
        remedy:
          'run with the project, account and region that the lock was written for, or without --lock to write one for these',
      },
    );
  }
  return {
    plan,
    result: {
      ami: { version: lock.eks.amiVersion },
      charts: Object.fromEntries(lock.charts.map((chart) => [chart.key, replicatedChart(chart)])),
      additional_images: lock.eks.additionalImages,
    },
    updatedImages: lock.eks.updatedImages,
    problems: [],
    notices: [],
  };
}

function replicatedChart({ name, version, source, target, values }: LockedChart): EksPlan['result']['charts'][string] {
  const { host, repository } = splitTarget(target);
  const helm = { name, version, repository: `oci://${host}/${repository}`, srcRepository: source.repository };
  // Values came from JSON, so they are JSON.
  return { helm, values: values as EksPlan['result']['charts'][string]['values'] };
}

function plannedImage({ source, digest, platforms, targets, origins }: LockedImage): PlannedImage {
  return { kind: 'image', source, digest, platforms, targets, origins: origins.map((path) => ({ path })) };
}

function plannedChart({ key, name, version, source, target, digest, values }: LockedChart): PlannedChart {
  const { repository } = source;
  return { kind: 'chart', key, name, version, repository, target, digest, values, origins: [] };
}

/** Where a locked run reads and writes. */
export interface LockStores {
  readonly source: (host: string) => ReadStore;
  readonly target: (host: string) => WriteStore;
}

/** Copies of all images by digest, and of exactly those signatures and attestations that the lock names. */
export function lockRequests(lock: Lock, stores: LockStores): readonly CopyRequest[] {
  const images = lock.images.map((image) => imageRequest(plannedImage(image), stores.source, stores.target));
  return [...images, ...lock.images.flatMap((image) => imageReferrers(image, stores)), ...chartReferrers(lock, stores)];
}

function imageReferrers(image: LockedImage, stores: LockStores): readonly CopyRequest[] {
  const { registry, repository } = locate(parseReference(image.source));
  const targets = image.targets.map((target) => targetPlace(target, stores.target(splitTarget(target).host)));
  return image.referrers.map((referrer) => referrerRequest(referrer, { registry, repository }, targets, stores));
}

function chartReferrers(lock: Lock, stores: LockStores): readonly CopyRequest[] {
  return lock.charts.flatMap((chart) => {
    const { oci } = chart.source;
    if (oci === undefined) return [];
    const { registry, repository } = locate(parseReference(oci.place));
    const targets = [targetPlace(chart.target, stores.target(splitTarget(chart.target).host))];
    return chart.referrers.map((referrer) => referrerRequest(referrer, { registry, repository }, targets, stores));
  });
}

function referrerRequest(
  { reference, digest }: LockedReferrer,
  { registry, repository }: { readonly registry: string; readonly repository: string },
  targets: readonly TargetPlace[],
  stores: LockStores,
): CopyRequest {
  return {
    artifact: formatLocation({ registry, repository, reference }),
    source: { store: stores.source(registry), repository, reference: digest },
    targets: onePerRepository(targets).map((place) => ({ ...place, reference })),
    platforms: parsePlatforms('all'),
  };
}

/** A session whose copies bring along what is asked for and no more: a locked run names referrers one by one. */
export function lockedSession(session: Session): Session {
  return { ...session, copyOptions: () => ({ ...session.copyOptions(), referrers: false }) };
}

/** Images that came out other than the lock says: an index that is cut in another way than it was. */
export function lockMismatches(lock: Lock, outcomes: readonly Outcome[]): readonly Failure[] {
  const copied = copiedDigests(outcomes);
  return lock.images.flatMap((image) => {
    const digest = digestAtTarget(image);
    const found = copied.get(image.source);
    if (image.cut === undefined || found === undefined || found === digest) return [];
    const why = `the lock says that the platforms ${String(image.platforms)} of it are ${digest}, and they came out as ${found}`;
    const error = new ReplicationError('corrupt', why, {
      side: 'module',
      reference: image.source,
      digest,
      remedy: 'use the version of this program that wrote the lock, or write the lock anew',
    });
    return [failureOf(image.source, error)];
  });
}

/**
 * The lock for another target: the same artifacts below another beginning. Values keep the names they have.
 * @param root what takes the place of `lock.target`, `/` at its end
 * @throws ReplicationError `usage` when the lock's targets have no beginning in common
 */
export function movedLock(lock: Lock, root: string, path: string): Lock {
  const { target } = lock;
  if (target === undefined) {
    throw new ReplicationError('usage', `${path} has targets in several registries, which --target cannot replace`, {
      reference: path,
      remedy: 'leave out --target',
    });
  }
  const moved = (name: string): string => root + name.slice(target.length);
  return {
    ...lock,
    target: root,
    images: lock.images.map((image) => ({ ...image, targets: image.targets.map(moved) })),
    charts: lock.charts.map((chart) => ({ ...chart, target: moved(chart.target) })),
  };
}
