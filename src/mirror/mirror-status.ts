import { existsSync } from 'node:fs';
import * as z from 'zod';
import { isReplicationError, ReplicationError } from '../model/errors.ts';
import { openSqlite } from '../status/sqlite.ts';
import type { ImageStatus, StatusStore } from '../status/status.ts';
import type { SectionState } from './schedule.ts';
import { type ImageState, openTracking } from './tracking.ts';

/** Whether a file is the database of a mirror. Files that are none, or no database at all, are for others to complain of. */
export async function isMirrorDatabase(path: string): Promise<boolean> {
  if (!existsSync(path)) return false;
  try {
    const database = await openSqlite(path, { migrations: [''], readOnly: true });
    try {
      const query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'mirror_image'";
      return database.all(z.object({ name: z.string() }), query).length > 0;
    } finally {
      database.close();
    }
  } catch (error) {
    if (isReplicationError(error)) return false;
    throw error;
  }
}

/** The database of a mirror as the status of its images, to be looked at only. @throws ReplicationError `storage`, `configuration` */
export async function mirrorStatus(path: string): Promise<StatusStore> {
  const tracking = await openTracking(path, { readOnly: true });
  const name = `sqlite:${path}`;
  return {
    name,
    record: () => Promise.reject(new ReplicationError('internal', `${name} is a mirror's, and only looked at`)),
    list({ states, targets }) {
      const sections = tracking.sections();
      const images = tracking.images();
      const tracked = new Set(images.map(({ section }) => section));
      const all = [
        ...images.map((image) => statusOfImage(image, sections.get(image.section))),
        // A section whose tags could not be found out has no image.
        ...[...sections.values()].filter(({ section }) => !tracked.has(section)).flatMap(statusOfSection),
      ];
      return Promise.resolve(
        all.filter(({ state, target }) => states?.includes(state) !== false && targets?.includes(target) !== false),
      );
    },
    async close() {
      tracking.close();
    },
  };
}

/** An image that came to the target when it was last looked at was copied then. */
function statusOfImage(image: ImageState, section: SectionState | undefined): ImageStatus {
  const { target, source, digest = null, mirrored, checked, error = null } = image;
  const time = new Date(checked).toISOString();
  const common = { target, source, digest, started: time, finished: time, error };
  if (error !== null) return { ...common, state: 'failed', tries: Math.max(1, section?.failures ?? 1) };
  return mirrored === checked ? { ...common, state: 'copied', tries: 1 } : { ...common, state: 'unchanged', tries: 0 };
}

function statusOfSection({ section, checked, failures, error }: SectionState): readonly ImageStatus[] {
  if (error === undefined) return [];
  const time = new Date(checked).toISOString();
  const name = `[${section}]`;
  return [
    {
      target: name,
      source: name,
      digest: null,
      state: 'failed',
      tries: failures,
      started: time,
      finished: time,
      error,
    },
  ];
}
