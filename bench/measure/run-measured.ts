import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { endedChildrenCpuSeconds, treePeakRssBytes } from './proc.ts';

export interface MeasuredCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Takes both of its streams. */
  readonly logFile: string;
  readonly timeoutSeconds: number;
  readonly signal: AbortSignal;
}

export interface Measured {
  readonly seconds: number;
  /** `undefined` when it was ended by a signal. */
  readonly exitStatus: number | undefined;
  readonly timedOut: boolean;
  /** CPU time of the process and all its descendants; `undefined` where the system does not tell. */
  readonly cpuSeconds: number | undefined;
  /** Peak resident memory, added up over processes that ran at the same time. */
  readonly peakRssBytes: number | undefined;
}

/** A process that ends between two looks keeps what it had at the last one. */
const lookEveryMs = 25;

/**
 * Runs a command to its end and measures its whole tree of processes. One at a time, and no other child of this process
 * may end meanwhile: CPU time is what the kernel adds to this process's ended children.
 * @throws when the command cannot be started, or `signal` is aborted (the tree is ended first)
 */
export async function runMeasured(run: MeasuredCommand): Promise<Measured> {
  const log = await open(run.logFile, 'w');
  try {
    run.signal.throwIfAborted();
    const cpuBefore = endedChildrenCpuSeconds();
    const start = performance.now();
    const child = spawn(run.command, run.args, {
      cwd: run.cwd,
      env: run.env,
      stdio: ['ignore', log.fd, log.fd],
      // A process group of its own, so that the whole tree can be ended.
      detached: true,
    });
    const outcome = await watch(child, run);
    const seconds = (performance.now() - start) / 1000;
    run.signal.throwIfAborted();
    const cpuAfter = endedChildrenCpuSeconds();
    const cpuSeconds = cpuBefore === undefined || cpuAfter === undefined ? undefined : cpuAfter - cpuBefore;
    return { seconds, exitStatus: child.exitCode ?? undefined, cpuSeconds, ...outcome };
  } finally {
    await log.close();
  }
}

async function watch(child: ChildProcess, run: MeasuredCommand): Promise<Pick<Measured, 'timedOut' | 'peakRssBytes'>> {
  let peakRssBytes: number | undefined;
  let timedOut = false;
  const look = setInterval(() => {
    const now = treePeakRssBytes(child.pid ?? 0);
    if (now !== undefined) peakRssBytes = Math.max(peakRssBytes ?? 0, now);
  }, lookEveryMs);
  const limit = setTimeout(() => {
    timedOut = true;
    endTree(child);
  }, run.timeoutSeconds * 1000);
  const stop = (): void => endTree(child);
  run.signal.addEventListener('abort', stop);
  try {
    await once(child, 'exit');
    return { timedOut, peakRssBytes };
  } finally {
    run.signal.removeEventListener('abort', stop);
    clearInterval(look);
    clearTimeout(limit);
  }
}

function endTree(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended by itself meanwhile.
  }
}
