import { ownerTagKey } from '../../aws/owner-tag.ts';
import { ReplicationError } from '../../model/errors.ts';
import { validateProject } from '../../publish/names.ts';
import { openAws } from '../aws-session.ts';
import { dockerCredentials } from '../docker-credentials.ts';
import { readDataFiles } from '../eks-plan.ts';
import { type EksArguments, type EksSettings, eksSettings } from '../eks-settings.ts';
import { refuseLayout } from '../fleet/layout.ts';
import type { ShardArguments } from '../fleet/options.ts';
import type { JobResult, Session } from '../session.ts';
import { openTarget, parseTarget } from '../target.ts';
import { readEksLock, runLockedEks } from './eks-locked.ts';
import { runPlannedEks } from './eks-planned.ts';

export interface EksCommand extends EksArguments, ShardArguments {
  readonly dataDir?: string | undefined;
  readonly out: string;
  readonly plan?: boolean | undefined;
  readonly publish?: boolean | undefined;
  readonly target?: string | undefined;
  /** The lock that is replicated, instead of what data files say. */
  readonly lock?: string | undefined;
  /** `false`: do not render the charts. */
  readonly render?: boolean | undefined;
}

/**
 * The EKS job: data files in (or a lock), charts and images at the target, result written and, with `publish`, published.
 */
export async function runEks(session: Session, command: EksCommand): Promise<JobResult> {
  const settings = eksSettings(command, session.env, Date.now());
  const targetText = parseTarget(command.target);
  if (command.publish === true && targetText.kind !== 'ecr') {
    throw new ReplicationError('usage', '--publish goes with ECR as target only', {
      remedy: 'leave out --target or --publish',
    });
  }
  if (command.shards !== undefined) checkShards(command);
  validateProject(settings.project, settings.region);
  stopInTime(session, settings);
  const aws = openAws(session, settings.region);
  try {
    session.reporter.emit({ type: 'phase', phase: 'plan' });
    const { lock: path } = command;
    const from =
      path === undefined
        ? { files: await readDataFiles(session, settings.eksVersion, command.dataDir) }
        : { lock: await readEksLock(session, { ...command, lock: path }), command: { ...command, lock: path } };
    const target = await openTarget(session, targetText, {
      aws: () => aws,
      accountId: settings.accountId,
      settings,
      tags: { [ownerTagKey(settings.deployment, settings.module)]: settings.project },
      credentials: dockerCredentials(session),
    });
    session.reporter.emit({
      type: 'run-started',
      job: 'eks',
      target: `${target.host}/${target.path}${settings.project}-…`,
    });
    const run = { session, settings, aws, target };
    if (from.lock !== undefined) return await runLockedEks({ ...run, ...from });
    return await runPlannedEks({ ...run, files: from.files, command });
  } finally {
    await aws.close();
  }
}

/** Ends the run before Seed-Farmer's build ends by force. */
function stopInTime(session: Session, { startedAt, maxMinutes }: EksSettings): void {
  session.stopAt(
    startedAt + maxMinutes * 60_000,
    new ReplicationError(
      'deadline',
      `stopped after ${maxMinutes} minutes (MaxMinutes), before Seed-Farmer's build ends by force`,
      { side: 'module', remedy: 'apply again: what is copied already is not moved twice' },
    ),
  );
}

/** Charts are rendered and proven in one place, so only what a lock says can be spread. */
function checkShards({ lock, publish, target }: EksCommand): void {
  if (lock === undefined || publish === true)
    throw new ReplicationError(
      'usage',
      `--shards goes ${lock === undefined ? 'with --lock only' : 'without --publish'}`,
      {
        remedy:
          'write shards with `eks --lock FILE --shards LOCATION`; when they are copied, `eks --lock FILE --publish` does the rest',
      },
    );
  refuseLayout(target);
}
