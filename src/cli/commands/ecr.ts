import { createInterface } from 'node:readline/promises';
import { prepareAlarm, sendAlarm } from '../../aws/alarm.ts';
import { toReplicationError, ReplicationError, ReplicationErrors } from '../../model/errors.ts';
import { type Failure, failureOf } from '../../model/result.ts';
import type { JobResult, Session } from '../session.ts';
import { type EcrOptions, type EcrSettings, ecrSettings } from '../ecr/settings.ts';
import { awsPool, surroundings, type Surroundings } from '../ecr/sides.ts';
import { replicateRegistry } from '../ecr/replicate-registry.ts';

/** Brings a registry of ECR up to date with another one, or with images of public and private registries. */
export async function runEcr(session: Session, options: EcrOptions): Promise<JobResult> {
  const settings = ecrSettings(options);
  if (settings.prune && !settings.yes && !settings.plan && !process.stdin.isTTY)
    throw new ReplicationError('usage', '--prune asks before it deletes, and there is no terminal to ask at', {
      remedy: 'pass --yes to delete without being asked, or --plan to see what would be deleted',
    });
  for (const message of settings.ignored) session.reporter.emit({ type: 'notice', level: 'warning', message });
  const pool = awsPool(session);
  const around = surroundings(session, pool, settings);
  try {
    const alarm = settings.plan || settings.sharding !== undefined ? undefined : await alarmOf(around, settings);
    try {
      const result = await replicateRegistry(around, settings, { confirm: settings.yes ? undefined : ask });
      const unsent = result.failures.length === 0 ? [] : await raise(around, alarm, result.failures);
      return { ...result, failures: [...result.failures, ...unsent] };
    } catch (error) {
      const failures = errorsIn(error).map((each) => failureOf(each.reference ?? 'ecr', each));
      // Wrong usage is told to whoever has just typed it; a run on a schedule fails in other ways.
      const unsent = await raise(around, alarm, failures);
      for (const { cause } of unsent) session.reporter.emit({ type: 'notice', level: 'warning', message: cause });
      throw error;
    }
  } finally {
    await pool.close();
  }
}

async function alarmOf({ session, home }: Surroundings, { alarm }: EcrSettings): Promise<string | undefined> {
  const prepared = await prepareAlarm(home, alarm, session.signal);
  if (prepared?.unconfirmed === true)
    session.reporter.emit({
      type: 'notice',
      level: 'warning',
      message: `${alarm.email ?? ''} gets no alarm before its subscription to ${prepared.topic} is confirmed by the link in the mail from AWS`,
    });
  return prepared?.topic;
}

/** Failures that an alarm names; the report has them all. */
const mostFailures = 50;

/** Tells the topic of what failed. @returns what went wrong with that */
async function raise(
  { session, home }: Surroundings,
  topic: string | undefined,
  failures: readonly Failure[],
): Promise<readonly Failure[]> {
  if (topic === undefined) return [];
  const lines = failures
    .slice(0, mostFailures)
    .map(({ artifact, cause, remedy }) => `${artifact}\n  ${cause}${remedy === undefined ? '' : `\n  ${remedy}`}`);
  const more = failures.length - lines.length;
  const message = [
    `image-replication ecr: ${failures.length} failed.`,
    '',
    ...lines,
    ...(more > 0 ? [`… and ${more} more`] : []),
  ].join('\n');
  const subject = `image-replication ecr: ${failures.length} failed`;
  try {
    await sendAlarm(home, topic, { subject, message: session.mask.mask(message) }, session.signal);
    return [];
  } catch (error) {
    return [failureOf(`alarm to ${topic}`, toReplicationError(error))];
  }
}

function errorsIn(error: unknown): readonly ReplicationError[] {
  return error instanceof ReplicationErrors ? error.errors : [toReplicationError(error)];
}

async function ask(count: number): Promise<boolean> {
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await prompt.question(`Delete these ${count} at the destination? Type "yes": `);
    return answer.trim().toLowerCase() === 'yes';
  } finally {
    prompt.close();
  }
}
