import { existsSync } from 'node:fs';
import { dueSections, dueTime } from '../../mirror/schedule.ts';
import { openTracking } from '../../mirror/tracking.ts';
import { exitStatusFor, ReplicationError, ReplicationErrors, toReplicationError } from '../../model/errors.ts';
import { openDatabase, readDatabase } from '../mirror-database.ts';
import { leaveMirrorLock, runLockedMirror } from '../mirror-lock.ts';
import { mirrorFileFrom } from '../fleet/input-text.ts';
import { refuseLayout } from '../fleet/layout.ts';
import { runMirrorPass } from '../mirror-pass.ts';
import { planMirror } from '../mirror-plan.ts';
import { databasePath, type MirrorCommand, mirrorSettings, withPlatforms } from '../mirror-settings.ts';
import { statusText } from '../mirror-status.ts';
import { type Environment, runJob } from '../run.ts';
import type { JobResult, Session } from '../session.ts';

/** Mirrors what a file lists: what is due once, or as a scheduler until it is told to stop. @returns exit status */
export async function runMirror(command: MirrorCommand, environment: Environment): Promise<0 | 1 | 2> {
  if (command.status === true) return showStatus(command, environment);
  const { lock } = command;
  if (command.writeLock === true && (command.once !== true || command.shards !== undefined)) {
    const remedy = 'pass --once, and leave out --shards';
    return tellErrors(new ReplicationError('usage', '--write-lock goes with --once alone', { remedy }), environment);
  }
  if (lock !== undefined)
    return runJob('mirror', command, (session) => runLockedMirror(session, command, lock), environment);
  if (command.shards !== undefined)
    return runJob('mirror', command, (session) => sharded(session, command), environment);
  if (command.plan === true) return runJob('mirror', command, (session) => plan(session, command), environment);
  if (command.once === true) return runJob('mirror', command, (session) => once(session, command), environment);
  try {
    const { serveMirror } = await import('../mirror-serve.ts');
    await serveMirror(command, environment);
    return 0;
  } catch (error) {
    return tellErrors(error, environment);
  }
}

async function showStatus(command: MirrorCommand, environment: Environment): Promise<0 | 1 | 2> {
  const path = databasePath(command, environment.env);
  try {
    if (!existsSync(path)) {
      environment.stdout.write(command.json === true ? '' : `nothing is mirrored yet: there is no ${path}\n`);
      return 0;
    }
    const tracking = await openTracking(path, { readOnly: true });
    try {
      environment.stdout.write(statusText(tracking, command.json === true));
    } finally {
      tracking.close();
    }
    return 0;
  } catch (error) {
    return tellErrors(error, environment);
  }
}

function tellErrors(error: unknown, { stderr }: Environment): 1 | 2 {
  for (const each of error instanceof ReplicationErrors ? error.errors : [toReplicationError(error)])
    stderr.write(`error: ${each.message}${each.remedy === undefined ? '' : `\n  ${each.remedy}`}\n`);
  return exitStatusFor(error);
}

async function plan(session: Session, command: MirrorCommand): Promise<JobResult> {
  const settings = mirrorSettings(command, session.env);
  const file = withPlatforms(await mirrorFileFrom(session, settings.config), settings);
  const tracking = await readDatabase(settings);
  try {
    return await planMirror(session, settings, file, tracking, command.out);
  } finally {
    tracking?.close();
  }
}

async function sharded(session: Session, command: MirrorCommand): Promise<JobResult> {
  if (command.once !== true)
    throw new ReplicationError('usage', '--shards goes with --once: the scheduler mirrors by itself', {
      remedy: 'pass --once, or leave out --shards',
    });
  refuseLayout(command.target);
  const settings = mirrorSettings(command, session.env);
  const file = withPlatforms(await mirrorFileFrom(session, settings.config), settings);
  const tracking = await readDatabase(settings);
  try {
    const { shardMirror } = await import('../fleet/mirror-shards.ts');
    return await shardMirror(session, settings, file, tracking, command);
  } finally {
    tracking?.close();
  }
}

async function once(session: Session, command: MirrorCommand): Promise<JobResult> {
  const settings = mirrorSettings(command, session.env);
  const file = withPlatforms(await mirrorFileFrom(session, settings.config), settings);
  const say = (message: string): void => session.reporter.emit({ type: 'notice', level: 'info', message });
  const tracking = await openDatabase(settings, say);
  try {
    tracking.keepOnly(file.sections.map(({ name }) => name));
    const options = { now: Date.now(), target: settings.targetKey, retryFailed: true };
    const states = tracking.sections();
    const due = dueSections(file.sections, states, options);
    const times = file.sections.flatMap((section) => dueTime(section, states.get(section.name), options) ?? []);
    if (due.length === 0) {
      const when = times.length === 0 ? 'ever' : `before ${new Date(Math.min(...times)).toISOString()}`;
      say(`none of ${file.sections.length} sections is due ${when}`);
    } else say(`${due.length} of ${file.sections.length} sections are due`);
    const { failures, totals } =
      due.length === 0 ? { failures: [], totals: undefined } : await runMirrorPass(session, settings, tracking, due);
    if (command.writeLock !== true || failures.length > 0 || session.admission.aborted) return { failures, totals };
    return { failures, totals, files: await leaveMirrorLock(session, settings, tracking, file.sections, command.out) };
  } finally {
    tracking.close();
  }
}
