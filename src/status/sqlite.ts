import { mkdir, rmdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Database } from 'node-sqlite3-wasm';
import type * as z from 'zod';
import { ReplicationError } from '../model/errors.ts';

export type SqliteValue = number | string | null;

/** A SQLite file. All calls are synchronous: a statement on a local file takes less than a millisecond. */
export interface SqliteDatabase {
  /** Absolute path of the file. */
  readonly path: string;
  /** All rows, each checked against the schema. @throws ReplicationError `storage` */
  all<T>(row: z.ZodType<T>, sql: string, values?: readonly SqliteValue[]): readonly T[];
  /** @returns how many rows were changed */
  run(sql: string, values?: readonly SqliteValue[]): number;
  /** All statements of `work` or none; several statements in one transaction cost one write to the disk. */
  transaction<T>(work: () => T): T;
  close(): void;
}

export interface SqliteOptions {
  /**
   * SQL scripts that bring a file from schema version n (its position) to n + 1; the version is kept in the file
   * (https://www.sqlite.org/pragma.html#pragma_user_version). A script that was released is never changed.
   */
  readonly migrations: readonly string[];
  /** Neither creates nor changes the file. */
  readonly readOnly?: boolean;
}

/** How long a statement waits for another process, in milliseconds. */
const busyMs = 5_000;

/**
 * A lock that is older than this, in milliseconds, was left by a process that was killed: transactions take milliseconds.
 * The package marks a lock by a folder `<file>.lock`, which outlives its process
 * (`_nodejsLock` in https://github.com/tndrle/node-sqlite3-wasm).
 */
const staleLockMs = 60_000;

/**
 * Opens a SQLite file, and makes its folder and the newest schema in it where they are missing.
 * @throws ReplicationError `storage` when the file cannot be opened, is no database or is locked; `configuration` when a
 *   newer version of this program has written it
 */
export async function openSqlite(path: string, options: SqliteOptions): Promise<SqliteDatabase> {
  const file = resolve(path);
  const { Database: Sqlite } = (await import('node-sqlite3-wasm')).default;
  if (options.readOnly !== true) await makeFolder(file);
  await removeStaleLock(file);
  const database = guarded(file, () => new Sqlite(file, { readOnly: options.readOnly === true }));
  try {
    guarded(file, () => {
      database.exec(`PRAGMA busy_timeout = ${busyMs}`);
      migrate(database, file, options);
    });
  } catch (error) {
    database.close();
    throw error;
  }
  return wrap(database, file);
}

function wrap(database: Database, path: string): SqliteDatabase {
  const all: SqliteDatabase['all'] = (row, sql, values = []) =>
    guarded(path, () => database.all(sql, [...values])).map((each) => parsed(row, each, path));
  return {
    path,
    all,
    run: (sql, values = []) => guarded(path, () => database.run(sql, [...values])).changes,
    transaction(work) {
      // IMMEDIATE takes the lock at once: a transaction that finds out later that it may not write would have to begin again.
      guarded(path, () => database.exec('BEGIN IMMEDIATE'));
      try {
        const result = work();
        guarded(path, () => database.exec('COMMIT'));
        return result;
      } catch (error) {
        if (database.inTransaction) database.exec('ROLLBACK');
        throw error;
      }
    },
    close: () => database.close(),
  };
}

function migrate(database: Database, path: string, { migrations, readOnly }: SqliteOptions): void {
  const version = (): number => Number(database.get('PRAGMA user_version')?.['user_version'] ?? 0);
  const found = version();
  if (found > migrations.length) {
    throw new ReplicationError(
      'configuration',
      `${path} has schema version ${found}, this program knows up to ${migrations.length}`,
      { side: 'module', reference: path, remedy: 'use the newer version of this program, or name another file' },
    );
  }
  if (found === migrations.length || readOnly === true) return;
  database.exec('BEGIN IMMEDIATE');
  try {
    // Another process may have done it while this one waited for the lock.
    for (const script of migrations.slice(version())) database.exec(script);
    database.exec(`PRAGMA user_version = ${migrations.length}`);
    database.exec('COMMIT');
  } catch (error) {
    if (database.inTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

function parsed<T>(row: z.ZodType<T>, value: unknown, path: string): T {
  const result = row.safeParse(value);
  if (result.success) return result.data;
  throw new ReplicationError('corrupt', `${path} holds a row that makes no sense: ${result.error.message}`, {
    side: 'module',
    reference: path,
    remedy: 'name another file; nothing is lost, since the registries themselves are asked',
  });
}

async function makeFolder(file: string): Promise<void> {
  try {
    await mkdir(dirname(file), { recursive: true });
  } catch (cause) {
    throw storage(
      file,
      `cannot make its folder (${text(cause)})`,
      'name a file in a folder that can be written',
      cause,
    );
  }
}

async function removeStaleLock(file: string): Promise<void> {
  const lock = `${file}.lock`;
  try {
    const { mtimeMs } = await stat(lock);
    if (Date.now() - mtimeMs > staleLockMs) await rmdir(lock);
  } catch {
    // There is none, or it may not be removed: the statement that meets it says so.
  }
}

/** SQLite's own words for its result codes: https://www.sqlite.org/rescode.html */
function guarded<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof ReplicationError) throw error;
    const message = text(error);
    if (/database is locked/i.test(message))
      throw storage(
        file,
        'another process has locked it',
        `let that one end; if there is none, a killed one has left ${file}.lock, which is taken away after a minute`,
        error,
      );
    if (/not a database|malformed/i.test(message))
      throw storage(file, 'it is no SQLite database, or a damaged one', 'name another file, or remove this one', error);
    throw storage(
      file,
      message,
      'check that file and folder can be read and written, and that the disk has room',
      error,
    );
  }
}

function storage(file: string, why: string, remedy: string, cause: unknown): ReplicationError {
  return new ReplicationError('storage', `cannot use the database ${file}: ${why}`, {
    side: 'module',
    reference: file,
    remedy,
    cause,
  });
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
