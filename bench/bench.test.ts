import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { root } from '../test/tools.ts';
import { order } from './bench.ts';
import { main } from './main.ts';
import type { Tool, ToolName } from './tools.ts';

const tool = (name: ToolName): Tool => ({ name, title: name, version: '1', prepare: () => Promise.resolve(['true']) });

describe('the order of runs', () => {
  it('begins each repetition with another tool, and has each tool once in it', () => {
    const turns = order({ profiles: ['wan'], repetitions: 4 }, [tool('ours'), tool('crane'), tool('regsync')]);
    expect(turns.map((turn) => `${turn.repetition} ${turn.tool.name}`)).toEqual([
      ...['1 ours', '1 crane', '1 regsync'],
      ...['2 crane', '2 regsync', '2 ours'],
      ...['3 regsync', '3 ours', '3 crane'],
      ...['4 ours', '4 crane', '4 regsync'],
    ]);
  });
});

describe('the command line', () => {
  it('is no failure where the reader of its help goes away', () => {
    const script = join(root, 'scripts/bench.js');
    const { stderr } = spawnSync('sh', ['-c', '"$@" | true', 'sh', process.execPath, script, '--help'], {
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
  });

  const run = async (...args: readonly string[]): Promise<{ readonly status: number; readonly said: string }> => {
    let said = '';
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        said += chunk.toString('utf8');
        done();
      },
    });
    const streams = { stdout: sink, stderr: sink };
    return { status: await main(['node', 'bench', ...args], streams, new AbortController().signal), said };
  };

  it.each([
    [['--corpus', 'eks,huge'], '"huge" is none of eks, small, big'],
    [['--profile', 'moon'], '"moon" is none of'],
    [['--scale', '2'], 'at most 1'],
    [['--reps', '0'], 'above 0'],
    [['--what'], 'unknown option'],
  ])('refuses %j', async (args, why) => {
    const { status, said } = await run(...args);
    expect(status).toBe(2);
    expect(said).toContain(why);
  });

  it('has help', async () => {
    expect(await run('--help')).toMatchObject({ status: 0, said: expect.stringContaining('--scenario') as unknown });
  });
});
