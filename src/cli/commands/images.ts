import { resolve } from 'node:path';
import { placeName } from '../../copy/request.ts';
import { firstCredential } from '../../model/credentials.ts';
import { ReplicationError } from '../../model/errors.ts';
import { type Plan, planVersion } from '../../model/plan.ts';
import { jsonText, writeFiles } from '../../publish/files.ts';
import { announceRequests } from '../announce.ts';
import { dockerCredentials } from '../docker-credentials.ts';
import { refuseLayout } from '../fleet/layout.ts';
import { lockGroups } from '../fleet/lock-groups.ts';
import type { ShardArguments } from '../fleet/options.ts';
import { lazyEcr } from '../lazy-ecr.ts';
import { type ListCommand, listedWork } from '../listed-images.ts';
import { type ImagesWork, leaveLock, lockedWork } from '../lock-images.ts';
import { lockedSession, lockMismatches } from '../lock-plan.ts';
import { tellEstimate } from '../plan-estimate.ts';
import { replicate } from '../replicate.ts';
import type { JobResult, Session } from '../session.ts';
import { sourceStores } from '../source-stores.ts';

export interface ImagesCommand extends ShardArguments, ListCommand {
  /** Lock that is replicated instead of a list. */
  readonly lock?: string | undefined;
  /** Leave a lock of what was copied. */
  readonly writeLock?: boolean | undefined;
  readonly out: string;
  readonly plan?: boolean | undefined;
  readonly verify?: boolean | undefined;
  readonly region?: string | undefined;
}

/** Copies a list of images as they are, `source-reference [target-reference]` a line; or what a lock says, by digest. */
export async function runImages(session: Session, command: ImagesCommand): Promise<JobResult> {
  const ecr = lazyEcr(session, command.region);
  try {
    const credentials = firstCredential([ecr.credentials, dockerCredentials(session)]);
    const sources = sourceStores(session.transport, credentials);
    const work =
      command.lock === undefined
        ? await listedWork(session, command, sources, credentials, ecr)
        : await lockedWork(session, command, command.lock, sources, credentials, ecr);
    announce(session, command, work);
    if (command.shards !== undefined) return await sharded(session, command, work);
    const plan = planOf(work);
    const files = await writeFiles(resolve(command.out), { 'plan.json': jsonText(plan) });
    const report = { plan };
    if (command.plan === true) {
      for (const request of work.requests)
        for (const place of request.targets)
          session.reporter.emit({
            type: 'notice',
            level: 'info',
            message: `${request.artifact} -> ${placeName(place)}`,
          });
      return { failures: await tellEstimate(session, work.requests), totals: undefined, files, report };
    }
    const replication = await replicate(work.lock === undefined ? session : lockedSession(session), {
      images: work.requests,
      charts: [],
      verify: command.verify === true,
    });
    for (const message of replication.notices) session.reporter.emit({ type: 'notice', level: 'warning', message });
    const { outcomes, totals } = replication;
    const failures = [...replication.failures, ...(work.lock === undefined ? [] : lockMismatches(work.lock, outcomes))];
    if (command.writeLock !== true || failures.length > 0 || session.admission.aborted)
      return { failures, totals, files, report };
    const left = await leaveLock(session.signal, command.out, work, sources, outcomes);
    return { failures, totals, files: [...files, ...left], report };
  } finally {
    await ecr.close();
  }
}

function planOf({ images, origins }: ImagesWork): Plan {
  const asked = images.map((image) => ({ ...image, origins: [...(origins.get(image.source) ?? image.origins)] }));
  return {
    version: planVersion,
    job: 'images',
    images: asked.sort((a, b) => (a.source < b.source ? -1 : 1)),
    charts: [],
  };
}

async function sharded(session: Session, command: ImagesCommand, work: ImagesWork): Promise<JobResult> {
  if (command.writeLock === true)
    throw new ReplicationError('usage', '--write-lock and --shards are both given, and a lock is of what was copied', {
      remedy: 'write the lock by a run without --shards afterwards: it finds all images there',
    });
  refuseLayout(command.target);
  const { leaveShards } = await import('../fleet/write-shards.ts');
  const { lock, requests } = work;
  return leaveShards(session, command, {
    job: 'images',
    requests,
    compared: false,
    together: lock === undefined ? undefined : lockGroups(lock, requests),
    settings: {
      access: {},
      targets: {},
      verify: command.verify === true,
      referrers: lock === undefined,
      ...(command.statusStore === undefined ? {} : { status: command.statusStore }),
    },
  });
}

function announce(session: Session, command: ImagesCommand, { requests }: ImagesWork): void {
  const target = command.target ?? (command.lock === undefined ? 'as listed' : 'as locked');
  session.reporter.emit({ type: 'run-started', job: 'images', target });
  announceRequests(session.reporter, requests);
}
