import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sqliteStatus } from './sqlite-status.ts';
import type { ImageStatus } from './status.ts';
import { parseStatusLocation } from './status-location.ts';

const signal = new AbortController().signal;
const status = (target: string, changes: Partial<ImageStatus> = {}): ImageStatus => ({
  target,
  source: 'a.example/x:1',
  digest: null,
  state: 'pending',
  tries: 0,
  started: '2026-01-01T00:00:00.000Z',
  finished: null,
  error: null,
  ...changes,
});

describe('the place of the status', () => {
  it('is a SQLite file or a DynamoDB table', () => {
    expect(parseStatusLocation('sqlite:/var/lib/a b.db')).toEqual({ kind: 'sqlite', path: '/var/lib/a b.db' });
    expect(parseStatusLocation('dynamodb:drh-ecr_1')).toEqual({ kind: 'dynamodb', table: 'drh-ecr_1' });
  });

  it.each(['', 'sqlite:', 'dynamodb:a', 'dynamodb:a/b/c', 'file.db', 'postgres:x'])('is not "%s"', (text) => {
    expect(() => parseStatusLocation(text)).toThrow(`"${text}" is no place for the status`);
  });
});

describe('the status in a SQLite file', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'image-replication-test-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('is the last word on each target, and is there for a later process', async () => {
    const path = join(folder, 'status.db');
    const store = await sqliteStatus(path, { readOnly: false });
    await store.record([status('b:1'), status('a:1')], signal);
    const failed = status('a:1', {
      state: 'failed',
      tries: 3,
      finished: '2026-01-01T00:01:00.000Z',
      error: "it's off",
    });
    await store.record([failed], signal);
    await store.close();
    const later = await sqliteStatus(path, { readOnly: true });
    expect(await later.list({}, signal)).toEqual([failed, status('b:1')]);
    expect(await later.list({ states: ['pending', 'copied'] }, signal)).toEqual([status('b:1')]);
    await expect(later.record([failed], signal)).rejects.toMatchObject({ code: 'storage' });
    await later.close();
  });
});
