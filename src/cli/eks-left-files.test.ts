import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { clearLeftFiles, writeLeftFiles } from './eks-left-files.ts';

describe('files of an earlier run', () => {
  let out: string;
  beforeEach(async () => {
    out = await mkdtemp(join(tmpdir(), 'left-'));
  });
  afterEach(() => rm(out, { recursive: true }));

  const all = async (): Promise<readonly string[]> => {
    const entries = await readdir(out, { recursive: true, withFileTypes: true });
    const files = entries.filter((each) => each.isFile()).map((each) => join(each.parentPath, each.name));
    return files.map((path) => path.slice(out.length + 1)).sort();
  };

  it('are taken away with their folders, and what is not ours stays', async () => {
    await writeLeftFiles(out, { 'remedies/web/kyverno.yaml': 'a', 'patches/web.patch': 'b' });
    await writeLeftFiles(out, { 'consumers/values/web.yaml': 'c' });
    await mkdir(join(out, 'patches'), { recursive: true });
    await writeFile(join(out, 'patches', 'mine.patch'), 'mine');
    await clearLeftFiles(out);
    expect(await all()).toEqual(['patches/mine.patch']);
    expect(await readdir(out)).toEqual(['patches']);
    await writeLeftFiles(out, { 'consumers/values/other.yaml': 'd' });
    expect(await all()).toEqual(['.left-files.json', 'consumers/values/other.yaml', 'patches/mine.patch']);
    expect(await readFile(join(out, 'consumers/values/other.yaml'), 'utf8')).toBe('d');
  });

  it.each([['["../outside.txt"]'], ['["consumers/../../outside.txt"]'], ['["plan.json"]'], ['no list']])(
    'nothing is taken for ours by a list that says %s',
    async (list) => {
      await mkdir(join(out, 'run'));
      await writeFile(join(out, 'outside.txt'), '');
      await writeFile(join(out, 'run', 'plan.json'), '');
      await writeFile(join(out, 'run', '.left-files.json'), list);
      await clearLeftFiles(join(out, 'run'));
      expect(await all()).toEqual(['outside.txt', 'run/plan.json']);
    },
  );
});
