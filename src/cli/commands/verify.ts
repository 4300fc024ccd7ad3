import { resolve } from 'node:path';
import { parseEcrHost } from '../../aws/ecr-hosts.ts';
import { chartFetcher } from '../../charts/fetch.ts';
import { type CredentialSource, firstCredential } from '../../model/credentials.ts';
import { type ErrorCode, ReplicationError } from '../../model/errors.ts';
import type { Lock, LockFinding, LockState } from '../../model/lock.ts';
import type { Failure } from '../../model/result.ts';
import { jsonText, writeFiles } from '../../publish/files.ts';
import { readLock } from '../../publish/lock.ts';
import { httpDownloads } from '../../registry/download.ts';
import { dockerCredentials } from '../docker-credentials.ts';
import { helmRepoSecret } from '../eks-settings.ts';
import { variable } from '../environment.ts';
import { lazyEcr } from '../lazy-ecr.ts';
import { checkSources, type LockSources } from '../lock-check-sources.ts';
import { checkTarget } from '../lock-check-target.ts';
import { openLockTargets } from '../lock-targets.ts';
import type { JobResult, Session } from '../session.ts';
import { sourceStores } from '../source-stores.ts';

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
    const secret = command.sources === false ? undefined : await secretOf(session, command, written);
    const reading = secret === undefined ? credentials : firstCredential([secret, credentials]);
    session.reporter.emit({ type: 'phase', phase: 'verify' });
    const [atTarget, atSources] = await Promise.all([
      checkTarget(lock, target, session.signal),
      command.sources === false ? [] : checkSources(lock, openSources(session, reading), session.signal),
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

/**
 * Credentials of the secret that the EKS job reads its sources with, for the same hosts: of a lock of that job, where the
 * environment names the secret as it does for the job.
 */
async function secretOf(
  session: Session,
  { region, lock: path }: VerifyCommand,
  lock: Lock,
): Promise<CredentialSource | undefined> {
  const pointer = helmRepoSecret(session.env);
  if (pointer === undefined || lock.eks === undefined) return undefined;
  const where =
    region ??
    variable(session.env, 'AWS_REGION', 'AWS_DEFAULT_REGION') ??
    parseEcrHost(lock.target?.split('/')[0] ?? '')?.region;
  if (where === undefined) {
    throw new ReplicationError('usage', `the region of the secret ${pointer.name} is not known`, {
      reference: path,
      remedy: 'set AWS_REGION, or pass --region',
    });
  }
  const [{ openAws }, { secretCredentials }] = await Promise.all([
    import('../aws-session.ts'),
    import('../secret-credentials.ts'),
  ]);
  const aws = openAws(session, where);
  try {
    return await secretCredentials(session, pointer, new Set(lock.eks.ownHosts), aws);
  } finally {
    await aws.close();
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
  const store = sourceStores(session.transport, credentials);
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
