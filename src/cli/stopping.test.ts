import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runProgram, startProgram } from '../../test/program.ts';
import { eksArguments, startStandIns, type StandIns } from '../../test/stand-ins.ts';

// A run that is told to stop: what is under way ends, nothing new begins, nothing is published, and it says what is left.

let world: StandIns;
beforeEach(async () => {
  world = await startStandIns();
});
afterEach(() => world.close());

describe('stopping', () => {
  it('ends before Seed-Farmer ends the build by force, and goes on where it was with the next run', async () => {
    // Each blob takes a while, so that the deadline falls into the copy.
    world.open.fail({ class: 'blob-get', times: 'always', fault: { kind: 'stall', milliseconds: 900 } });
    const settings = { ...world.env, SEEDFARMER_PARAMETER_MAX_MINUTES: '0.02' };
    const run = await runProgram(eksArguments(world, '--publish'), settings);
    expect(run.status).toBe(1);
    expect(run.stdout).toContain('stopped after 0.02 minutes (MaxMinutes)');
    expect(run.stdout).toContain('apply again: what is copied already is not moved twice');
    expect(run.stdout).not.toContain('published');

    const already = world.ecr.count('upload-put');
    world.open.reset();
    const next = await runProgram(eksArguments(world, '--publish'), world.env);
    expect(next.status, next.stdout).toBe(0);
    expect(world.ecr.count('upload-put')).toBeGreaterThan(already);
  });

  it('ends any job after the minutes of --max-minutes', async () => {
    world.open.fail({ class: 'blob-get', times: 'always', fault: { kind: 'stall', milliseconds: 900 } });
    const folder = await mkdtemp(join(tmpdir(), 'stopping-'));
    const args = eksArguments(world, '--max-minutes', '0.02', '--target', `oci-layout:${folder}`);
    const run = await runProgram(args, world.env);
    await rm(folder, { recursive: true });
    expect(run.status).toBe(1);
    expect(run.stdout).toContain('stopped after 0.02 minutes (--max-minutes)');
    expect(run.stdout).toContain('run again: what is copied already is not moved twice');
  });

  it('counts the time from the start of the build', async () => {
    const settings = { ...world.env, CODEBUILD_START_TIME: String(Date.now() - 3 * 3_600_000) };
    const run = await runProgram(eksArguments(world, '--publish'), settings);
    expect(run.status).toBe(1);
    expect(run.stdout).toContain('stopped after 100 minutes (MaxMinutes)');
  });

  it('ends in order on SIGTERM', async () => {
    world.open.fail({ class: 'manifest-head', times: 'always', fault: { kind: 'stall', milliseconds: 1_500 } });
    const program = startProgram(eksArguments(world, '--publish'), world.env);
    // It listens to signals by the time it asks for something.
    while (world.open.count('manifest-head') === 0 && program.process.exitCode === null) await sleep(20);
    program.process.kill('SIGTERM');
    const run = await program.ended;
    expect(run.status).toBe(1);
    expect(run.stdout).toContain('stopped by SIGTERM: what is under way may end (20 s at most)');
    expect(run.stdout).toContain('eks: STOPPED after');
    // Said once of all that is left, and when it began.
    expect(run.stdout.match(/stopped by SIGTERM/g)).toHaveLength(2);
    expect(run.stdout).toContain('run again');
  });
});
