import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
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
    timeoutSeconds: 50,
    signal: new AbortController().signal,
    ...rest,
  });
  const said = (): Promise<string> => readFile(join(folder, 'log.txt'), 'utf8').catch(() => '');
  const patience = { timeout: 40_000 };
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
    expect(await said()).toBe('out\nerr\n');
  });

  it.runIf(existsSync('/proc/self/stat'))('adds up CPU time and memory of the whole tree', async () => {
    // Two grandchildren: each holds 60 MB until it is let go, works until it has used 0.4 s, and says what it used.
    const work = [
      'const held = Buffer.alloc(60e6, 1)',
      'const used = () => { const { user, system } = process.cpuUsage(); return user + system }',
      'while (used() < 4e5) for (let at = 0; at < 1e6; at++) held[at]++',
      'console.log("worked")',
      'const { existsSync } = require("fs")',
      'const go = setInterval(() => existsSync("go") && (clearInterval(go), console.log(used(), held.length)), 50)',
    ].join('; ');
    const running = runMeasured(command(`${node(work)} & ${node(work)} & wait`));
    try {
      await expect.poll(async () => (await said()).match(/worked/g)?.length, patience).toBe(2);
      // Both are seen: the clock of the looks is that of this process, and rings more often.
      await sleep(200);
    } finally {
      await writeFile(join(folder, 'go'), '');
      await running;
    }
    const run = await running;
    const used = [...(await said()).matchAll(/^(\d+) /gm)].reduce((sum, [, micros]) => sum + Number(micros), 0) / 1e6;
    expect(used).toBeGreaterThanOrEqual(0.8);
    // The kernel counts in hundredths. What comes on top is the shell, and the end of each.
    expect(run.cpuSeconds).toBeGreaterThanOrEqual(used - 0.05);
    expect(run.cpuSeconds).toBeLessThan(2 * used);
    expect(run.peakRssBytes).toBeGreaterThan(120e6);
  });

  it('ends the whole tree at the time limit', async () => {
    const run = await runMeasured(command('sleep 600 & echo $!; wait', { timeoutSeconds: 1 }));
    expect(run).toMatchObject({ exitStatus: undefined, timedOut: true });
    // Empty where the machine stood still for so long that the shell had not begun: then nothing is left to be ended.
    const pid = Number(await said());
    await expect.poll(() => isGone(pid), patience).toBe(true);
  });

  it('ends the whole tree when told to stop, and says so', async () => {
    const stop = new AbortController();
    const running = runMeasured(command('sleep 600 & echo $!; wait', { timeoutSeconds: 600, signal: stop.signal }));
    const stopped = expect(running).rejects.toThrow('abort');
    await expect.poll(said, patience).toMatch(/^\d+\n/);
    stop.abort();
    await stopped;
    const pid = Number(await said());
    await expect.poll(() => isGone(pid), patience).toBe(true);
  });
});
