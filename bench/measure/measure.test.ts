import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type MeasuredCommand, runMeasured } from './run-measured.ts';
import { medianOf, spreadOf } from './statistics.ts';

describe('statistics', () => {
  it('of an odd and an even number of values', () => {
    expect(spreadOf([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
    expect(spreadOf([4, 1, 10, 2])).toEqual({ median: 3, min: 1, max: 10 });
    expect(spreadOf([10, 9])).toEqual({ median: 9.5, min: 9, max: 10 });
    expect(spreadOf([7])).toEqual({ median: 7, min: 7, max: 7 });
  });

  it('of nothing is nothing, and of what is there the rest', () => {
    expect(spreadOf([])).toBeUndefined();
    expect(medianOf([undefined, undefined])).toBeUndefined();
    expect(medianOf([undefined, 5, 7])).toBe(6);
  });
});

describe('a measured run', () => {
  let folder: string;
  beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'bench-measure-'))));
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const command = (script: string, rest: Partial<MeasuredCommand> = {}): MeasuredCommand => ({
    command: 'sh',
    args: ['-c', script],
    env: { PATH: process.env['PATH'] ?? '' },
    cwd: folder,
    logFile: join(folder, 'log.txt'),
    timeoutSeconds: 20,
    signal: new AbortController().signal,
    ...rest,
  });
  const node = (code: string): string => `"${process.execPath}" -e '${code}'`;
  /** Whether a process has ended; whoever inherits orphans may leave it a zombie for a while. */
  const isGone = (pid: number): boolean => {
    const { status, stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
    return status !== 0 || stdout.startsWith('Z');
  };

  it('tells time, exit status and what was said', async () => {
    const run = await runMeasured(command('echo out; echo err >&2; sleep 0.2; exit 3'));
    expect(run).toMatchObject({ exitStatus: 3, timedOut: false });
    expect(run.seconds).toBeGreaterThan(0.2);
    expect(await readFile(join(folder, 'log.txt'), 'utf8')).toBe('out\nerr\n');
  });

  it.runIf(existsSync('/proc/self/stat'))('adds up CPU time and memory of the whole tree', async () => {
    // Two grandchildren: each holds 60 MB, and works until it has used 0.4 s.
    const work = [
      'const held = Buffer.alloc(60e6, 1)',
      'const used = () => { const { user, system } = process.cpuUsage(); return user + system }',
      'while (used() < 4e5) for (let at = 0; at < 1e6; at++) held[at]++',
      'setTimeout(() => held, 300)',
    ].join('; ');
    const run = await runMeasured(command(`${node(work)} & ${node(work)} & wait`));
    expect(run.cpuSeconds).toBeGreaterThanOrEqual(0.8);
    expect(run.cpuSeconds).toBeLessThan(3);
    expect(run.peakRssBytes).toBeGreaterThan(120e6);
  });

  it('ends the whole tree at the time limit', async () => {
    const run = await runMeasured(command('sleep 60 & echo $!; wait', { timeoutSeconds: 0.3 }));
    expect(run).toMatchObject({ exitStatus: undefined, timedOut: true });
    const pid = Number(await readFile(join(folder, 'log.txt'), 'utf8'));
    await expect.poll(() => isGone(pid)).toBe(true);
  });

  it('ends the whole tree when told to stop, and says so', async () => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 300);
    await expect(runMeasured(command('sleep 60 & echo $!; wait', { signal: stop.signal }))).rejects.toThrow('abort');
    const pid = Number(await readFile(join(folder, 'log.txt'), 'utf8'));
    await expect.poll(() => isGone(pid)).toBe(true);
  });
});
