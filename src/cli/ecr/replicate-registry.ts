import { resolve } from 'node:path';
import pLimit from 'p-limit';
import { carrySettings } from '../../aws/carry-settings.ts';
import { placeName } from '../../copy/request.ts';
import { toReplicationError } from '../../model/errors.ts';
import { type Plan, planVersion } from '../../model/plan.ts';
import { type Failure, failureOf } from '../../model/result.ts';
import { jsonText, writeFiles } from '../../publish/files.ts';
import { counted, shortened } from '../../report/format.ts';
import { lockedSession, lockMismatches } from '../lock-plan.ts';
import { tellEstimate } from '../plan-estimate.ts';
import { plannedImage } from '../copy-requests.ts';
import { replicate } from '../replicate.ts';
import type { JobResult, Session } from '../session.ts';
import { deletionLines, deletionStatuses, prune } from './deletions.ts';
import type { EcrSides } from './ecr-work.ts';
import { leaveEcrLock } from './ecr-lock.ts';
import { openStatus } from './open-status.ts';
import type { EcrSettings } from './settings.ts';
import { filledFrom, sourceTag, type Surroundings } from './sides.ts';
import { absentStatus, statusRecorder, unchangedStatus } from './status-recorder.ts';
import { openEcrJob, type Opened } from './open-job.ts';
import type { EcrWork } from './work.ts';

export interface Asking {
  /** Asked before anything is deleted; without it that is not asked. */
  readonly confirm: ((count: number) => Promise<boolean>) | undefined;
}

/** Lines of a long list that are printed. */
const mostLines = 200;

/** Compares, copies with several tries, keeps the status, and prunes: the ECR job without its alarm. */
export async function replicateRegistry(
  around: Surroundings,
  settings: EcrSettings,
  asking: Asking,
): Promise<JobResult> {
  const { session } = around;
  session.reporter.emit({ type: 'phase', phase: 'compare' });
  const opened = await openEcrJob(around, settings);
  try {
    announce(session, opened);
    if (settings.sharding !== undefined) return await sharded(around, settings, settings.sharding, opened);
    const plan = planOf(opened.work);
    const files = await writeFiles(resolve(settings.out), { 'plan.json': jsonText(plan) });
    const result = settings.plan ? await planned(session, opened) : await replicated(around, settings, asking, opened);
    return { ...result, files: [...files, ...(result.files ?? [])], report: { plan } };
  } finally {
    await opened.close();
  }
}

function announce(session: Session, { work, destination }: Opened): void {
  const { reporter } = session;
  const sources = [...work.copy, ...work.unchanged].map(({ source }) => source.store.name);
  reporter.emit({ type: 'run-started', job: 'ecr', target: destination.host });
  reporter.emit({
    type: 'planned',
    images: work.copy.length,
    charts: 0,
    targets: work.copy.length,
    sources: [...new Set(sources)].sort(),
  });
  const info = (message: string, level: 'info' | 'warning' = 'info'): void =>
    reporter.emit({ type: 'notice', level, message });
  if (work.unchanged.length > 0) info(`${counted(work.unchanged.length, 'image')} the same on both sides`);
  const gone = deletionLines(work.deleted);
  if (gone.length > 0)
    info(
      [`deleted at the source, and at the destination still: ${gone.length}`, ...shortened(gone, mostLines)].join('\n'),
      'warning',
    );
}

function planOf(work: EcrWork): Plan {
  return { version: planVersion, job: 'ecr', images: work.copy.map((request) => plannedImage(request)), charts: [] };
}

async function planned(session: Session, { work }: Opened): Promise<JobResult> {
  const lines = work.copy.map((request) => `${request.artifact} -> ${request.targets.map(placeName).join(', ')}`);
  for (const message of shortened(lines, mostLines)) session.reporter.emit({ type: 'notice', level: 'info', message });
  return { failures: [...failuresOf(work), ...(await tellEstimate(session, work.copy))], totals: undefined };
}

async function replicated(
  around: Surroundings,
  settings: EcrSettings,
  { confirm }: Asking,
  { work, lock, destination, source }: Opened,
): Promise<JobResult> {
  const { session, home } = around;
  const now = (): Date => new Date();
  const store = await openStatus(settings.store, {
    aws: () => home,
    readOnly: false,
    createTable: settings.createTable,
    signal: session.signal,
  });
  try {
    const recorder = await statusRecorder(store, now, session.signal);
    await recorder.begin(work.copy);
    const when = now().toISOString();
    recorder.note(work.unchanged.map((request) => unchangedStatus(request, when)));
    recorder.note(work.absent.map((image) => absentStatus(image, when)));
    const sourceHost = source?.host ?? '';
    recorder.note(deletionStatuses(work.deleted, destination.host, sourceHost, 'deleted-at-source', when));
    const carried = settings.withSettings ? await carry(session, { work, destination, source }, settings.prefix) : [];
    const verify = settings.once || lock !== undefined;
    const copied = await replicate(
      lock === undefined ? session : lockedSession(session),
      { images: work.copy, charts: [], verify },
      (outcome, attempt) => recorder.finished(outcome, attempt),
    );
    for (const message of copied.notices) session.reporter.emit({ type: 'notice', level: 'warning', message });
    const failures: Failure[] = [...failuresOf(work), ...carried, ...copied.failures];
    if (lock !== undefined) failures.push(...lockMismatches(lock, copied.outcomes));
    if (settings.prune && work.deleted.length > 0 && destination.ecr !== undefined) {
      const pruned = await pruneIfWanted(session, failures, confirm, work, destination.ecr);
      failures.push(...(pruned ?? []));
      if (pruned?.length === 0)
        recorder.note(deletionStatuses(work.deleted, destination.host, sourceHost, 'pruned', now().toISOString()));
    }
    failures.push(...(await recorder.end()));
    const { totals, outcomes } = copied;
    if (!settings.writeLock || failures.length > 0 || session.admission.aborted) return { failures, totals };
    return { failures, totals, files: await leaveEcrLock(session, work, destination, outcomes, settings.out) };
  } finally {
    await store.close();
  }
}

