import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runProgram } from '../../test/program.ts';
import { eksArguments, startStandIns, type StandIns } from '../../test/stand-ins.ts';
import { ReportData } from '../report/report-data.ts';

let world: StandIns;
let folder = '';
beforeAll(async () => {
  world = await startStandIns();
  folder = await mkdtemp(join(tmpdir(), 'report-test-'));
});
afterAll(async () => {
  await world.close();
  await rm(folder, { recursive: true, force: true });
});

async function reportOf(name: string): Promise<ReportData> {
  return ReportData.parse(JSON.parse(await readFile(join(folder, name, 'report.json'), 'utf8')));
}

describe('--report', () => {
  it('leaves a page, data and a summary of a run that ended well', async () => {
    const run = await runProgram([...eksArguments(world), '--report', join(folder, 'good')], world.env);
    expect(run.status, run.stdout).toBe(0);
    const data = await reportOf('good');
    expect(data.artifacts.length).toBeGreaterThan(10);
    expect(data.artifacts.every(({ outcome }) => outcome === 'copied')).toBe(true);
    const page = await readFile(join(folder, 'good', 'report.html'), 'utf8');
    for (const { artifact } of data.artifacts) expect(page).toContain(artifact);
    expect(await readFile(join(folder, 'good', 'report.md'), 'utf8')).toMatch(/^# /);
  });

  it('leaves them after a run that failed, too', async () => {
    world.ecr.reset();
    world.open.fail({ class: 'manifest-get', times: 'always', fault: { kind: 'status', status: 403 } });
    const run = await runProgram([...eksArguments(world), '--report', join(folder, 'bad')], world.env);
    expect(run.status).toBe(1);
    const data = await reportOf('bad');
    expect(data.failures.length).toBeGreaterThan(0);
  });

  it('that cannot be written is a failure', async () => {
    world.open.reset();
    const run = await runProgram([...eksArguments(world), '--report', join(world.out, 'plan.json')], world.env);
    expect(run.status).toBe(1);
    expect(run.stderr).toContain('plan.json');
  });
});
