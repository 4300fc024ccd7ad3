import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { runProgram, spawnProgram } from '../../test/program.ts';
import { eksArguments, startStandIns, type StandIns } from '../../test/stand-ins.ts';
import { ReportData } from '../report/report-data.ts';
import { startRegistryServer } from '../testing/registry-server.ts';

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

/** Heads of the table of images. */
function heads(page: string): readonly string[] {
  return [...page.matchAll(/<th scope="col" class="[a-z]+">([^<]+)<\/th>/g)].map(([, head = '']) => head);
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
    const named = run.stdout.slice(run.stdout.lastIndexOf('files:'));
    for (const file of ['html', 'json', 'md']) expect(named).toContain(join(folder, 'good', `report.${file}`));
    expect(data.files).toContain(join(folder, 'good', 'report.html'));
  });

  it('is written in whole letters by the program as it is installed', async () => {
    const list = join(folder, 'images.txt');
    await writeFile(list, `${world.open.host}/not/there:1 ${world.ecr.host}/not/there:1`);
    const args = ['images', '--list', list, '--out', folder];
    const run = await spawnProgram([...args, '--report', join(folder, 'letters')], world.env);
    expect(run.status, run.stdout).toBe(1);
    const page = await readFile(join(folder, 'letters', 'report.html'), 'utf8');
    expect(page).toContain('<span aria-label="to">→</span>');
  });

  it('of a list has its lines, where the time went, and no column that is empty', async () => {
    const target = await startRegistryServer({ manners: 'plain' });
    onTestFinished(() => target.close());
    const list = join(folder, 'lines.txt');
    await writeFile(list, `# two\n${world.open.host}/team/init:1.0 ${target.host}/report/init:1`);
    const args = ['images', '--list', list, '--out', folder, '--report', join(folder, 'list')];
    const planned = await runProgram([...args, '--plan'], world.env);
    expect(planned.status, planned.stdout).toBe(0);
    expect((await reportOf('list')).summary.images).toEqual({ copied: 0, unchanged: 0, failed: 0, open: 1 });
    const before = await readFile(join(folder, 'list', 'report.html'), 'utf8');
    expect(before).toContain('1 image and 0 charts would be copied');
    expect(heads(before)).toEqual(['Image or chart', 'Host', 'Outcome', 'Platforms', 'Needed by']);
    const run = await runProgram([...args, '--platforms', 'linux/amd64'], world.env);
    expect(run.status, run.stdout).toBe(0);
    const page = await readFile(join(folder, 'list', 'report.html'), 'utf8');
    expect(heads(page)).toEqual(['Image or chart', 'Host', 'Outcome', 'Platforms', 'Sent', 'Time', 'Needed by']);
    expect(page).toContain('linux/amd64</td>');
    expect(page).toContain(`<code>${list}:2</code>`);
    expect(page).not.toContain('“size”');
    expect(page).toMatch(/Time: .* to copy, .*writing to targets in .*, processor /);
    expect((await reportOf('list')).totals?.spent).toMatchObject({ cpu: expect.any(Number) as number });
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
    const file = join(world.out, 'plan.json');
    expect(run.stdout).toContain(`cannot write ${file}: a part of the path is a file`);
    expect(run.stdout).toContain('what to do: give another folder with --report');
    // The summary names no files that are not there.
    expect(run.stdout).not.toContain('report.html');
  });
});
