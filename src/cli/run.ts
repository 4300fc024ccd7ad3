import { join, resolve } from 'node:path';
import type { Writable } from 'node:stream';
import {
  exitStatusFor,
  isReplicationError,
  ReplicationError,
  ReplicationErrors,
  toReplicationError,
} from '../model/errors.ts';
import { type Failure, failureOf } from '../model/result.ts';
import { jsonText, requireFolder, writeFiles } from '../publish/files.ts';
import type { EnvironmentVariables } from './environment.ts';
import { boundHeap } from './heap-bound.ts';
import { type JobResult, openSession, type Output, type Pause, type Session } from './session.ts';
import type { TaskHook } from './task-hook.ts';

/** What the program stands in: streams and variables, given by the script that starts it. */
export interface Environment {
  readonly env: EnvironmentVariables;
  readonly stdout: Output;
  readonly stderr: Writable;
  /** Set where Step Functions waits for the end of this run. */
  readonly task?: TaskHook | undefined;
  /** How it waits between two tries of an artifact; replaced in tests. */
  readonly pause?: Pause | undefined;
}

export interface RunOptions {
  readonly out: string;
  readonly json?: boolean;
  readonly insecureHosts: readonly string[];
  readonly concurrency?: number;
  /** How often an artifact is tried. */
  readonly tries?: number;
  /** What blobs for several repositories may take on disk, in bytes. */
  readonly spoolBytes?: number;
  /** After so many minutes the run ends in order. */
  readonly maxMinutes?: number;
  /** Folder for the report. */
  readonly report?: string;
}

/** Runs one job from start to summary and turns what came of it into an exit status. */
export async function runJob(
  name: string,
  options: RunOptions,
  work: (session: Session) => Promise<JobResult>,
  environment: Environment,
): Promise<0 | 1 | 2> {
  let session: Session;
  try {
    const { env, stdout, pause } = environment;
    session = await openSession({ ...options, job: name, env, stdout, pause });
  } catch (error) {
    for (const each of errorsIn(error)) environment.stderr.write(errorText(each));
    const failures = errorsIn(error).map((each) => failureOf(each.reference ?? name, each));
    environment.task?.ended(exitStatusFor(error), { failures, totals: undefined }, true);
    return exitStatusFor(error);
  }
  environment.task?.attach(session);
  if (options.maxMinutes !== undefined) stopAfter(session, options.maxMinutes);
  let status: 0 | 1 | 2 = 0;
  let thrown = false;
  let result: JobResult;
  const unbound = boundHeap();
  try {
    result = await work(session);
    if (result.failures.length > 0) status = 1;
  } catch (error) {
    status = exitStatusFor(error);
    thrown = true;
    result = { failures: errorsIn(error).map((each) => failureOf(each.reference ?? name, each)), totals: undefined };
  } finally {
    unbound();
  }
  // The record is left before the summary, which so can tell if that fails, and again with the summary in it.
  const record = join(resolve(options.out), 'run.json');
  const unwritten = await leaveRecord(session, options.out);
  const known = result.failures.some((failure: Failure) => failure.code === 'storage');
  const report = await reportFolder(options.report);
  const left = [...(unwritten === undefined || known ? [] : [unwritten]), ...report.problems];
  const failures = [...result.failures, ...left];
  if (left.length > 0 && status === 0) status = 1;
  session.reporter.emit({
    type: 'run-finished',
    job: name,
    ok: status === 0,
    totals: result.totals,
    failures,
    files: [...(result.files ?? []), ...(unwritten === undefined ? [record] : []), ...report.paths],
  });
  if (unwritten === undefined) await leaveRecord(session, options.out);
  if (report.folder !== undefined) {
    const broken = await leaveReport(session, result, report.folder);
    if (broken !== undefined) {
      environment.stderr.write(errorText(broken));
      if (status === 0) status = 1;
    }
  }
  environment.task?.ended(status, { ...result, failures }, thrown);
  await session.close();
  return status;
}

function stopAfter(session: Session, minutes: number): void {
  session.stopAt(
    Date.now() + minutes * 60_000,
    new ReplicationError('deadline', `stopped after ${minutes} minutes (--max-minutes)`, {
      side: 'module',
      remedy: 'run again: what is copied already is not moved twice',
    }),
  );
}

function errorsIn(error: unknown): readonly ReplicationError[] {
  if (error instanceof ReplicationErrors) return error.errors;
  return [isReplicationError(error) ? error : toReplicationError(error)];
}

function errorText({ message, remedy }: ReplicationError): string {
  return `error: ${message}${remedy === undefined ? '' : `\n  ${remedy}`}\n`;
}

/** Where the report goes. It is written last, with how the run ended in it, so the folder is tried before the summary names it. */
interface ReportFolder {
  /** Absolute; `undefined` when no report is wanted or none can be left. */
  readonly folder: string | undefined;
  readonly paths: readonly string[];
  readonly problems: readonly Failure[];
}

async function reportFolder(directory: string | undefined): Promise<ReportFolder> {
  if (directory === undefined) return { folder: undefined, paths: [], problems: [] };
  const folder = resolve(directory);
  try {
    await requireFolder(folder, '--report');
    const paths = ['report.html', 'report.json', 'report.md'].map((name) => join(folder, name));
    return { folder, paths, problems: [] };
  } catch (error) {
    return { folder: undefined, paths: [], problems: [failureOf('report', toReplicationError(error))] };
  }
}

/** Writes the report as a page, as data and as a summary. @returns what went wrong */
async function leaveReport(session: Session, result: JobResult, folder: string): Promise<ReplicationError | undefined> {
  try {
    const { reportFiles } = await import('./report-files.ts');
    const input = { record: session.recorder.record(), mask: session.mask, ...result.report };
    const { html, json, markdown } = await reportFiles(input);
    await writeFiles(folder, { 'report.html': html, 'report.json': json, 'report.md': markdown }, '--report');
    return undefined;
  } catch (error) {
    return toReplicationError(error);
  }
}

/** @returns what went wrong, which is no reason to lose the job's own outcome */
async function leaveRecord(session: Session, out: string): Promise<Failure | undefined> {
  try {
    await writeFiles(resolve(out), { 'run.json': jsonText(session.recorder.record()) });
    return undefined;
  } catch (error) {
    return failureOf('run.json', toReplicationError(error));
  }
}
