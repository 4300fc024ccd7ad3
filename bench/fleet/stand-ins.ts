import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as z from 'zod';
import { AdminLogEntry, ServeReady, type ServeConfig } from '../../src/testing/serve.ts';
import { root } from '../tools.ts';

const Log = z.array(AdminLogEntry);

/** A registry of ours in a process of its own. */
export interface RegistryProcess {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  /** What it was asked since it started, or since the log was taken last. */
  takeLog(): Promise<z.infer<typeof Log>>;
  stop(): Promise<void>;
}

type RegistryConfig = NonNullable<ServeConfig['registries']>[string];

export async function startRegistryProcess(
  folder: string,
  name: string,
  config: RegistryConfig,
): Promise<RegistryProcess> {
  const file = join(folder, `${name}.json`);
  await writeFile(file, JSON.stringify({ registries: { [name]: config }, untilStdinEnds: true } satisfies ServeConfig));
  const child = spawn(process.execPath, ['--import', 'tsx', 'src/testing/serve.ts', file], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const { registries, admin } = ServeReady.parse(JSON.parse(await firstLine(child, name)));
  const log = `${admin}/__admin/${name}/log`;
  return {
    host: registries[name]?.host ?? '',
    async takeLog() {
      const entries: unknown = await (await fetch(log)).json();
      await fetch(log, { method: 'DELETE' });
      return Log.parse(entries);
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

function firstLine({ stdout, ...child }: ChildProcess, name: string): Promise<string> {
  return new Promise((resolve, reject) => {
    if (stdout === null) throw new Error('no standard output');
    const lines = createInterface({ input: stdout });
    lines.once('line', resolve);
    lines.once('close', () => reject(new Error(`the stand-in ${name} ended (process ${String(child.pid)})`)));
  });
}
