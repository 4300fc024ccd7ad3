import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ReplicationError } from '../../src/model/errors.ts';
import { registryApi } from './api.ts';

export interface RegistryProcess {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  /** Ends the process and removes everything that it kept. */
  stop(): Promise<void>;
}

export interface RegistryOptions {
  readonly binary: string;
  /** A folder of its own, made here and removed at the end. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** No access log: it costs as much CPU as the requests. https://distribution.github.io/distribution/about/configuration/ */
const configuration = (folder: string, port: number): string => `version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage:
  filesystem: { rootdirectory: ${JSON.stringify(join(folder, 'content'))} }
  cache: { blobdescriptor: inmemory }
http: { addr: '127.0.0.1:${port}', secret: bench }
`;

/** Starts an empty distribution registry and waits until it answers. @throws ReplicationError `unavailable` */
export async function startRegistry(options: RegistryOptions): Promise<RegistryProcess> {
  await mkdir(options.folder, { recursive: true });
  for (let attempt = 0; attempt < 5; attempt += 1) {
    // Between looking for a free port and using it, another program may take it: then the registry ends at once.
    const started = await tryStart(options, await freePort());
    if (started !== undefined) return started;
  }
  throw new ReplicationError('unavailable', `${options.binary} ended before it answered, five times`, {
    remedy: `run it by hand: ${options.binary} serve ${join(options.folder, 'config.yml')}`,
  });
}

async function tryStart(options: RegistryOptions, port: number): Promise<RegistryProcess | undefined> {
  const { binary, folder, signal } = options;
  const config = join(folder, 'config.yml');
  await writeFile(config, configuration(folder, port));
  const log = await open(join(folder, 'registry.log'), 'a');
  const child = spawn(binary, ['serve', config], {
    // Without this one, version 3 tries to send traces to port 4318.
    env: { PATH: process.env['PATH'], OTEL_TRACES_EXPORTER: 'none' },
    stdio: ['ignore', log.fd, log.fd],
  });
  child.on('error', () => undefined);
  await log.close();
  const host = `127.0.0.1:${port}`;
  const stop = async (): Promise<void> => {
    await ended(child);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    if (await answers(child, host, signal)) return { host, port, pid: child.pid ?? 0, stop };
  } catch (error) {
    await stop();
    throw error;
  }
  await ended(child);
  return undefined;
}

async function answers(child: ChildProcess, host: string, signal: AbortSignal): Promise<boolean> {
  const api = registryApi(host, signal);
  try {
    // One that cannot start ends; a minute is for one that is not given the machine.
    for (let tries = 0; tries < 2400 && child.pid !== undefined && child.exitCode === null; tries += 1) {
      if (await api.answers()) return true;
      await sleep(25, undefined, { signal });
    }
    return false;
  } finally {
    await api.close();
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new ReplicationError('internal', 'no port was given');
  return address.port;
}
