import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ServeConfig, ServeReady } from '../src/testing/serve.ts';
import { startProgram } from './program.ts';
import { root } from './tools.ts';

const gibibyte = 2 ** 30;
const layerBytes = 2 * gibibyte;
/** Resident memory that the program may have at its highest, in bytes. */
const limit = 200 * 1024 * 1024;

/** The highest resident memory that a process had so far, in bytes (proc(5), VmHWM); 0 once it is gone. */
async function peakMemory(pid: number): Promise<number> {
  try {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

// /proc is Linux's.
describe.runIf(process.platform === 'linux')('memory', () => {
  let folder: string;
  let servers: ChildProcess;
  let ready: ServeReady;

  // Servers in a process of their own; the source makes its bytes up, the target counts and checks them.
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'memory-'));
    const config: ServeConfig = {
      registries: {
        source: { manners: 'plain', images: [{ repository: 'big', tag: '1', layers: [layerBytes] }] },
        target: { manners: 'plain', storage: 'discard' },
      },
      untilStdinEnds: true,
    };
    await writeFile(join(folder, 'servers.json'), JSON.stringify(config));
    servers = spawn(process.execPath, ['--import', 'tsx', 'src/testing/serve.ts', join(folder, 'servers.json')], {
      cwd: root,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: servers.stdout ?? process.stdin });
    const [line] = (await once(lines, 'line')) as [string];
    ready = ServeReady.parse(JSON.parse(line));
  });
  afterAll(async () => {
    const ended = once(servers, 'close');
    servers.stdin?.end();
    await ended;
    await rm(folder, { recursive: true, force: true });
  });

  it('stays below 200 MiB while a layer of 2 GiB is copied', async () => {
    const { source, target } = ready.registries;
    // A name of its own: when it is tried once more, all of it moves again.
    const name = `copy-${Date.now()}`;
    const list = join(folder, `${name}.txt`);
    await writeFile(list, `${source?.host ?? ''}/big:1 ${target?.host ?? ''}/${name}/big:1\n`);
    const started = Date.now();
    const program = startProgram(['images', '--list', list, '--out', join(folder, name)], {
      PATH: process.env['PATH'],
      HOME: folder,
      TMPDIR: folder,
    });
    let peak = 0;
    const sampling = setInterval(() => {
      void peakMemory(program.process.pid ?? 0).then((now) => (peak = Math.max(peak, now)));
    }, 100);
    const run = await program.ended;
    clearInterval(sampling);
    expect(run.status, run.stdout + run.stderr).toBe(0);
    expect(peak).toBeGreaterThan(30 * 1024 * 1024);
    expect(peak, `${Math.round(peak / 1024 / 1024)} MiB`).toBeLessThan(limit);
    process.stdout.write(`copied 2 GiB in ${(Date.now() - started) / 1000} s with ${Math.round(peak / 2 ** 20)} MiB\n`);
  });
});
