import { resolve } from 'node:path';
import type { CopyRequest } from '../../copy/request.ts';
import { type RunFolder, shardName } from '../../fleet/run-folder.ts';
import type { Planning, Shard, ShardItem, ShardSettings } from '../../fleet/shard.ts';
import { shardVersion } from '../../fleet/shard.ts';
import { ReplicationError } from '../../model/errors.ts';
import { type Origin, type Plan, planVersion } from '../../model/plan.ts';
import type { Failure } from '../../model/result.ts';
import { jsonText, writeFiles } from '../../publish/files.ts';
import { parseStatusLocation } from '../../status/status-location.ts';
import { counted, formatBytes } from '../../report/format.ts';
import type { JobResult, Session } from '../session.ts';
import { plannedImage } from '../copy-requests.ts';
import { lookAt } from './look.ts';
import { defaultTries, type ShardArguments } from './options.ts';
import { isByHand, nextSteps } from './by-hand.ts';
import { withRunFolder } from './folder.ts';
import { splitImages } from './split.ts';

/** What a job hands to the workers. */
export interface ShardedWork {
  readonly job: string;
  readonly requests: readonly CopyRequest[];
  /** Whether the targets were found to hold something else. */
  readonly compared: boolean;
  /** Why a request is there. */
  readonly origins?: ((request: CopyRequest) => readonly Origin[]) | undefined;
  /** Requests with the same text go to the same worker. */
  readonly together?: ((request: CopyRequest) => string) | undefined;
  readonly settings: Omit<
    ShardSettings,
    'run' | 'job' | 'insecureHosts' | 'concurrency' | 'spoolBytes' | 'tries' | 'budget' | 'workers'
  >;
  /** Images that need no worker. */
  readonly unchanged?: number;
  /** What was asked for and could not be found out. */
  readonly failures?: readonly Failure[];
}

/**
 * Writes the run folder: the plan and its shards, and last of all their list, which makes them a run. Copies nothing. Images
 * that cannot be had are told, and fail in their shards: one of them stops no other.
 */
export async function leaveShards(
  session: Session,
  command: ShardArguments & { readonly out: string },
  work: ShardedWork,
): Promise<JobResult> {
  const { signal } = session;
  checkPlaces(command);
  return withRunFolder(session, command.shards ?? '', async (folder) => {
    await refuseResults(folder, signal);
    session.reporter.emit({ type: 'phase', phase: 'shards' });
    const looked = await lookAt(work.requests, work.compared, signal);
    const split = splitImages(work.requests, looked, work.together, command);
    const images = work.requests.map((request, position) =>
      plannedImage(request, { digest: looked[position]?.digest, origins: work.origins?.(request) }),
    );
    const plannedAt = new Date().toISOString();
    const settings: ShardSettings = {
      ...work.settings,
      run: folder.run,
      job: work.job,
      plannedAt,
      tries: command.tries ?? defaultTries,
      ...(command.budget === undefined ? {} : { budget: command.budget }),
      ...(command.workers === undefined ? {} : { workers: command.workers }),
      ...(command.concurrency === undefined ? {} : { concurrency: command.concurrency }),
      ...(command.spoolBytes === undefined ? {} : { spoolBytes: command.spoolBytes }),
      ...(command.insecureHost === undefined ? {} : { insecureHosts: [...command.insecureHost] }),
    };
    const planning: Planning = {
      version: shardVersion,
      run: folder.run,
      job: work.job,
      plannedAt,
      shards: split.shards.length,
      images: images.length,
      manifests: split.manifests,
      bytes: split.bytes,
      bytesFactor: split.bytesFactor,
      unchanged: work.unchanged ?? 0,
      failures: [...(work.failures ?? [])],
    };
    const plan: Plan = { version: planVersion, job: work.job, images, charts: [] };
    const shards = split.shards.map(({ members }, index): Shard => ({
      ...settings,
      version: shardVersion,
      index,
      of: split.shards.length,
      images: members.flatMap((member) => images[member] ?? []),
    }));
    const items = split.shards.map(({ members, manifests, bytes }, index): ShardItem => ({
      shard: folder.address(`shards/${shardName(index)}`),
      index,
      images: members.length,
      manifests,
      bytes,
    }));
    await writeRun(session, folder, { plan, planning, shards, items });
    tell(session, folder, planning, [...looked.flatMap(({ failure }) => failure ?? []), ...planning.failures]);
    if (isByHand(session)) {
      const message = nextSteps(folder.location, planning.shards, settings.status);
      session.reporter.emit({ type: 'notice', level: 'info', message });
    }
    const files = await writeFiles(resolve(command.out), { 'plan.json': jsonText(plan) });
    return {
      failures: [],
      totals: undefined,
      files: [...files, folder.address('shards.json')],
      task: output(folder, planning),
    };
  });
}

