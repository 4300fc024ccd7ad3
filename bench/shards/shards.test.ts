import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { main } from '../main.ts';
import { planFleetCorpus } from './corpus.ts';
import { measureSplit } from './measure.ts';
import { ShardsReport } from './report.ts';

const size = { images: 1000, blobs: 10_000, bytes: 2e12, seed: 'test' };
const inputs = planFleetCorpus(size);
/** What depends on the machine and on what else it does. */
const ofTheMachine = /^(plannedIn|peakRssBytes) /;

describe('a plan of 1,000 images, 10,000 blobs and 2 TB', () => {
  it('is as large as that, and the same each time', () => {
    const blobs = new Map(inputs.flatMap((input) => input.blobs.map((blob) => [blob.digest, blob.size] as const)));
    expect(inputs).toHaveLength(1000);
    expect(blobs.size).toBe(10_000);
    expect([...blobs.values()].reduce((sum, bytes) => sum + bytes, 0) / 2e12).toBeCloseTo(1, 4);
    expect(planFleetCorpus(size)).toEqual(inputs);
  });

  it.each([2, 4, 10, 40, 100] as const)('is split into %d shards within a tenth of what is possible', (count) => {
    const run = measureSplit(inputs, { count }, 'test');
    expect(run.wrong.filter((why) => !ofTheMachine.test(why))).toEqual([]);
    expect(run.shards).toBe(count);
    expect(run.seconds / run.lowerBound).toBeLessThan(1.05);
    expect(run.bytesFactor).toBeLessThan(1.05);
    // Dealt out by chance, it is not.
    expect(run.dealt.bytesFactor).toBeGreaterThan(run.bytesFactor);
    expect(run.dealt.seconds).toBeGreaterThan(run.seconds);
  });
});

describe('bench shards', () => {
  let folder: string;
  beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'bench-shards-'))));
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const run = async (...args: readonly string[]) => {
    let said = '';
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        said += chunk.toString('utf8');
        done();
      },
    });
    const argv = ['node', 'bench', 'shards', ...args];
    const status = await main(argv, { stdout: sink, stderr: sink }, new AbortController().signal);
    return { status, said };
  };

  it('prints a table, and leaves it and the figures in files', async () => {
    const [json, markdown] = [join(folder, 'shards.json'), join(folder, 'shards.md')];
    const small = ['--images', '60', '--blobs', '500', '--bytes', '100000000000', '--counts', '2,auto'];
    const { said } = await run(...small, '--workers', '2', '--json', json, '--markdown', markdown);
    const report = ShardsReport.parse(JSON.parse(await readFile(json, 'utf8')));
    expect(report.corpus).toMatchObject({ images: 60, blobs: 500 });
    expect(report.runs.map(({ asked }) => asked)).toEqual(['2', 'auto, 2 at once']);
    expect(said).toMatch(/^60 images, .* 500 blobs of 100 GB /m);
    expect(await readFile(markdown, 'utf8')).toContain('| shards | longest | lower bound | ratio |');
  });

  it.each([
    [['--counts', '0'], 'above 0'],
    [['--counts', '10001'], 'at most 10000'],
    [['--images', 'many'], 'above 0'],
  ])('refuses %j', async (args, why) => {
    const { status, said } = await run(...args);
    expect(status).toBe(2);
    expect(said).toContain(why);
  });
});
