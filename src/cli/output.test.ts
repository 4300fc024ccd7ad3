import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { runProgram } from '../../test/program.ts';
import { eksArguments, startStandIns, type StandIns } from '../../test/stand-ins.ts';

const nothing = { PATH: process.env['PATH'] };
const commands = ['eks', 'images', 'delete-repos', 'destroy', 'helm'];

describe('help', () => {
  it.each(commands)(
    'of %s shows the options with their defaults, and an example that the program understands',
    async (name) => {
      const { status, stdout } = await runProgram([name, '--help'], nothing);
      expect(status).toBe(0);
      expect(stdout).toContain(`Usage: image-replication ${name}`);
      expect(stdout.replaceAll(/\s+/g, ' ')).toContain('folder for the files that a run leaves (default: "out")');
      const example = /Example:\n {2}npx image-replication (.+)\n/.exec(stdout)?.[1] ?? '';
      // With an option more that does not exist: had it wrong ones of its own, another would be told.
      const tried = await runProgram([...example.split(' '), '--surely-unknown'], nothing);
      expect(tried.stderr).toContain("unknown option '--surely-unknown'");
    },
  );

  it('is shown when no command is given, and that is an error', async () => {
    const run = await runProgram([], nothing);
    expect(run.status).toBe(2);
    for (const name of commands) expect(run.stderr).toContain(`\n  ${name} `);
  });
});

describe('what is not understood', () => {
  it.each([
    [['eks', '--pubish'], "unknown option '--pubish'", 'Did you mean --publish?'],
    [['imgaes'], "unknown command 'imgaes'", 'Did you mean images?'],
    [['images'], "required option '--list <file>' not specified", '(add --help for the options)'],
    [['delete-repos'], "missing required argument 'project'", '(add --help for the options)'],
    [['eks', '--concurrency', 'many'], "argument 'many' is invalid", 'expected a whole number above 0'],
    [['helm', 'extra'], 'too many arguments', '(add --help for the options)'],
  ])('%j', async (args, what, hint) => {
    const run = await runProgram(args, nothing);
    expect(run.stderr).toContain(what);
    expect(run.stderr).toContain(hint);
    expect(run.stdout).toBe('');
    expect(run.status).toBe(2);
  });
});

describe('--json', () => {
  let world: StandIns;
  beforeAll(async () => {
    world = await startStandIns();
  });
  afterAll(() => world.close());

  const Line = z.looseObject({ time: z.iso.datetime(), type: z.string() });
  const Finished = Line.extend({
    ok: z.boolean(),
    failures: z.array(z.looseObject({ remedy: z.string().optional() })),
  });

  async function lines(text: string): Promise<readonly unknown[]> {
    const stream = new PassThrough();
    stream.end(text);
    const parsed: unknown[] = [];
    for await (const line of createInterface({ input: stream })) parsed.push(JSON.parse(line));
    return parsed;
  }

  it('is one object a line and nothing else, on success', async () => {
    const run = await runProgram(eksArguments(world, '--eks-version', '1.1', '--publish', '--json'), world.env);
    const events = z.array(Line).parse(await lines(run.stdout));
    expect(run.stdout.endsWith('\n')).toBe(true);
    expect(run.stderr).toBe('');
    const types = events.map((event) => event.type);
    for (const type of ['run-started', 'planned', 'phase', 'artifact-finished']) expect(types).toContain(type);
    expect(Finished.parse(events.at(-1))).toMatchObject({ type: 'run-finished', ok: true, failures: [] });
  });

  it('is so on failure too, with cause and remedy as data', async () => {
    const env = { ...world.env, SEEDFARMER_PARAMETER_EKS_VERSION: '1.3' };
    const run = await runProgram(eksArguments(world, '--json'), env);
    const events = await lines(run.stdout);
    const { ok, failures } = Finished.parse(events.at(-1));
    expect(ok).toBe(false);
    expect(failures).toMatchObject([
      { code: 'configuration', side: 'module', remedy: 'write "1.30" with quotes in the manifest' },
    ]);
    expect(run.status).toBe(2);
  });

  it('leaves the same in the record of the run', async () => {
    const { readFile } = await import('node:fs/promises');
    await runProgram(eksArguments(world, '--eks-version', '1.3', '--json'), world.env);
    const record = await readFile(`${world.out}/run.json`, 'utf8');
    expect(record).toContain('almost surely an unquoted 1.30');
  });
});