/** What is wrong with these is told now, and not by every worker. @throws ReplicationError `usage` */
function checkPlaces({ statusStore, budget }: ShardArguments): void {
  if (statusStore !== undefined) parseStatusLocation(statusStore);
  if (budget !== undefined && parseStatusLocation(budget).kind !== 'dynamodb')
    throw new ReplicationError('usage', `--budget ${budget} is no table of DynamoDB`, {
      remedy: 'write dynamodb:TABLE, a table with the key "id"',
    });
}

/** Shards that workers have begun with stay as they are. */
async function refuseResults(folder: RunFolder, signal: AbortSignal): Promise<void> {
  const begun = (await folder.list('results', signal)).length + (await folder.list('progress', signal)).length;
  if (begun === 0) return;
  throw new ReplicationError('usage', `${folder.location} is the folder of a run that workers have begun with`, {
    reference: folder.location,
    remedy: 'name a folder of its own for each run; to run the failed shards again, use their failed.json',
  });
}

interface Run {
  readonly plan: Plan;
  readonly planning: Planning;
  readonly shards: readonly Shard[];
  readonly items: readonly ShardItem[];
}

/** Shards that are written at the same time. */
const writesAtOnce = 8;

async function writeRun({ mask, signal }: Session, folder: RunFolder, run: Run): Promise<void> {
  await folder.write('plan.json', jsonText(run.plan), signal);
  // It quotes what registries have answered.
  await folder.write('planning.json', mask.mask(jsonText(run.planning)), signal);
  for (let start = 0; start < run.shards.length; start += writesAtOnce)
    await Promise.all(
      run.shards
        .slice(start, start + writesAtOnce)
        .map((shard) => folder.write(`shards/${shardName(shard.index)}`, jsonText(shard), signal)),
    );
  await folder.write('shards.json', jsonText(run.items), signal);
}

function tell(session: Session, folder: RunFolder, planning: Planning, unseen: readonly Failure[]): void {
  const say = (message: string, level: 'info' | 'warning' = 'info'): void =>
    session.reporter.emit({ type: 'notice', level, message });
  for (const { artifact, cause } of unseen) say(`${artifact}: ${cause}`, 'warning');
  if (unseen.length > 0)
    say(`${counted(unseen.length, 'image')} cannot be had: the run's summary will say so`, 'warning');
  const { shards, images, bytes, manifests, bytesFactor } = planning;
  say(
    `${folder.location}: ${counted(shards, 'shard')} with ${counted(images, 'image')}, ${formatBytes(bytes)} and ${counted(manifests, 'manifest')} at most; each blob leaves its source ${bytesFactor.toFixed(2)} times`,
  );
}

/** What Step Functions hands on. */
function output(folder: RunFolder, { shards, images, bytes }: Planning): NonNullable<JobResult['task']> {
  const { bucket, key } = folder.s3 ?? { bucket: undefined, key: folder.location };
  return {
    location: folder.location,
    ...(bucket === undefined ? {} : { bucket }),
    key: `${key}/shards.json`,
    shards,
    images,
    bytes,
  };
}
