import { describe, expect, it } from 'vitest';
import { runProgram, spawnProgram } from '../../test/program.ts';

// What `--help` shows, and in which order: what a command is about comes first.

async function helpOf(...command: readonly string[]): Promise<string> {
  const { status, stdout } = await runProgram([...command, '--help'], {});
  expect(status).toBe(0);
  return stdout;
}

/** Headings, in order. */
const headings = (help: string): readonly string[] => help.match(/^[A-Z].*:$/gm) ?? [];

describe('--help', () => {
  it('lists every command under what it is for', async () => {
    const help = await helpOf();
    expect(headings(help)).toEqual([
      'Options:',
      'Jobs:',
      'To look and to check:',
      'Beyond one machine:',
      'To take away, and steps of the module:',
    ]);
    expect(help).toMatch(/To look and to check:[^:]*\n {2}help \[command\]/);
  });

  it('shows the own options of a job first, those for several workers next, and those that all have last', async () => {
    for (const job of ['eks', 'images', 'ecr', 'mirror']) {
      const help = await helpOf(job);
      expect(headings(help).slice(0, 3), job).toEqual([
        'Options:',
        'To spread it over several workers (docs/fleet.md):',
        'Options of every command:',
      ]);
      expect(help.indexOf('--plan'), job).toBeLessThan(help.indexOf('--shards'));
      expect(help.indexOf('--shards'), job).toBeLessThan(help.indexOf('--concurrency'));
    }
  });

  it('names the variables of what has no option', async () => {
    expect(await helpOf('eks')).toContain('SEEDFARMER_PARAMETER_UNCONTROLLED_IMAGES=FAIL');
    expect(await helpOf('helm')).toContain('SEEDFARMER_PARAMETER_HELM_DISTRO_URL=https://');
    expect(await helpOf('destroy')).toContain('SEEDFARMER_PARAMETER_RETENTION_TYPE=DESTROY');
  });

  it('is no failure where its reader goes away', async () => {
    const wrapper = ['sh', '-c', '"$@" | true', 'sh'];
    const run = await spawnProgram(['--help'], { PATH: process.env['PATH'] }, { wrapper });
    expect(run.stderr).toBe('');
  });

  it('leaves out what would change nothing, which is taken all the same', async () => {
    const help = await helpOf('helm');
    expect(help).not.toMatch(/--yes|--concurrency/);
    expect(await helpOf('delete-repos')).toContain('--yes');
    const { stderr } = await runProgram(['runs', '--yes', '--concurrency', 'x'], {});
    expect(stderr).toContain("option '--concurrency <n>' argument 'x' is invalid");
  });
});
