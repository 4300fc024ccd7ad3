import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ProgramRun, runProgram } from '../../test/program.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'unreadable-'));
  await writeFile(join(folder, 'file'), '');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = (...args: readonly string[]): Promise<ProgramRun> =>
  runProgram([...args, '--out', join(folder, 'out')], {
    AWS_REGION: 'eu-central-1',
    AWS_EC2_METADATA_DISABLED: 'true',
  });
const eks = ['eks', '--project', 'demo', '--deployment', 'dev', '--module', 'replication'];

describe('a file that somebody names and that cannot be read', () => {
  const commands: readonly (readonly [what: string, args: (path: string) => readonly string[], option: string])[] = [
    ['the list', (path) => ['images', '--target', 'localhost:1', '--list', path], '--list'],
    ['the lock', (path) => ['verify', '--lock', path], 'replication.lock.json'],
    ['the lock', (path) => [...eks, '--lock', path], 'replication.lock.json'],
    ['the mirror file', (path) => ['mirror', '--plan', '--config', path], '--config'],
    ['the file', (path) => ['chart', '--plan', '-f', path], '--values'],
  ];

  it.each(commands)('%s: what is wrong with it in words, and the option', async (what, args, option) => {
    const missing = join(folder, 'nowhere');
    const none = await run(...args(missing));
    expect(none).toMatchObject({ status: 2 });
    expect(none.stdout).toContain(`cannot read ${what} ${missing}: there is no such file\n`);
    expect(none.stdout).toMatch(new RegExp(`what to do: name a .*${option}`));
    expect((await run(...args(folder))).stdout).toContain(`cannot read ${what} ${folder}: it is a folder\n`);
    const below = join(folder, 'file/below');
    expect((await run(...args(below))).stdout).toContain(`${below}: a part of the path is a file\n`);
  });
});

it('a list of one line without target reference speaks of no more lines', async () => {
  const list = join(folder, 'one');
  await writeFile(list, 'busybox:1\n');
  expect((await run('images', '--list', list)).stdout).toContain(`${list}:1 names no target reference\n`);
  await writeFile(list, 'busybox:1\nbusybox:2\n');
  expect((await run('images', '--list', list)).stdout).toContain('(nor does 1 more line)\n');
});

it('an --out whose parent cannot be made is told in words', async () => {
  const list = join(folder, 'empty');
  await writeFile(list, '');
  const args = ['images', '--list', list, '--target', 'localhost:1', '--out', '/proc/nothing/here'];
  const { status, stdout } = await runProgram(args, {});
  expect(status).toBe(1);
  expect(stdout).toContain('cannot write /proc/nothing/here: a folder on the way cannot be made');
  expect(stdout).toContain('what to do: give another folder with --out');
});
