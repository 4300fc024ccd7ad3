import { resolve } from 'node:path';
import * as z from 'zod';
import { readData, type RunFolder, shardName } from '../../fleet/run-folder.ts';
import { type RunSummary, summaryOf } from '../../fleet/results.ts';
import type { Planning, ShardResult } from '../../fleet/shard.ts';
import { readResult } from '../../fleet/shard-files.ts';
import { addedBy, Told, toldTo } from '../../fleet/told.ts';
import { isReplicationError, ReplicationError } from '../../model/errors.ts';
import { Plan } from '../../model/plan.ts';
import { jsonText, writeFiles } from '../../publish/files.ts';
import { counted, formatBytes, shortened } from '../../report/format.ts';
import { type RunRecord, runRecordVersion } from '../../report/record.ts';
import { againByHand, isByHand, workerCommand } from '../fleet/by-hand.ts';
import { withRunFolder } from '../fleet/folder.ts';
import { readPlanned } from '../fleet/planned.ts';
import { brokenFile } from '../fleet/progress.ts';
import { addTotals } from '../one-try.ts';
import { reportFiles } from '../report-files.ts';
import type { JobResult, Session } from '../session.ts';

export interface SummaryOptions {
  readonly shards: string;
  /** Execution that counts what no earlier one has counted. */
  readonly execution?: string | undefined;
  readonly out: string;
}

/** Puts the results of all shards together: what was copied, what failed and why, and which shards are to be run again. */
export async function runSummary(
  session: Session,
  { shards: location, execution, out }: SummaryOptions,
): Promise<JobResult> {
  return withRunFolder(session, location, async (folder) => {
    const { plan, planning, summary } = await readRun(session, folder);
    session.reporter.emit({ type: 'run-started', job: summary.job, target: folder.location });
    // Those that went well are in the report: a run may have ten thousand.
    for (const outcome of summary.outcomes)
      if (outcome.kind === 'failed') session.reporter.emit({ type: 'artifact-finished', outcome });
    for (const message of summary.notices) session.reporter.emit({ type: 'notice', level: 'warning', message });
    const { counts, totals } = summary;
    const last = await lastTold(session, folder);
    const work = { copied: counts.copied, unchanged: counts.unchanged, bytes: totals?.bytesWritten ?? 0 };
    const told = execution === undefined ? last : toldTo(execution, work, last);
    const written = { ...overview(summary), bytesFactor: planning.bytesFactor, told };
    const report = await reportFiles({ record: recordOf(summary, folder), plan, mask: session.mask });
    const files = {
      'failed.json': jsonText(summary.failed),
      'summary.json': jsonText(written),
      'report.json': report.json,
      'report.html': report.html,
      'report.md': report.markdown,
    };
    for (const [name, text] of Object.entries(files)) await folder.write(name, session.mask.mask(text), session.signal);
    const local = await writeFiles(resolve(out), { 'summary.json': session.mask.mask(jsonText(written)) });
    tell(session, folder, summary);
    return {
      failures: summary.failures,
      totals,
      files: [...local, ...Object.keys(files).map((name) => folder.address(name))],
      task: {
        ...counts,
        bytes: work.bytes,
        ...(execution === undefined || told === undefined ? {} : { added: addedBy(told) }),
        ...taskDetails(session, summary, folder),
      },
    };
  });
}

/** A run as its folder tells it. @throws ReplicationError `configuration` when there is none */
async function readRun(
  session: Session,
  folder: RunFolder,
): Promise<{ readonly plan: Plan; readonly planning: Planning; readonly summary: RunSummary }> {
  const { signal } = session;
  const { planning, items } = await readPlanned(folder, signal);
  const plan = await readData(folder, 'plan.json', Plan, signal);
  if (plan === undefined)
    throw new ReplicationError('configuration', `there is no ${folder.address('plan.json')}`, {
      reference: folder.location,
      remedy: 'plan the run anew, into a folder of its own',
    });
  const { results, broken } = await readResults(folder, planning.run, signal);
  const remedy = (index: number): string => {
    const again = isByHand(session)
      ? `it again: ${workerCommand(folder.location, index)}`
      : 'the shards in failed.json again';
    return `see the log of its worker, and run ${again}`;
  };
  return { plan, planning, summary: summaryOf(planning, items, { results, broken, remedy }, addTotals) };
}

const Kept = z.looseObject({ told: Told.optional() });

