import { type FileHandle, open, rename } from 'node:fs/promises';
import * as z from 'zod';
import { ReplicationError } from '../model/errors.ts';
import { openSqlite, type SqliteDatabase } from '../status/sqlite.ts';
import type { SectionState } from './schedule.ts';

/** What is known of one image at the target. Times are milliseconds since 1970. */
export interface ImageState {
  /** Complete name: host/repository:tag. */
  readonly target: string;
  readonly section: string;
  readonly source: string;
  /** `undefined` until it was mirrored for the first time. */
  readonly digest: string | undefined;
  /** When this digest came to the target. */
  readonly mirrored: number | undefined;
  /** When it was last compared with its source. */
  readonly checked: number;
  readonly error: string | undefined;
}

/** The database of mirrored images. */
export interface Tracking {
  sections(): ReadonlyMap<string, SectionState>;
  /** Sorted by target. */
  images(): readonly ImageState[];
  /** Remembers what a pass did, all of it or nothing. */
  record(sections: readonly SectionState[], images: readonly ImageState[]): void;
  /** Forgets sections that are in the file no more; what they have mirrored stays at the target. */
  keepOnly(sections: readonly string[]): void;
  close(): void;
}

/** Times are INTEGER milliseconds, everything else is text. */
const migrations = [
  `CREATE TABLE mirror_section (
     section TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, checked INTEGER NOT NULL, next INTEGER,
     failures INTEGER NOT NULL, error TEXT);
   CREATE TABLE mirror_image (
     target TEXT PRIMARY KEY, section TEXT NOT NULL, source TEXT NOT NULL, digest TEXT, mirrored INTEGER,
     checked INTEGER NOT NULL, error TEXT);
   CREATE INDEX mirror_image_section ON mirror_image (section);`,
];

/** SQLite gives what does not fit into 32 bits as a bigint. */
const Time = z.union([z.number(), z.bigint()]).transform(Number);
const optional = <T>(schema: z.ZodType<T>) => schema.nullable().transform((value) => value ?? undefined);
const SectionRow = z.object({
  section: z.string(),
  fingerprint: z.string(),
  checked: Time,
  next: optional(Time),
  failures: z.number(),
  error: optional(z.string()),
});
const ImageRow = z.object({
  target: z.string(),
  section: z.string(),
  source: z.string(),
  digest: optional(z.string()),
  mirrored: optional(Time),
  checked: Time,
  error: optional(z.string()),
});

/** Opens or makes the database. @throws ReplicationError `storage`, `configuration` */
export async function openTracking(path: string, options: { readonly readOnly?: boolean } = {}): Promise<Tracking> {
  return tracking(await openSqlite(path, { migrations, readOnly: options.readOnly === true }));
}

function tracking(database: SqliteDatabase): Tracking {
  return {
    sections: () => new Map(database.all(SectionRow, 'SELECT * FROM mirror_section').map((row) => [row.section, row])),
    images: () => database.all(ImageRow, 'SELECT * FROM mirror_image ORDER BY target'),
    record: (sections, images) =>
      database.transaction(() => {
        for (const each of sections)
          database.run('REPLACE INTO mirror_section VALUES (?, ?, ?, ?, ?, ?)', [
            each.section,
            each.fingerprint,
            each.checked,
            each.next ?? null,
            each.failures,
            each.error ?? null,
          ]);
        for (const each of images)
          database.run('REPLACE INTO mirror_image VALUES (?, ?, ?, ?, ?, ?, ?)', [
            each.target,
            each.section,
            each.source,
            each.digest ?? null,
            each.mirrored ?? null,
            each.checked,
            each.error ?? null,
          ]);
      }),
    keepOnly(sections) {
      const gone = [...this.sections().keys(), ...this.images().map(({ section }) => section)].filter(
        (name) => !sections.includes(name),
      );
      database.transaction(() => {
        for (const name of new Set(gone)) {
          database.run('DELETE FROM mirror_section WHERE section = ?', [name]);
          database.run('DELETE FROM mirror_image WHERE section = ?', [name]);
        }
      });
    },
    close: () => database.close(),
  };
}

const sqliteHeader = 'SQLite format 3\u0000';

/**
 * The original's database is a text file with a reference a line, under the very same name (cradules/docker-mirror,
 * src/modules/dmmisc.py, insert_db). It tells nothing that the registries do not: it is moved aside.
 * @returns where it is now, or `undefined` when there was none
 */
export async function setAsideTextDatabase(path: string): Promise<string | undefined> {
  const beginning = await beginningOf(path);
  if (beginning === undefined || beginning === '' || beginning.startsWith(sqliteHeader)) return undefined;
  const lines = beginning.split('\n').slice(0, -1);
  if (lines.length === 0 || !lines.every((line) => /^[\w.:/@-]*$/.test(line))) return undefined;
  const aside = `${path}.before`;
  try {
    await rename(path, aside);
  } catch (cause) {
    throw new ReplicationError('storage', `cannot move ${path}, the original's list, to ${aside}`, {
      side: 'module',
      reference: path,
      remedy: 'remove it, or name another database with DB_PATH',
      cause,
    });
  }
  return aside;
}

async function beginningOf(path: string): Promise<string | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch {
    return undefined;
  }
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
    return buffer.subarray(0, bytesRead).toString('latin1');
  } finally {
    await file.close();
  }
}
