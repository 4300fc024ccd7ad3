import { parseStatusLocation } from '../../status/status-location.ts';
import { shortened } from '../../report/format.ts';
import { variable } from '../environment.ts';
import type { Session } from '../session.ts';

/** Whether somebody may type the next command: in a task of Step Functions, and in a pod, nobody does. */
export function isByHand({ env }: Pick<Session, 'env'>): boolean {
  // Every pod has the latter: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
  return variable(env, 'TASK_TOKEN') === undefined && variable(env, 'KUBERNETES_SERVICE_HOST') === undefined;
}

/** Copies one shard. */
export function workerCommand(location: string, index: number): string {
  return `image-replication worker --shards ${quoted(location)} --index ${index}`;
}

/** Puts the results together. */
export function summaryCommand(location: string): string {
  return `image-replication summary --shards ${quoted(location)}`;
}

/** As a POSIX shell takes it. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** What to type after a plan. @param status where the workers keep the status of images */
export function nextSteps(location: string, shards: number, status: string | undefined): string {
  if (shards === 0) return `nothing is to be copied; for the report: ${summaryCommand(location)}`;
  const first = workerCommand(location, 0);
  if (shards === 1) return ['next:', first, summaryCommand(location)].join('\n');
  const where = location.startsWith('s3://') ? 'that may read and write there' : 'that see this folder';
  const alone = status !== undefined && parseStatusLocation(status).kind === 'sqlite';
  const how = alone ? 'one after another, as SQLite has it' : 'at the same time or one after another';
  return [
    `next, on any machines ${where}, ${how}:`,
    `${first}   # ${shards === 2 ? 'and 1' : `and 1 to ${shards - 1}`}`,
    'and when all of them have ended:',
    summaryCommand(location),
  ].join('\n');
}

/** Shards that are named one by one. */
const mostNamed = 10;

/** What to type where shards have failed. @param indexes of these, at least one */
export function againByHand(location: string, indexes: readonly number[]): string {
  const [first = 0, ...more] = indexes;
  const others = more.length === 0 ? '' : `   # and ${shortened(more.map(String), mostNamed).join(', ')}`;
  return ['by hand:', `${workerCommand(location, first)}${others}`, summaryCommand(location)].join('\n');
}
