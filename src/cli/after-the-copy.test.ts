import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runProgram } from '../../test/program.ts';
import { eksArguments, startStandIns, type StandIns } from '../../test/stand-ins.ts';

let world: StandIns;
beforeAll(async () => {
  world = await startStandIns();
});
afterAll(() => world.close());

describe('a publish that fails after a good copy', () => {
  it('fails the run, still tells what was copied, and leaves no metadata', async () => {
    world.s3.fail(/^PUT /, 403, 'AccessDenied', 50);
    const run = await runProgram(eksArguments(world, '--eks-version', '1.1', '--publish'), world.env);
    expect(run.status, run.stdout).toBe(1);
    expect(run.stdout).toMatch(/copied +2 artifacts/);
    expect(run.stdout).not.toContain('metadata.json');
  });
});
