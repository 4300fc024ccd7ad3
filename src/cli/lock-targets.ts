import type { CredentialSource } from '../model/credentials.ts';
import { ReplicationError } from '../model/errors.ts';
import type { Lock } from '../model/lock.ts';
import type { WriteStore } from '../model/store.ts';
import { splitTarget } from '../model/target-name.ts';
import { registryStore } from '../registry/store.ts';
import type { LazyEcr } from './lazy-ecr.ts';
import { movedLock } from './lock-plan.ts';
import type { Session } from './session.ts';
import { layoutHost, parseTarget } from './target.ts';

/** A lock and the stores that its targets lie in. */
export interface OpenedLock {
  readonly lock: Lock;
  readonly target: (host: string) => WriteStore;
}

export interface LockTargetOptions {
  /** As messages name the lock. */
  readonly path: string;
  /** `--target`: takes the place of what the lock's targets begin with. */
  readonly target: string | undefined;
  /** An image layout is made when it is missing. */
  readonly create: boolean;
  readonly credentials: CredentialSource;
  readonly ecr: LazyEcr;
}

/** What `--target` makes names begin with: `host/prefix/`. */
export function targetRoot(text: string): string {
  const parsed = parseTarget(text);
  if (parsed.kind === 'registry') return `${parsed.host}/${parsed.path}`;
  return `${layoutHost}/`;
}

/** Opens the stores of a lock's targets, moved to `--target` where that is given. @throws ReplicationError `usage` */
export async function openLockTargets(
  session: Session,
  written: Lock,
  { path, target, create, credentials, ecr }: LockTargetOptions,
): Promise<OpenedLock> {
  const lock = target === undefined ? written : movedLock(written, targetRoot(target), path);
  const parsed = parseTarget(target);
  const open = async (host: string): Promise<WriteStore> => {
    if (host !== layoutHost) {
      return (await ecr.target(host)) ?? registryStore(session.transport, host, { credentials });
    }
    if (parsed.kind !== 'layout') throw layoutMissing(path);
    const { openOciLayout } = await import('../layout/oci-layout.ts');
    return openOciLayout(parsed.directory, { create });
  };
  const names = [...lock.images.flatMap((image) => image.targets), ...lock.charts.map((chart) => chart.target)];
  const hosts = [...new Set(names.map((name) => splitTarget(name).host))];
  const stores = new Map(await Promise.all(hosts.map(async (host) => [host, await open(host)] as const)));
  return {
    lock,
    target: (host) => {
      const store = stores.get(host);
      if (store === undefined) throw new ReplicationError('internal', `the lock has no target on ${host}`);
      return store;
    },
  };
}

function layoutMissing(path: string): ReplicationError {
  return new ReplicationError('usage', `${path} was written for an image layout, and does not say where that lies`, {
    reference: path,
    remedy: 'pass --target oci-layout:DIR',
  });
}
