import { resolve } from 'node:path';
import type { CopyRequest } from '../copy/request.ts';
import type { CredentialSource } from '../model/credentials.ts';
import { ReplicationError } from '../model/errors.ts';
import type { Lock } from '../model/lock.ts';
import type { Origin, Plan } from '../model/plan.ts';
import type { Outcome } from '../model/result.ts';
import type { ReadStore, WriteStore } from '../model/store.ts';
import { writeLock } from '../publish/lock.ts';
import { lockFrom } from './fleet/input-text.ts';
import type { LazyEcr } from './lazy-ecr.ts';
import { buildLock, copiedDigests } from './lock.ts';
import { checkJob, lockRequests, planFromLock } from './lock-plan.ts';
import { openLockTargets } from './lock-targets.ts';
import type { Session } from './session.ts';

/** What the images job copies, and what a lock needs to know of it. */
export interface ImagesWork {
  readonly requests: readonly CopyRequest[];
  readonly images: Plan['images'];
  /** Lines of the list that ask for an image, by its source; a lock does without, since it may be replicated elsewhere. */
  readonly origins: ReadonlyMap<string, readonly Origin[]>;
  /** What targets begin with, where `--target` says so. */
  readonly root: string | undefined;
  readonly targetStore: (host: string) => WriteStore;
  /** The lock that is replicated. */
  readonly lock: Lock | undefined;
}

export type StoreOf = (host: string) => ReadStore;

/** What a lock says instead of a list. @throws ReplicationError `usage`, `configuration` */
export async function lockedWork(
  session: Session,
  command: {
    readonly list?: string | undefined;
    readonly platforms?: string | undefined;
    readonly target?: string | undefined;
  },
  path: string,
  sources: StoreOf,
  credentials: CredentialSource,
  ecr: LazyEcr,
): Promise<ImagesWork> {
  if (command.list !== undefined || command.platforms !== undefined) {
    throw new ReplicationError('usage', 'a lock says which images and platforms are copied', {
      remedy: 'leave out --list and --platforms, or --lock',
    });
  }
  const written = await lockFrom(session, path);
  checkJob(written, 'images', path);
  const options = { path, target: command.target, create: true, credentials, ecr };
  const { lock, target } = await openLockTargets(session, written, options);
  return {
    requests: lockRequests(lock, { source: sources, target }),
    images: planFromLock(lock).images,
    origins: new Map(),
    root: lock.target,
    targetStore: target,
    lock,
  };
}

/** Leaves the lock of what was copied. @returns its path */
export async function leaveLock(
  signal: AbortSignal,
  out: string,
  { images, root, targetStore }: ImagesWork,
  sourceStore: StoreOf,
  outcomes: readonly Outcome[],
): Promise<readonly string[]> {
  const lock = await buildLock({
    job: 'images',
    target: root,
    images,
    charts: [],
    isolation: [],
    copied: copiedDigests(outcomes),
    sourceStore,
    targetStore,
    signal,
  });
  return writeLock(resolve(out), lock);
}
