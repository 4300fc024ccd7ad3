import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runProgram } from '../../test/program.ts';
import { eksArguments, startStandIns, type StandIns } from '../../test/stand-ins.ts';

let world: StandIns;
beforeEach(async () => {
  world = await startStandIns();
});
afterEach(() => world.close());

describe('a publish that fails after a good copy', () => {
  it('is none when only the report cannot be stored, which comes behind the result', async () => {
    world.s3.fail(/^PUT .*report\.json/, 403, 'AccessDenied', 10);
    const run = await runProgram(eksArguments(world, '--eks-version', '1.1', '--publish'), world.env);
    expect(run.status, run.stdout).toBe(0);
    expect(run.stdout).toContain('the result is published, but its report is not');
    expect(run.stdout).toContain('metadata.json');
    const written = world.s3.requests.filter((line) => line.startsWith('PUT'));
    const result = written.findIndex((line) => /-metadata\.json(?:\?|$| )/.test(line));
    expect(result).toBeGreaterThan(0);
    expect(written.slice(0, result).join('\n')).not.toContain('report');
  });

  it('fails the run, still tells what was copied, and leaves no metadata', async () => {
    world.s3.fail(/^PUT /, 403, 'AccessDenied', 50);
    const run = await runProgram(eksArguments(world, '--eks-version', '1.1', '--publish'), world.env);
    expect(run.status, run.stdout).toBe(1);
    expect(run.stdout).toMatch(/copied +2 artifacts/);
    expect(run.stdout).not.toContain('metadata.json');
  });
});
