import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openRunFolder, type RunFolder } from './run-folder.ts';
import type { ShardResult } from './shard.ts';
import { readProgress, readResult } from './shard-files.ts';

const { signal } = new AbortController();
const time = '2026-11-21T10:00:00Z';
const result: ShardResult = {
  ...{ version: 1, run: 'daily', index: 3, attempts: 1, startedAt: time, finishedAt: time },
  ...{ counts: { copied: 1, unchanged: 0, failed: 0 }, failures: [], outcomes: [], notices: [] },
};
const place = { run: 'daily', index: 3 };

describe('the files of a shard', () => {
  let location: string;
  let folder: RunFolder;
  let told: string[];
  const read = (): Promise<ShardResult | undefined> =>
    readResult(folder, place, signal, ({ code, message }) => told.push(`${code}: ${message}`));
  const write = (text: string): Promise<void> => writeFile(join(location, 'results/0003.json'), text);

  beforeEach(async () => {
    told = [];
    location = await mkdtemp(join(tmpdir(), 'shard-files-test-'));
    await mkdir(join(location, 'results'));
    const none = (): never => {
      throw new Error('is not asked for');
    };
    folder = openRunFolder(location, { s3: none, writeFiles: none });
  });
  afterEach(() => rm(location, { recursive: true, force: true }));

  it('are there, or are not, without a word', async () => {
    expect(await read()).toBeUndefined();
    await write(JSON.stringify(result));
    expect(await read()).toEqual(result);
    expect(told).toEqual([]);
  });

  it('count as none and are told where they are broken, of another shard or another run, or cannot be read', async () => {
    for (const text of [
      '',
      '{',
      '{}',
      JSON.stringify({ ...result, index: 4 }),
      JSON.stringify({ ...result, run: 'x' }),
    ]) {
      await write(text);
      expect(await read(), text).toBeUndefined();
    }
    await rm(join(location, 'results/0003.json'));
    await mkdir(join(location, 'results/0003.json'));
    expect(await read()).toBeUndefined();
    const file = join(location, 'results/0003.json');
    expect(told).toEqual([
      ...Array.from({ length: 3 }, () => expect.stringContaining(`corrupt: ${file} is not what a run`) as string),
      `corrupt: ${file} holds shard 4`,
      `corrupt: ${file} is of the run x, and this folder is of daily`,
      expect.stringContaining(`storage: cannot read ${file}: EISDIR`) as string,
    ]);
  });

  it('end whoever is told and cannot go on', async () => {
    await mkdir(join(location, 'progress'));
    await writeFile(join(location, 'progress/0003.json'), '');
    const refuse = (error: Error): never => {
      throw error;
    };
    await expect(readProgress(folder, place, signal, refuse)).rejects.toMatchObject({
      code: 'corrupt',
    });
  });
});
