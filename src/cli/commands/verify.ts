import { resolve } from 'node:path';
import { chartFetcher } from '../../charts/fetch.ts';
import { type CredentialSource, firstCredential } from '../../model/credentials.ts';
import type { ErrorCode } from '../../model/errors.ts';
import type { Lock, LockFinding, LockState } from '../../model/lock.ts';
import type { Failure } from '../../model/result.ts';
import type { ReadStore } from '../../model/store.ts';
import { jsonText, writeFiles } from '../../publish/files.ts';
import { readLock } from '../../publish/lock.ts';
import { httpDownloads } from '../../registry/download.ts';
import { registryStore } from '../../registry/store.ts';
import { dockerCredentials } from '../docker-credentials.ts';
import { lazyEcr } from '../lazy-ecr.ts';
import { checkSources, type LockSources } from '../lock-check-sources.ts';
import { checkTarget } from '../lock-check-target.ts';
import { openLockTargets } from '../lock-targets.ts';
import type { JobResult, Session } from '../session.ts';

export interface VerifyCommand {
  readonly lock: string;
  readonly target?: string | undefined;
  /** `false`: ask the target only. */
  readonly sources?: boolean | undefined;
  readonly region?: string | undefined;
  readonly out: string;
}

/** Checks a target, and the sources, against a lock. Changes nothing; whatever is not as locked is a failure (exit status 1). */
export async function runVerify(session: Session, command: VerifyCommand): Promise<JobResult> {
  const written = await readLock(command.lock);
  const ecr = lazyEcr(session, command.region);
  try {
    const credentials = firstCredential([ecr.credentials, dockerCredentials(session)]);
    const options = { path: command.lock, target: command.target, create: false, credentials, ecr };
    const { lock, target } = await openLockTargets(session, written, options);
    announce(session, command, lock);
    session.reporter.emit({ type: 'phase', phase: 'verify' });
    const [atTarget, atSources] = await Promise.all([
      checkTarget(lock, target, session.signal),
      command.sources === false ? [] : checkSources(lock, openSources(session, credentials), session.signal),
    ]);
    const findings = [...atTarget, ...atSources].sort((a, b) => compare(keyOf(a), keyOf(b)));
    session.signal.throwIfAborted();
    session.reporter.emit({ type: 'checked', ...checked(lock, command), findings });
    const files = await writeFiles(resolve(command.out), {
      'verification.json': jsonText({ ...checked(lock, command), ok: findings.length === 0, findings }),
    });
    return { failures: findings.map(failureOfFinding), totals: undefined, files };
  } finally {
    await ecr.close();
  }
}

function announce(session: Session, command: VerifyCommand, lock: Lock): void {
  session.reporter.emit({
    type: 'run-started',
    job: 'verify',
    target: command.target ?? lock.target ?? 'several registries',
  });
}

function checked(
  lock: Lock,
  command: VerifyCommand,
): { readonly lock: string; readonly images: number; readonly charts: number } {
  return { lock: command.lock, images: lock.images.length, charts: lock.charts.length };
}

function openSources(session: Session, credentials: CredentialSource): LockSources {
  const stores = new Map<string, ReadStore>();
  const store = (host: string): ReadStore => {
    const opened = stores.get(host) ?? registryStore(session.transport, host, { credentials });
    stores.set(host, opened);
    return opened;
  };
  const downloads = httpDownloads(session.transport, credentials);
  return { store, fetchChart: chartFetcher({ downloads, store, reporter: session.reporter }) };
}

function keyOf({ artifact, at, reference }: LockFinding): string {
  return [artifact, at, reference].join('\n');
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

const codes: Readonly<Record<LockState, ErrorCode>> = {
  missing: 'not-found',
  changed: 'conflict',
  damaged: 'corrupt',
  moved: 'conflict',
  gone: 'not-found',
  unknown: 'unavailable',
};

function failureOfFinding({ artifact, at, state, reference, locked, why, remedy }: LockFinding): Failure {
  return {
    artifact,
    side: at,
    reference,
    digest: locked,
    host: undefined,
    code: codes[state],
    cause: `${state}: ${why}`,
    remedy,
  };
}