/** Everything but copying: settings are carried along, and the status is kept of what no worker looks at. */
async function sharded(
  around: Surroundings,
  settings: EcrSettings,
  sharding: NonNullable<EcrSettings['sharding']>,
  opened: Opened,
): Promise<JobResult> {
  const { work, destination, source } = opened;
  const carried = settings.withSettings ? await carry(around.session, opened, settings.prefix) : [];
  const noted =
    sharding.statusStore === undefined ? [] : await noteBeside(around, settings, { work, destination, source });
  const { shardEcr } = await import('../fleet/ecr-shards.ts');
  const result = await shardEcr(around, settings, sharding, opened);
  const failures = [...result.failures, ...carried, ...noted];
  return { ...result, failures, task: failures.length === 0 ? result.task : undefined };
}

/** The status of images that are the same on both sides, and of those that are gone at the source. @returns what went wrong */
async function noteBeside(
  { session, home }: Surroundings,
  { store: location, createTable }: EcrSettings,
  { work, destination, source }: Pick<Opened, 'work' | 'destination' | 'source'>,
): Promise<readonly Failure[]> {
  const { signal } = session;
  const store = await openStatus(location, { aws: () => home, readOnly: false, createTable, signal });
  try {
    const when = new Date().toISOString();
    const statuses = [
      ...work.unchanged.map((request) => unchangedStatus(request, when)),
      ...deletionStatuses(work.deleted, destination.host, source?.host ?? '', 'deleted-at-source', when),
    ];
    const targets = statuses.map(({ target }) => target);
    const recorder = await statusRecorder(store, () => new Date(), signal, targets);
    recorder.note(statuses);
    return await recorder.end();
  } finally {
    await store.close();
  }
}

/** @returns what could not be deleted; `undefined` when nothing was to be */
async function pruneIfWanted(
  session: Session,
  failures: readonly Failure[],
  confirm: Asking['confirm'],
  { deleted }: EcrWork,
  ecr: NonNullable<EcrSides['destination']['ecr']>,
): Promise<readonly Failure[] | undefined> {
  const skip = (message: string): undefined => {
    session.reporter.emit({ type: 'notice', level: 'warning', message });
    return undefined;
  };
  if (failures.length > 0 || session.admission.aborted) {
    skip('nothing was pruned: something has failed before');
    return;
  }
  if (confirm !== undefined && !(await confirm(deletionLines(deleted).length))) {
    skip('nothing was pruned');
    return;
  }
  session.reporter.emit({ type: 'phase', phase: 'prune' });
  return prune(session, ecr, deleted);
}

/** Repositories whose settings are compared at the same time. */
const settingsAtOnce = 4;

async function carry(
  { reporter, signal }: Session,
  { work, destination, source }: Pick<Opened, 'work' | 'destination' | 'source'>,
  prefix: string,
): Promise<readonly Failure[]> {
  const { ecr } = destination;
  if (ecr === undefined || source === undefined) return [];
  reporter.emit({ type: 'phase', phase: 'settings' });
  const limit = pLimit(settingsAtOnce);
  const [from, to] = [source, ecr].map(({ aws, registryId }) => ({ ecr: () => aws.ecr(), registryId }));
  if (from === undefined || to === undefined) return [];
  const carried = work.repositories.map((pair) =>
    limit(async (): Promise<readonly Failure[]> => {
      try {
        const own = { [sourceTag]: filledFrom(source.host, prefix) };
        const differences = await carrySettings(from, pair.source, to, pair.target, own, signal);
        for (const message of differences) reporter.emit({ type: 'notice', level: 'info', message });
        return [];
      } catch (error) {
        return [failureOf(`settings of ${pair.target}`, toReplicationError(error, { side: 'target', host: ecr.host }))];
      }
    }),
  );
  return (await Promise.all(carried)).flat();
}

function failuresOf({ failures, absent }: EcrWork): readonly Failure[] {
  return [...failures, ...absent.map(({ failure }) => failure)];
}
