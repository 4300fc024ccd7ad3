import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeTree } from './write-tree.ts';

it('writes files into folders that it makes, and again over them', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tree-'));
  try {
    const files = { 'a.txt': '1', 'x/b.txt': '2', 'x/y/c.txt': '3', 'x/d.txt': '4' };
    await writeTree(join(folder, 'out'), { 'x/b.txt': 'old' });
    const paths = await writeTree(join(folder, 'out'), files);
    expect([...paths].sort()).toEqual(
      Object.keys(files)
        .map((name) => join(folder, 'out', name))
        .sort(),
    );
    for (const [name, content] of Object.entries(files))
      expect(await readFile(join(folder, 'out', name), 'utf8')).toBe(content);
  } finally {
    await rm(folder, { recursive: true });
  }
});
