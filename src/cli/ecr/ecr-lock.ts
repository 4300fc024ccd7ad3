import { resolve } from 'node:path';
import type { CopyRequest } from '../../copy/request.ts';
import { type Digest, isDigest } from '../../model/digest.ts';
import { ReplicationError } from '../../model/errors.ts';
import type { Lock } from '../../model/lock.ts';
import type { Outcome } from '../../model/result.ts';
import type { ReadStore } from '../../model/store.ts';
import { readLock, writeLock } from '../../publish/lock.ts';
import { plannedImage } from '../copy-requests.ts';
import { buildLock, copiedDigests } from '../lock.ts';
import { checkJob, lockRequests } from '../lock-plan.ts';
import { lockAt } from '../locked-run.ts';
import type { Session } from '../session.ts';
import type { Destination, EcrWork } from './work.ts';

/** A lock with the file that it was read from. */
export interface ReadLock {
  readonly lock: Lock;
  readonly path: string;
  /** What it names, as a list of images would. */
  readonly images: readonly { readonly name: string }[];
}

/** @throws ReplicationError `usage` when it is another job's, `configuration` when it is none */
export async function readEcrLock(path: string): Promise<ReadLock> {
  const lock = await readLock(path);
  checkJob(lock, 'ecr', path);
  return { lock, path, images: lock.images.map(({ source }) => ({ name: source })) };
}

/**
 * What a lock says instead of a comparison. The destination is always named on the command line: a lock may as well be
 * replicated to another registry than the one that it was written for.
 * @throws ReplicationError `usage`, `configuration`
 */
export function lockedWork(
  { lock: written, path }: ReadLock,
  sources: (host: string) => ReadStore,
  destination: Destination,
): { readonly work: EcrWork; readonly lock: Lock } {
  const lock = lockAt(written, `${destination.host}/`, true, path);
  const copy = lockRequests(lock, { source: sources, target: () => destination.store });
  return { lock, work: { copy, unchanged: [], failures: [], absent: [], deleted: [], repositories: [] } };
}

/** The one registry that a run from ECR reads. */
export function onlyHost(store: ReadStore, host: string, path: string): (asked: string) => ReadStore {
  return (asked) => {
    if (asked === host) return store;
    throw new ReplicationError('configuration', `${path} names images of ${asked}, and the source is ${host}`, {
      reference: path,
      remedy: 'pass --src-region and --src-account of the registry that the lock was written for',
    });
  };
}

/** Leaves `replication.lock.json`: everything that was copied or found to be there already, by digest. @returns its path */
export async function leaveEcrLock(
  session: Session,
  { copy, unchanged }: EcrWork,
  destination: Destination,
  outcomes: readonly Outcome[],
  out: string,
): Promise<readonly string[]> {
  const requests = [...copy, ...unchanged];
  const stores = new Map(requests.map(({ source }) => [source.store.name, source.store]));
  const lock = await buildLock({
    job: 'ecr',
    target: `${destination.host}/`,
    images: requests.map((request) => plannedImage(request, { host: destination.host })),
    charts: [],
    isolation: [],
    copied: new Map([...unchangedDigests(unchanged), ...copiedDigests(outcomes)]),
    sourceStore: (host) => {
      const store = stores.get(host);
      if (store === undefined) throw new ReplicationError('internal', `nothing was copied from ${host}`);
      return store;
    },
    targetStore: () => destination.store,
    signal: session.signal,
  });
  return writeLock(resolve(out), lock);
}

function unchangedDigests(unchanged: readonly CopyRequest[]): ReadonlyMap<string, Digest> {
  return new Map(
    unchanged.flatMap(({ artifact, source }) => (isDigest(source.reference) ? [[artifact, source.reference]] : [])),
  );
}
