import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ProgramRun, runProgram, startProgram, type Variables } from '../../test/program.ts';
import { buildImage } from '../testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';

// The application chart's job without a chart: lists, names, and every message that tells what is wrong.

describe('the chart job', () => {
  let source: RegistryServer;
  let target: RegistryServer;
  let folder: string;
  let lists: readonly string[];
  beforeEach(async () => {
    [source, target, folder] = await Promise.all([
      startRegistryServer({ manners: 'plain' }),
      startRegistryServer({ manners: 'plain' }),
      mkdtemp(join(tmpdir(), 'chart-job-')),
    ]);
    await source.putImage('a/one', '1.0', buildImage({ name: 'one' }));
    await source.putImage('b/one', '1.0', buildImage({ name: 'another one' }));
    await source.putImage('c/one', '1.0', buildImage({ name: 'one' }));
    lists = [
      '--static-images',
      await file('images.json', '[]'),
      '--static-code-collections',
      await file('code.json', '[]'),
    ];
  });
  afterEach(async () => {
    await Promise.all([source.close(), target.close(), rm(folder, { recursive: true, force: true })]);
  });

  async function file(name: string, text: string): Promise<string> {
    await writeFile(join(folder, name), text);
    return join(folder, name);
  }
  const extra = (...lines: readonly string[]): Promise<string> => file('extra.txt', lines.join('\n'));
  async function run(args: readonly string[], env: Variables = {}): Promise<ProgramRun> {
    const path = `${dirname(process.execPath)}:/usr/bin:/bin`;
    const all = ['chart', '-c', '', ...lists, '--out', join(folder, 'out'), ...args];
    return runProgram(all, { PATH: path, HOME: folder, AWS_EC2_METADATA_DISABLED: 'true', ...env });
  }
  const there = (): readonly string[] => ['--registry', target.host];

  async function refused(args: readonly string[], status: 1 | 2, ...messages: readonly string[]): Promise<void> {
    const { status: actual, stdout, stderr } = await run(args);
    const said = stdout + stderr;
    for (const message of messages) expect(said).toContain(message);
    expect(actual, said).toBe(status);
  }

  it('says that there are no AWS credentials, when the target is ECR', async () => {
    await refused(['-e', await extra(`${source.host}/a/one:1.0`)], 1, 'unable to locate AWS credentials');
  });

  it('takes its prefix from the target alone, also in lists', async () => {
    const list = await file(
      'one.json',
      `[{"repository_image": "${source.host}/a/one", "destination": "{prefix}/one"}]`,
    );
    const planned = await run(['--target', `${target.host}/apps`, '--static-images', list, '--plan']);
    expect(planned.status, planned.stdout).toBe(0);
    expect(planned.stdout).toContain(`-> ${target.host}/apps/one:1.0`);
  });

  it('refuses a list that is no JSON, with its line', async () => {
    const broken = await file('broken.json', '[\n{"repository_image": "a/b",}\n]');
    await refused([...there(), '--static-images', broken], 2, `${broken}:2: is no valid JSON`);
  });

  it('refuses a tag that is there twice, and everything else that is wrong with extra images, at once', async () => {
    const path = await extra('a/one:1.0:1.0', 'B@D');
    await refused(
      [...there(), '-e', path],
      2,
      `${path}:1: "a/one:1.0:1.0" has two tags`,
      `${path}:2: "B@D" is not an image`,
    );
  });

  it('refuses options that contradict each other and files that are not there, all in one run', async () => {
    const args = [
      ...there(),
      '--date-tags',
      '--latest',
      '-p',
      'Upper',
      '-f',
      '/no/values.yaml',
      '-e',
      '/no/extra.txt',
      '--arch',
      'amd64',
      '--platforms',
      'linux/arm64',
      '--uncontrolled',
      'no',
    ];
    await refused(args, 2, '--date-tags and --latest', '"Upper" is no prefix', '/no/values.yaml', '/no/extra.txt', '--arch and --platforms', '--uncontrolled is "no"'); // prettier-ignore
    await refused([...there(), '--target', 'x/y'], 2, '--registry and --target do not go together');
    await refused(['--registry', `${target.host}/path`], 2, 'is no registry');
    await refused([...there(), '--extra-image', 'x'], 2, 'Did you mean --extra-images?');
  });

  it('refuses two images for one name, unless they are the same', async () => {
    const both = await extra(`${source.host}/a/one:1.0`, `${source.host}/b/one:1.0`);
    await refused([...there(), '-e', both], 2, 'would both become', 'test-rwl-runwhen/one:1.0');
    const same = await extra(
      `${source.host}/a/one:1.0`,
      `${source.host}/c/one:1.0`,
      `${source.host}/b/one:1.0 other/one:2`,
    );
    const result = await run([...there(), '-e', same]);
    expect(result.status, result.stdout).toBe(0);
    expect(target.tags('test-rwl-runwhen/one')).toEqual(['1.0']);
    expect(target.tags('other/one')).toEqual(['2']);
  });

  it('tells which image failed and why, copies the others, and ends with 1', async () => {
    const path = await extra(`${source.host}/no/such:1`, `${source.host}/a/one:1.0 fine/one`);
    await refused([...there(), '-e', path], 1, `${source.host}/no/such:1`, 'not found');
    expect(target.tags('fine/one')).toEqual(['1.0']);
  });

  it('asks for the most recent tag where a list names none, and tells when there is none', async () => {
    const list = await file(
      'static.json',
      JSON.stringify([
        { repository_image: `${source.host}/a/one`, destination: '{prefix}/newest' },
        { repository_image: `${source.host}/no/tags` },
      ]),
    );
    const values = await file('v.yaml', 'x: {image: old}\n');
    const result = await run([...there(), '-p', 'team', '--static-images', list, '-f', values, '-v']);
    expect(result.status, result.stdout).toBe(1);
    expect(target.tags('team/newest')).toEqual(['1.0']);
    expect(result.stdout).toContain('tag 1.0, the most recent of 1 tags');
    expect(result.stdout).toContain(`${source.host}/no/tags`);
  });

  it('ends in order when it is told to stop, and the next run goes on from there', async () => {
    source.reset();
    source.fail({ class: 'blob-get', times: 'always', fault: { kind: 'stall', milliseconds: 900 } });
    const path = await extra(`${source.host}/a/one:1.0`, `${source.host}/b/one:1.0 stopped/two`);
    const args = [...there(), '-p', 'stopped', '-e', path, '--concurrency', '1'];
    const all = ['chart', '-c', '', ...lists, '--out', join(folder, 'out'), ...args];
    const program = startProgram(all, { PATH: process.env['PATH'], HOME: folder });
    while (source.count('blob-get') === 0 && program.process.exitCode === null) await sleep(20);
    program.process.kill('SIGTERM');
    const stopped = await program.ended;
    expect(stopped.status, stopped.stdout + stopped.stderr).toBe(1);
    expect(stopped.stdout).toContain('stopped by SIGTERM');
    source.reset();
    const result = await run(args);
    expect(result.status, result.stdout).toBe(0);
    expect([target.tags('stopped/one'), target.tags('stopped/two')]).toEqual([['1.0'], ['1.0']]);
  });

  it('plans without moving anything', async () => {
    target.reset();
    const values = await file('v.yaml', '# mine\nx: {image: old}\n');
    const path = await extra(`${source.host}/a/one:1.0 - x`);
    const result = await run([...there(), '-e', path, '-f', values, '-p', 'planned', '--plan']);
    expect(result.status, result.stdout).toBe(0);
    expect(result.stdout).toContain(`${source.host}/a/one:1.0 -> ${target.host}/planned/one:1.0`);
    expect(target.requests.entries).toEqual([]);
    expect(await readFile(join(folder, 'out', 'updated_values.yaml'), 'utf8')).toBe(
      `# mine\nx: {image: "${target.host}/planned/one:1.0"}\n`,
    );
  });
});
