import { join, resolve } from 'node:path';
import type { Aws } from '../../aws/clients.ts';
import { parseEcrHost } from '../../aws/ecr-hosts.ts';
import { ownerTagKey } from '../../aws/owner-tag.ts';
import { judge } from '../../charts/isolation/verdict.ts';
import { ReplicationError, toReplicationError } from '../../model/errors.ts';
import type { Lock } from '../../model/lock.ts';
import { type Failure, failureOf } from '../../model/result.ts';
import { consumerFiles } from '../../publish/consumers/consumer-files.ts';
import { jsonText, writeFiles } from '../../publish/files.ts';
import { writeLock } from '../../publish/lock.ts';
import { formatResult, formatUpdatedImages } from '../../sources/eks/result.ts';
import { announcePlan } from '../announce.ts';
import { claimAndReplicate } from '../eks-copy.ts';
import { openSources } from '../eks-plan.ts';
import { publishRun, sizesOf } from '../eks-publish.ts';
import type { EksSettings } from '../eks-settings.ts';
import { secretAccess } from '../fleet/access.ts';
import { lockFrom } from '../fleet/input-text.ts';
import { lockGroups } from '../fleet/lock-groups.ts';
import type { ShardArguments } from '../fleet/options.ts';
import { clearLeftFiles, inFolder, writeLeftFiles } from '../eks-left-files.ts';
import { eksLockWork } from '../lock-eks.ts';
import { lockedPatches, lockedProof, proofNotice } from '../lock-isolation.ts';
import { checkJob, eksPlanFromLock, lockedSession, lockMismatches, lockRequests } from '../lock-plan.ts';
import type { Replication } from '../replicate.ts';
import type { JobResult, Session } from '../session.ts';
import { collecting } from '../steps.ts';
import { layoutHost, type Target } from '../target.ts';

/** The lock of a run of the EKS job. @throws ReplicationError `usage`, `configuration` */
export async function readEksLock(
  session: Session,
  command: {
    readonly lock: string;
    readonly dataDir?: string | undefined;
    readonly platforms?: string | undefined;
  },
): Promise<Lock> {
  if (command.dataDir !== undefined || command.platforms !== undefined) {
    throw new ReplicationError('usage', 'a lock says which charts, images and platforms are replicated', {
      remedy: 'leave out --data-dir and --platforms, or --lock',
    });
  }
  const lock = await lockFrom(session, command.lock);
  checkJob(lock, 'eks', command.lock);
  return lock;
}

/** Where a locked run takes from and puts to. */
export interface LockedRun {
  readonly session: Session;
  readonly settings: EksSettings;
  readonly aws: Aws;
  readonly target: Target;
  readonly lock: Lock;
  readonly command: ShardArguments & {
    readonly lock: string;
    readonly out: string;
    readonly plan?: boolean | undefined;
    readonly publish?: boolean | undefined;
  };
}

/**
 * The EKS job from a lock: charts, images and signatures by digest, whatever tags name now, and the result as it was. No
 * chart is rendered: the same bytes under the same names are proven already, and the proof in the lock is what is published.
 * Remedies are not tried again either, as that takes renders.
 */
export async function runLockedEks(run: LockedRun): Promise<JobResult> {
  const { session, settings, aws, target, lock, command } = run;
  const out = resolve(command.out);
  const { plan, result, updatedImages } = eksPlanFromLock(
    lock,
    `${target.host}/${target.path}${settings.project}-`,
    command.lock,
  );
  const isolation = lockedProof(lock);
  announcePlan(session.reporter, plan);
  if (command.shards !== undefined) return sharded(run);
  await clearLeftFiles(out);
  const patches = lockedPatches(lock);
  await writeLeftFiles(out, patches);
  const notice = proofNotice(isolation);
  if (notice !== undefined) session.reporter.emit({ type: 'notice', level: 'info', message: notice });
  const left = [
    ...Object.keys(patches).map((path) => join(out, path)),
    ...(await writeFiles(out, {
      'plan.json': jsonText(plan),
      'updated_images.json': formatUpdatedImages(updatedImages),
      'replication_result.json': formatResult(result),
      ...(isolation.length === 0 ? {} : { 'isolation.json': jsonText(isolation) }),
    })),
  ];
  const report = { plan, charts: isolation, sizes: sizesOf(lock) };
  const verdict = judge(isolation, settings.uncontrolledImages, new Set(lock.charts.map(({ key }) => key)));
  for (const message of verdict.warnings) session.reporter.emit({ type: 'notice', level: 'warning', message });
  const failures: Failure[] = verdict.errors.map((error) => failureOf(error.reference ?? 'chart', error));
  if (command.plan === true) return { failures, totals: undefined, files: left, report };
  const { totals, ...replication } = await copyLocked(run);
  failures.push(...replication.failures, ...lockMismatches(lock, replication.outcomes));
  for (const message of replication.notices) session.reporter.emit({ type: 'notice', level: 'warning', message });
  if (failures.length === 0 && session.admission.aborted)
    failures.push(failureOf('run', toReplicationError(session.admission.reason)));
  const step = collecting(failures);
  if (failures.length === 0 && target.host !== layoutHost) {
    await step('consumers', async () => {
      await writeLeftFiles(out, inFolder('consumers', consumerFiles(plan.charts)));
      left.push(join(out, 'consumers'));
    });
  }
  if (failures.length === 0) await step('lock', async () => void left.push(...(await writeLock(out, lock))));
  if (failures.length === 0 && command.publish === true) {
    const { gap } = verdict;
    const finished = { plan, result, isolation, lock, totals, gap, report, files: left };
    await step('publish', async () => void left.push(...(await publishRun(session, settings, aws, out, finished))));
  }
  return { failures, totals, files: left, report };
}

/** Images and their signatures go to the workers. The job itself, run after them, finds them there and does the rest. */
async function sharded({ session, settings, aws, target, lock, command }: LockedRun): Promise<JobResult> {
  const ownHosts = new Set(lock.eks?.ownHosts);
  const sources = await openSources(session, settings.helmRepoSecret, ownHosts, aws);
  const requests = lockRequests({ ...lock, charts: [] }, { source: sources.store, target: () => target.store });
  const hosts = requests.map(({ source }) => source.store.name).filter((host) => parseEcrHost(host) === undefined);
  const { scanOnPush, immutableTags, encryptionKey, region } = settings;
  const { leaveShards } = await import('../fleet/write-shards.ts');
  return leaveShards(session, command, {
    job: 'eks',
    requests,
    compared: false,
    together: lockGroups(lock, requests),
    settings: {
      region,
      access: secretAccess(hosts, settings.helmRepoSecret, ownHosts),
      targets: target.ecr === undefined ? {} : { [target.host]: { kind: 'ecr', region } },
      verify: true,
      referrers: false,
      repositories: { scanOnPush, immutableTags, encryptionKey },
      repositoryTags: { [ownerTagKey(settings.deployment, settings.module)]: settings.project },
      ...(command.statusStore === undefined ? {} : { status: command.statusStore }),
    },
  });
}

async function copyLocked({ session, settings, aws, target, lock }: LockedRun): Promise<Replication> {
  const sources = await openSources(session, settings.helmRepoSecret, new Set(lock.eks?.ownHosts), aws);
  const work = await eksLockWork(lock, { sources, target: target.store, signal: session.signal });
  return claimAndReplicate(lockedSession(session), work, target);
}
