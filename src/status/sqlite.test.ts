import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { openSqlite } from './sqlite.ts';

const Row = z.object({ name: z.string(), size: z.number().nullable() });
const first = 'CREATE TABLE things (name TEXT PRIMARY KEY)';
const second = 'ALTER TABLE things ADD COLUMN size INTEGER';

describe('a SQLite file', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'image-replication-test-'));
    path = join(folder, 'deep/er/state.db');
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('is made with its folder, and brought to the newest schema with its content kept', async () => {
    const old = await openSqlite(path, { migrations: [first] });
    old.run('INSERT INTO things VALUES (?)', ['a']);
    old.close();
    const now = await openSqlite(path, { migrations: [first, second] });
    expect(now.run('UPDATE things SET size = ?', [3])).toBe(1);
    expect(now.all(Row, 'SELECT * FROM things WHERE name = ?', ['a'])).toEqual([{ name: 'a', size: 3 }]);
    now.close();
    await expect(openSqlite(path, { migrations: [first] })).rejects.toThrow(
      'has schema version 2, this program knows up to 1',
    );
  });

  it('keeps nothing of a transaction that fails, nor of a migration', async () => {
    const database = await openSqlite(path, { migrations: [first, second] });
    expect(() =>
      database.transaction(() => {
        database.run('INSERT INTO things VALUES (?, ?)', ['a', null]);
        database.run('INSERT INTO things VALUES (?, ?)', ['a', null]);
      }),
    ).toThrow('UNIQUE');
    expect(database.all(Row, 'SELECT * FROM things')).toEqual([]);
    database.close();
    await expect(
      openSqlite(path, { migrations: [first, second, 'CREATE TABLE more (x); nonsense'] }),
    ).rejects.toMatchObject({ code: 'storage' });
    const again = await openSqlite(path, { migrations: [first, second, 'CREATE TABLE more (x)'] });
    expect(again.all(z.object({}), 'SELECT * FROM more')).toEqual([]);
    again.close();
  });

  it('that is none, is absent, or cannot be there is a clear error', async () => {
    const file = join(folder, 'text.db');
    await writeFile(file, 'this is a letter to a friend\n'.repeat(50));
    await expect(openSqlite(file, { migrations: [first] })).rejects.toMatchObject({
      code: 'storage',
      message: `cannot use the database ${file}: it is no SQLite database, or a damaged one`,
    });
    await expect(openSqlite(join(file, 'below.db'), { migrations: [first] })).rejects.toThrow('cannot make its folder');
    await expect(openSqlite(path, { migrations: [first], readOnly: true })).rejects.toMatchObject({ code: 'storage' });
    expect(existsSync(path)).toBe(false);
  });

  it('tells of a lock; takes away one that a killed process left', async () => {
    (await openSqlite(path, { migrations: [first] })).close();
    await mkdir(`${path}.lock`);
    const long = new Date(Date.now() - 3_600_000);
    await utimes(`${path}.lock`, long, long);
    const database = await openSqlite(path, { migrations: [first] });
    await mkdir(`${path}.lock`);
    // This connection's own wait is 5 s; SQLite takes a later setting.
    database.all(z.object({}), 'PRAGMA busy_timeout = 10');
    expect(() => database.run('INSERT INTO things VALUES (?)', ['a'])).toThrow('another process has locked it');
    await rm(`${path}.lock`, { recursive: true });
    database.run('INSERT INTO things VALUES (?)', ['a']);
    database.close();
  });
});
