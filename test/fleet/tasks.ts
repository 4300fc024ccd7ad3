import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Variables } from '../program.ts';
import { root } from '../tools.ts';
import { ecsStandIn } from './ecs.ts';
import type { Own } from './front.ts';

/** A container that RunTask started: our own program, as a process of this machine. */
export interface StartedTask {
  readonly kind: string;
  readonly command: readonly string[];
  readonly process: ChildProcess;
  readonly ended: Promise<unknown>;
  /** What it wrote so far. */
  output: string;
}

export interface TaskHost {
  readonly own: Own;
  readonly tasks: readonly StartedTask[];
  running(kind: string): readonly StartedTask[];
  /** How many of a kind have run at the same time, at most. */
  most(kind: string): number;
  close(): Promise<void>;
}

/**
 * @param environment of a container, by its kind
 * @param onStart called before a container begins
 */
export async function startTaskHost(
  folder: string,
  environment: (kind: string) => Variables,
  onStart: (kind: string) => void,
): Promise<TaskHost> {
  const tasks: StartedTask[] = [];
  const most = new Map<string, number>();
  const running = (kind: string) => tasks.filter((task) => task.kind === kind && isRunning(task));
  // Where its image has a folder that may be written to.
  const cwd = join(folder, 'db');
  await mkdir(cwd);
  const own = ecsStandIn(({ kind, command, environment: given }) => {
    onStart(kind);
    const script = join(root, 'scripts/image-replication.js');
    const child = spawn(process.execPath, [script, ...command], {
      cwd,
      env: { ...environment(kind), ...given },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const task: StartedTask = { kind, command, process: child, ended: once(child, 'close'), output: '' };
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (task.output += text));
    tasks.push(task);
    most.set(kind, Math.max(most.get(kind) ?? 0, running(kind).length));
    return undefined;
  });
  return {
    own,
    tasks,
    running,
    most: (kind) => most.get(kind) ?? 0,
    async close() {
      for (const task of tasks) if (isRunning(task)) task.process.kill('SIGKILL');
      await Promise.all(tasks.map(({ ended }) => ended));
    },
  };
}

function isRunning({ process: { exitCode, signalCode } }: StartedTask): boolean {
  return exitCode === null && signalCode === null;
}
