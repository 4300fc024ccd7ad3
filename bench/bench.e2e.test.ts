import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeWith, root } from '../test/tools.ts';
import { sampleCharts } from '../src/testing/samples.ts';
import { DiscoveryReport } from './discovery/report.ts';
import { BenchReport } from './report/document.ts';

describeWith(['registry'], 'npm run bench', () => {
  let folder: string;
  beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'bench-e2e-'))));
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const start = (...args: readonly string[]): ChildProcessByStdio<null, Readable, Readable> =>
    spawn(process.execPath, ['scripts/bench.js', '--tools', 'ours', '--out', join(folder, 'out'), ...args], {
      cwd: root,
      // Its folders for source and target are made here, so that what it leaves is seen.
      env: { ...process.env, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const leftovers = async (bench: ChildProcess): Promise<readonly string[]> =>
    [...(await readdir(folder)), ...(await readdir('/dev/shm').catch(() => []))].filter((name) =>
      name.startsWith(`image-replication-bench-${bench.pid ?? 0}-`),
    );

  it('copies, verifies, measures, and leaves tables and JSON', async () => {
    const [json, markdown] = [join(folder, 'bench.json'), join(folder, 'bench.md')];
    const bench = start('--scale', '0.01', '--reps', '1', '--json', json, '--markdown', markdown);
    const [said, notes] = await Promise.all([text(bench.stdout), text(bench.stderr), once(bench, 'close')]);
    expect(bench.exitCode, said + notes).toBe(0);

    const report = BenchReport.parse(JSON.parse(await readFile(json, 'utf8')));
    expect(report.manifests).toEqual({ eks: { cold: 12, incr: 3 } });
    expect(report.runs.map(({ scenario, complete }) => [scenario, complete])).toEqual([
      ['cold', true],
      ['noop', true],
      ['incr', true],
    ]);
    const [cold, noop, incr] = report.runs;
    // 12 manifests beyond a burst of 10, at 10 a second.
    expect(cold?.seconds).toBeGreaterThan(0.2);
    expect(cold?.source.bytesToClient).toBeGreaterThan(12e6);
    expect(cold?.target.bytesToServer).toBeGreaterThan(12e6);
    expect(cold?.target.requests['manifest-put']).toBeGreaterThanOrEqual(12);
    expect(cold?.cpuSeconds).toBeGreaterThan(0);
    expect(cold?.peakRssBytes).toBeGreaterThan(20e6);
    expect(noop?.target.requests).toMatchObject({ 'manifest-put': 0, 'upload-put': 0 });
    expect(noop?.source.requests['blob-get']).toBe(0);
    expect(incr?.target.requests['manifest-put']).toBe(3);

    expect(said).toContain('eks, wan-put10, incr');
    expect(await readFile(markdown, 'utf8')).toContain('### eks, wan-put10, noop');
    expect(existsSync(join(folder, 'out/eks-wan-put10-1-ours-cold/log.txt'))).toBe(true);
    expect(await leftovers(bench)).toEqual([]);
  });

  it('cleans up when it is interrupted, and shows what it has', async () => {
    const bench = start('--scale', '0.05', '--profile', 'wan');
    const notes: string[] = [];
    bench.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      notes.push(chunk);
      // In the middle of the first copy.
      if (chunk.includes('repetition 1:')) setTimeout(() => bench.kill('SIGINT'), 300);
    });
    const [said] = await Promise.all([text(bench.stdout), once(bench, 'close')]);
    expect(bench.exitCode, notes.join('')).toBe(130);
    expect(said).toContain('Interrupted');
    expect(await leftovers(bench)).toEqual([]);
    // Of processes that were killed the system may take its time to end the last.
    await expect.poll(commandLines, { timeout: 60_000 }).not.toContain(folder);
  });
});

describeWith(['helm4'], 'npm run bench -- discovery', () => {
  let folder: string;
  beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'bench-discovery-'))));
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const run = async (...args: readonly string[]) => {
    const bench = spawn(process.execPath, ['scripts/bench.js', 'discovery', ...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [said, notes] = await Promise.all([text(bench.stdout), text(bench.stderr), once(bench, 'close')]);
    return { status: bench.exitCode, said, notes };
  };

  it('measures renders and seconds per chart, and leaves a table and JSON', async () => {
    for (const { file, bytes } of sampleCharts().slice(0, 2)) await writeFile(join(folder, file), bytes);
    const [json, markdown] = [join(folder, 'discovery.json'), join(folder, 'discovery.md')];
    const { status, said, notes } = await run('--charts', folder, '--json', json, '--markdown', markdown);
    expect(status, said + notes).toBe(0);
    const report = DiscoveryReport.parse(JSON.parse(await readFile(json, 'utf8')));
    expect(report.charts).toHaveLength(2);
    for (const { references, renders, helmSeconds, refused } of report.charts) {
      expect(refused).toBeUndefined();
      expect(references).toBeGreaterThan(0);
      expect(renders).toBeGreaterThanOrEqual(2);
      expect(renders).toBeLessThanOrEqual(12);
      expect(helmSeconds).toBeGreaterThan(0);
    }
    expect(said).toMatch(/^2 charts in [\d.]+ s, .* renders each .* at a time on \d+ cores\.$/m);
    expect(await readFile(markdown, 'utf8')).toContain('| chart | version | references | renders |');
  });

  it('without charts is wrong usage', async () => {
    const { status, notes } = await run('--charts', join(folder, 'nowhere'));
    expect(status).toBe(2);
    expect(notes).toContain('cannot read charts from');
  });
});

/** Of all processes, where the system tells. */
async function commandLines(): Promise<string> {
  const pids = await readdir('/proc').catch(() => []);
  const lines = pids
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''));
  return (await Promise.all(lines)).join('\n');
}