/** What an earlier execution was told. A summary that is broken counts as none. */
async function lastTold(session: Session, folder: RunFolder): Promise<Told | undefined> {
  try {
    return (await readData(folder, 'summary.json', Kept, session.signal))?.told;
  } catch (error) {
    if (!isReplicationError(error, 'corrupt')) throw error;
    brokenFile(session)(error);
    return undefined;
  }
}

/** Results that are read at the same time. */
const readsAtOnce = 16;

async function readResults(
  folder: RunFolder,
  run: string,
  signal: AbortSignal,
): Promise<{ readonly results: ReadonlyMap<number, ShardResult>; readonly broken: ReadonlyMap<number, string> }> {
  const names = (await folder.list('results', signal)).filter((name) => /^\d{4,}\.json$/.test(name));
  const results = new Map<number, ShardResult>();
  const broken = new Map<number, string>();
  const read = async (index: number): Promise<void> => {
    const result = await readResult(folder, { run, index }, signal, ({ message }) => broken.set(index, message));
    if (result !== undefined) results.set(index, result);
  };
  const indexes = names.map((name) => Number.parseInt(name, 10));
  for (let start = 0; start < indexes.length; start += readsAtOnce)
    await Promise.all(indexes.slice(start, start + readsAtOnce).map(read));
  return { results, broken };
}

/** What `summary.json` holds. */
function overview(summary: RunSummary): Readonly<Record<string, unknown>> {
  const { run, job, counts, totals, startedAt, finishedAt, failures, failed, missing, attempts } = summary;
  return {
    version: 1,
    run,
    job,
    startedAt,
    finishedAt,
    /** Whoever looks at the folder knows by it that nobody waits for what has no result. */
    summedUpAt: new Date().toISOString(),
    ...counts,
    totals,
    attempts,
    failedShards: failed.map(({ index }) => index),
    withoutResult: missing,
    failures,
  };
}

/** Failures that Step Functions is told, and with it the mail; the report has them all. */
const mostFailures = 20;

function taskDetails(session: Session, summary: RunSummary, folder: RunFolder): Readonly<Record<string, unknown>> {
  const { bucket, key } = folder.s3 ?? { bucket: undefined, key: folder.location };
  const lines = summary.failures.map(({ artifact, cause }) => `${artifact}: ${cause}`.slice(0, 500));
  return {
    location: folder.location,
    ...(bucket === undefined ? {} : { bucket }),
    key: `${key}/failed.json`,
    failedShards: summary.failed.length,
    seconds: (Date.parse(summary.finishedAt) - Date.parse(summary.startedAt)) / 1000,
    failures: shortened(lines, mostFailures).map((line) => session.mask.mask(line)),
    report: folder.address('report.html'),
  };
}

/** As if one process had done it all. */
function recordOf(summary: RunSummary, folder: RunFolder): RunRecord {
  const { job, startedAt, finishedAt, outcomes, failures, totals } = summary;
  const hosts = new Set(outcomes.flatMap(({ targets }) => targets.map((target) => target.split('/', 1)[0] ?? '')));
  return {
    version: runRecordVersion,
    job,
    target: [...hosts].sort().join(', '),
    started: startedAt,
    finished: finishedAt,
    ok: failures.length === 0,
    phases: [{ phase: 'copy', started: startedAt }],
    planned: undefined,
    outcomes,
    failures,
    notices: summary.notices.map((message) => ({ level: 'warning' as const, message })),
    retries: [],
    totals,
    files: [folder.address('summary.json')],
  };
}

function tell(session: Session, folder: RunFolder, { counts, totals, failed, missing }: RunSummary): void {
  const { copied, unchanged, failed: failedImages } = counts;
  const say = (message: string, level: 'info' | 'warning' = 'info'): void =>
    session.reporter.emit({ type: 'notice', level, message });
  say(
    `${counted(copied, 'image')} copied (${formatBytes(totals?.bytesWritten ?? 0)}), ${unchanged} unchanged, ${failedImages} failed`,
  );
  if (failed.length === 0) return;
  const names = failed.map(({ index }) => shardName(index).replace('.json', ''));
  const without = missing.length === 0 ? '' : `, ${missing.length} of them without a result`;
  say(`shards to be run again: ${shortened(names, 50).join(', ')}${without}`, 'warning');
  if (!isByHand(session)) return;
  const indexes = failed.map(({ index }) => index);
  say(againByHand(folder.location, indexes));
}
