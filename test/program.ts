import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { main } from '../src/cli/main.ts';
import type { Environment } from '../src/cli/run.ts';
import { root } from './tools.ts';

/** What one run of the program left on its streams, and its exit status. */
export interface ProgramRun {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export type Variables = Readonly<Record<string, string | undefined>>;

/** A sink that remembers what was written to it. */
class Capture extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString('utf8');
    done();
  }
}

/**
 * Runs the program inside this process, which takes some milliseconds. The AWS SDK reads the process's own environment,
 * so that is exchanged while the program runs: one run at a time.
 * @param env the whole environment; nothing of this process's own is left
 * @param more what else it stands in
 */
export async function runProgram(
  args: readonly string[],
  env: Variables,
  more: Pick<Environment, 'pause'> = {},
): Promise<ProgramRun> {
  const [stdout, stderr] = [new Capture(), new Capture()];
  const before = { ...process.env };
  replaceEnvironment(env);
  try {
    const status = await main([process.execPath, 'image-replication', ...args], { ...more, env, stdout, stderr });
    return { status, stdout: stdout.text, stderr: stderr.text };
  } finally {
    replaceEnvironment(before);
  }
}

function replaceEnvironment(env: Variables): void {
  for (const name of Object.keys(process.env)) if (env[name] === undefined) Reflect.deleteProperty(process.env, name);
  for (const [name, value] of Object.entries(env)) if (value !== undefined) process.env[name] = value;
}

export interface SpawnedProgram {
  readonly process: ChildProcess;
  readonly ended: Promise<ProgramRun>;
}

export interface SpawnOptions {
  /** What its standard input holds. */
  readonly input?: string;
  /** A command that runs the program, which is added to it. */
  readonly wrapper?: readonly string[];
}

/** Starts the program as users do. */
export function startProgram(args: readonly string[], env: Variables, options: SpawnOptions = {}): SpawnedProgram {
  const script = join(root, 'scripts/image-replication.js');
  const [command, ...rest] = [...(options.wrapper ?? []), process.execPath, script, ...args];
  const child = spawn(command ?? process.execPath, rest, {
    cwd: root,
    env: { ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const text = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text.stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text.stderr += chunk));
  // A program that ends without reading its input is no error of the test's.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const ended = once(child, 'close').then(() => ({ status: child.exitCode, ...text }));
  return { process: child, ended };
}

/** {@link startProgram}, and waits for its end. */
export function spawnProgram(args: readonly string[], env: Variables, options: SpawnOptions = {}): Promise<ProgramRun> {
  return startProgram(args, env, options).ended;
}

/**
 * A wrapper that gives the program an empty file system of its own at a folder (a tmpfs, in a mount namespace that ends
 * with it), or `undefined` where this user may not make one.
 * @param options as `mount -o` takes them, such as `size=64k` or `ro`
 */
export function smallDisk(folder: string, options: string, prepare = 'true'): readonly string[] | undefined {
  if (spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'none', folder]).status !== 0) return undefined;
  const script = `mount -t tmpfs -o ${options} none "$0" && { ${prepare}; } && exec "$@"`;
  return ['unshare', '-rm', 'sh', '-c', script, folder];
}
