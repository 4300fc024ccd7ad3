import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from '../../test/tools.ts';
import { ShardsReport } from './report.ts';

/** Ten workers at once, and as many shards as there may be. */
const counts = ['auto', '1000'];

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'bench-shards-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A process of its own, whose memory is the planner's and nothing else's. */
it('splits 10,000 images with 100,000 blobs of 20 TB as it is promised: makespan, bytes, time, memory, limits of AWS', async () => {
  const json = join(folder, 'shards.json');
  const args = ['scripts/bench.js', 'shards', '--counts', counts.join(), '--json', json];
  await promisify(execFile)(process.execPath, args, { cwd: root });
  const { corpus, runs } = ShardsReport.parse(JSON.parse(await readFile(json, 'utf8')));
  expect(corpus).toMatchObject({ images: 10_000, blobs: 100_000 });
  expect(corpus.bytes / 20e12).toBeCloseTo(1, 3);
  expect(runs).toHaveLength(counts.length);
  for (const run of runs) {
    // Limits of Step Functions and ECS are in it.
    expect(run.wrong, run.asked).toEqual([]);
    expect(run.seconds / run.lowerBound, run.asked).toBeLessThanOrEqual(1.1);
    expect(run.bytesFactor, run.asked).toBeLessThanOrEqual(1.1);
    // A bound of the plan's, of which it takes a twentieth: no matter how busy the machine is.
    expect(run.plannedIn, run.asked).toBeLessThan(60);
    expect(run.peakRssBytes, run.asked).toBeLessThan(2 ** 30);
  }
});
