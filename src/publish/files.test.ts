import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { refusal } from '../../test/refusal.ts';
import { jsonText, writeFileAtomic, writeFiles } from './files.ts';

describe('files', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'image-replication-files-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('are written into a folder that is made when missing, and replaced whole', async () => {
    const out = join(folder, 'a', 'out');
    await writeFiles(out, { 'replication_result.json': jsonText({ a: 1 }), 'updated_images.json': '[]' });
    await writeFiles(out, { 'replication_result.json': jsonText({ b: 2 }) });
    expect(await readFile(join(out, 'replication_result.json'), 'utf8')).toBe('{\n  "b": 2\n}\n');
    expect((await readdir(out)).sort()).toEqual(['replication_result.json', 'updated_images.json']);
  });

  it('leave nothing behind when writing fails', async () => {
    await writeFile(join(folder, 'x'), 'a file');
    expect((await refusal(writeFiles(join(folder, 'x'), { a: 'b' }))).code).toBe('storage');
    expect((await refusal(writeFiles(join(folder, 'x', 'y'), { a: 'b' }))).message).toContain(
      'a part of the path is a file',
    );
    expect(await readdir(folder)).toEqual(['x']);
  });

  it.skipIf(!existsSync('/proc/self'))('in a folder that takes none are a storage error with a remedy', async () => {
    // Neither root nor anybody else can create files there.
    const error = await refusal(writeFileAtomic('/proc/self/replication_result.json', '{}'));
    expect(error.code).toBe('storage');
    expect(error.message).toContain('/proc/self/replication_result.json');
    expect(error.remedy).toContain('--out');
  });
});
