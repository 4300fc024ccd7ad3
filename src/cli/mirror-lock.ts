import { resolve } from 'node:path';
import type { Tracking } from '../mirror/tracking.ts';
import { parseDigest } from '../model/digest.ts';
import type { PlannedImage } from '../model/plan.ts';
import { jsonText, writeFiles } from '../publish/files.ts';
import { readLock, writeLock } from '../publish/lock.ts';
import type { MirrorSection } from '../sources/mirror/mirror-file.ts';
import { announcePlan } from './announce.ts';
import { buildLock, copiedDigests } from './lock.ts';
import { checkJob, lockRequests, planFromLock } from './lock-plan.ts';
import { lockAt, refuseBesideLock, replicateLock } from './locked-run.ts';
import { type MirrorCommand, type MirrorSettings, mirrorSettings } from './mirror-settings.ts';
import { openMirrorStores } from './mirror-stores.ts';
import { tellEstimate } from './plan-estimate.ts';
import { platformTexts } from './platform-text.ts';
import type { JobResult, Session } from './session.ts';

/**
 * Leaves `replication.lock.json`: everything that the file asks for, as the database says that it lies at the target, what was
 * not due in this run included. @returns its path
 */
export async function leaveMirrorLock(
  session: Session,
  settings: MirrorSettings,
  tracking: Tracking,
  sections: readonly MirrorSection[],
  out: string,
): Promise<readonly string[]> {
  const stores = await openMirrorStores(session, settings);
  try {
    const root = `${stores.target.name}/${stores.path}`;
    const named = mirroredImages(tracking, sections, root);
    const images = named.map(({ image }) => ({
      ...image,
      targets: image.targets.map((name) => atHost(name, root, stores)),
    }));
    const outcomes = named.map(({ image: { source, targets }, digest }) => ({
      kind: 'unchanged' as const,
      artifact: source,
      targets,
      digest,
    }));
    const lock = await buildLock({
      job: 'mirror',
      target: `${stores.host}/${stores.path}`,
      images,
      charts: [],
      isolation: [],
      copied: copiedDigests(outcomes),
      sourceStore: stores.source,
      targetStore: () => stores.target,
      signal: session.signal,
    });
    return await writeLock(resolve(out), lock);
  } finally {
    await stores.close();
  }
}

/** A layout's folder is this machine's: its names have the host that stands for it. */
function atHost(name: string, root: string, { host, path }: { readonly host: string; readonly path: string }): string {
  return `${host}/${path}${name.slice(root.length)}`;
}

/** What sections took when they were last looked at; what ranges and patterns took before that is theirs no more. */
function mirroredImages(tracking: Tracking, sections: readonly MirrorSection[], root: string) {
  const states = tracking.sections();
  const byName = new Map(sections.map((section) => [section.name, section]));
  return tracking.images().flatMap(({ section: name, source, target, digest, checked, error }) => {
    const section = byName.get(name);
    if (section === undefined || digest === undefined || error !== undefined) return [];
    if (!target.startsWith(root) || states.get(name)?.checked !== checked) return [];
    const image: PlannedImage = {
      kind: 'image',
      source,
      platforms: platformTexts(section.platforms),
      targets: [target],
      origins: [{ path: `[${name}]` }],
    };
    return [{ image, digest: parseDigest(digest) }];
  });
}

/** The mirror job from a lock: exactly its images, by digest, once. The database is left alone: what is due stays due. */
export async function runLockedMirror(session: Session, command: MirrorCommand, path: string): Promise<JobResult> {
  const { config, platforms, shards, writeLock: write } = command;
  const options = { '--config': config, '--platforms': platforms, '--shards': shards, '--write-lock': write };
  refuseBesideLock(Object.entries(options).flatMap(([name, value]) => (value === undefined ? [] : [name])));
  const settings = mirrorSettings(command, session.env);
  const written = await readLock(path);
  checkJob(written, 'mirror', path);
  const stores = await openMirrorStores(session, settings);
  try {
    const root = `${stores.host}/${stores.path}`;
    const lock = lockAt(written, root, command.target !== undefined, path);
    session.reporter.emit({ type: 'run-started', job: 'mirror', target: root });
    const plan = planFromLock(lock);
    announcePlan(session.reporter, plan);
    const files = await writeFiles(resolve(command.out), { 'plan.json': jsonText(plan) });
    const from = { source: stores.source, target: () => stores.target };
    if (command.plan === true) {
      for (const { source, targets } of plan.images)
        session.reporter.emit({ type: 'notice', level: 'info', message: `${source} -> ${targets.join(', ')}` });
      return { failures: await tellEstimate(session, lockRequests(lock, from)), totals: undefined, files };
    }
    const done = await replicateLock(session, lock, from);
    return { ...done, files };
  } finally {
    await stores.close();
  }
}
