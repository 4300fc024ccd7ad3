import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { RelayReply, type RelayCommand } from './messages.ts';
import type { ProfileName } from './profile.ts';

/** A relay in a process of its own, so that its work is no part of anybody else's. */
export interface RelayProcess {
  /** Begins anew in front of a registry. @returns where clients connect: `127.0.0.1:PORT` */
  point(upstreamPort: number, profile: ProfileName): Promise<string>;
  /** What passed, and the CPU time that it took, since `point`. */
  report(): Promise<RelayReply>;
  stop(): Promise<void>;
}

export function startRelayProcess(side: 'source' | 'target'): RelayProcess {
  const child = fork(join(import.meta.dirname, 'process.ts'), {
    // As for the program itself: chunks off sockets are memory that V8 would mark for again and again.
    execArgv: ['--import', import.meta.resolve('tsx'), '--no-incremental-marking'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ask = async (command: RelayCommand): Promise<RelayReply> => {
    const answered = firstMessage(child);
    child.send(command);
    return RelayReply.parse(await answered);
  };
  return {
    point: async (upstreamPort, profile) =>
      `127.0.0.1:${(await ask({ type: 'point', upstreamPort, profile, side })).port}`,
    report: () => ask({ type: 'report' }),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

function firstMessage(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error('the relay ended'));
    child.once('message', (message) => {
      child.off('exit', ended);
      resolve(message);
    });
    child.once('exit', ended);
  });
}
