import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeFolder } from './files.ts';

describe('makeFolder', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'make-folder-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('makes a folder with those above it, once or many times at once', async () => {
    const deep = path.join(folder, 'a/b/c/d');
    await Promise.all([1, 2, 3].map(() => makeFolder(deep)));
    await makeFolder(deep);
    expect((await stat(deep)).isDirectory()).toBe(true);
    await makeFolder('/');
  });

  it('says why the file system refused', async () => {
    const file = path.join(folder, 'file');
    await writeFile(file, '');
    await expect(makeFolder(file)).rejects.toThrow('EEXIST');
    await expect(makeFolder(path.join(file, 'below/deep'))).rejects.toThrow('ENOTDIR');
  });

  it.skipIf(process.platform !== 'linux')('ends where no folder can be made', async () => {
    await expect(makeFolder('/proc/nothing/here')).rejects.toThrow('ENOENT');
  });
});
