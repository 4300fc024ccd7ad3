import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { pause } from '../aws/pause.ts';
import type { CopyOptions } from '../copy/request.ts';
import { noCredentials } from '../model/credentials.ts';
import { ReplicationError } from '../model/errors.ts';
import type { NetworkSettings } from '../model/network.ts';
import type { Failure, Totals } from '../model/result.ts';
import { SecretMask } from '../model/secrets.ts';
import { httpDownloads } from '../registry/download.ts';
import { createTransport, type Transport } from '../registry/transport.ts';
import type { ReportInput } from '../report/report-data-build.ts';
import { combineReporters } from '../report/combine.ts';
import { consoleReporter } from '../report/console.ts';
import { newProgressCounters, type ProgressCounters, type Reporter } from '../report/events.ts';
import { jsonReporter } from '../report/json-lines.ts';
import { type RunRecorder, runRecorder } from '../report/record.ts';
import { type EnvironmentVariables, networkSettings, sizeVariable, variable } from './environment.ts';
import { withLoginRemedies } from './login-remedy.ts';

/** What every job of one process shares: connections, reporting, stopping, a working folder. */
export interface Session {
  readonly env: EnvironmentVariables;
  readonly mask: SecretMask;
  readonly network: NetworkSettings;
  readonly transport: Transport;
  readonly reporter: Reporter;
  readonly recorder: RunRecorder;
  readonly counters: ProgressCounters;
  /** Aborted when everything has to end now. */
  readonly signal: AbortSignal;
  /** Aborted when nothing new may begin. */
  readonly admission: AbortSignal;
  /** Ends admission at a point in time, and everything `graceMs` later. */
  stopAt(time: number, reason: ReplicationError): void;
  /** How often an artifact is tried. */
  readonly tries: number;
  /** Waits between two tries. */
  readonly pause: Pause;
  /** A folder of this run's own, removed at its end. */
  readonly workDirectory: string;
  /** Options for the copier that follow from all this. */
  copyOptions(): CopyOptions;
  close(): Promise<void>;
}

/** Waits for some milliseconds. It rejects, at once, when the signal aborts. */
export type Pause = (milliseconds: number, signal: AbortSignal) => Promise<void>;

/** How a job ended. Without failures all is done. */
export interface JobResult {
  readonly failures: readonly Failure[];
  readonly totals: Totals | undefined;
  /** Paths of the files that the job left. */
  readonly files?: readonly string[];
  /** What whoever waits for the run's end (Step Functions) is told of it. */
  readonly task?: Readonly<Record<string, unknown>> | undefined;
  /** What the report tells beyond the record of the run. */
  readonly report?: Omit<ReportInput, 'record' | 'mask'> | undefined;
}

/** Standard output, or a stream that stands for it. */
export type Output = Writable & {
  readonly isTTY?: boolean;
  readonly columns?: number | undefined;
  hasColors?(): boolean;
};

export interface SessionOptions {
  /** Name of the job, where remedies may tell what it takes. */
  readonly job?: string | undefined;
  readonly env: EnvironmentVariables;
  readonly insecureHosts?: readonly string[];
  /** One JSON object per event on standard output instead of text. */
  readonly json?: boolean;
  readonly stdout: Output;
  readonly concurrency?: number | undefined;
  /** Default: 1. */
  readonly tries?: number | undefined;
  /** Default: by the clock. */
  readonly pause?: Pause | undefined;
  /** Default: IMAGE_REPLICATION_SPOOL_BYTES, else what the copier takes. */
  readonly spoolBytes?: number | undefined;
}

/** How long what is under way may take to end after a stop, in milliseconds. */
const graceMs = 20_000;

/** How long a second stop may take before the process ends as it is, in milliseconds. */
const forceMs = 3_000;

/**
 * Opens what every job needs: network, reporters, the transport to registries, and an orderly end on signals. Whoever opens
 * it has to `close` it.
 */
export async function openSession(options: SessionOptions): Promise<Session> {
  const { env } = options;
  const mask = new SecretMask();
  const spoolBytes = options.spoolBytes ?? sizeVariable(env, 'IMAGE_REPLICATION_SPOOL_BYTES');
  const network = await networkSettings(env, options.insecureHosts ?? [], mask);
  const counters = newProgressCounters();
  const recorder = runRecorder(mask);
  const screen =
    options.json === true
      ? { ...jsonReporter(options.stdout, mask), stop: () => undefined }
      : consoleReporter({ stream: options.stdout, counters, mask, interactive: isInteractive(options.stdout, env) });
  const reporter = withLoginRemedies(options.job ?? '', env, combineReporters(recorder, screen));
  const transport = createTransport({
    network,
    reporter,
    counters: { ...newProgressCounters(), throttled: counters.throttled, busy: counters.busy },
    mask,
  });
  const stop = stopper((reason) =>
    reporter.emit({
      type: 'notice',
      level: 'info',
      message: `${reason.message}: what is under way may end (${graceMs / 1000} s at most), nothing new begins; a signal now stops at once`,
    }),
  );
  const workDirectory = await workingFolder(env);
  return {
    env,
    mask,
    network,
    transport,
    reporter,
    recorder,
    counters,
    signal: stop.signal,
    admission: stop.admission,
    stopAt: stop.at,
    tries: options.tries ?? 1,
    pause: options.pause ?? pause,
    workDirectory,
    copyOptions: () => ({
      reporter,
      counters,
      signal: stop.signal,
      admission: stop.admission,
      spoolDirectory: join(workDirectory, 'spool'),
      ...(spoolBytes === undefined ? {} : { spoolBytes }),
      openUrl: (url, aborted) => openForeign(transport, workDirectory, url, aborted),
      ...(options.concurrency === undefined
        ? {}
        : { transfers: options.concurrency, transfersPerHost: options.concurrency }),
    }),
    async close() {
      stop.dispose();
      screen.stop();
      await transport.close();
      await rm(workDirectory, { recursive: true, force: true });
    },
  };
}

/** ECR takes layers up to 52,000 MiB (ECR service quotas, "Maximum layer size"). */
const maxLayerBytes = 52_000 * 2 ** 20;

/** Bytes of a foreign layer from its vendor: by way of the disk, without credentials, over https only. */
async function openForeign(transport: Transport, folder: string, url: string, signal: AbortSignal): Promise<Readable> {
  if (!url.startsWith('https://'))
    throw new ReplicationError('refused', `${url} is no https address`, { side: 'source' });
  const path = join(folder, randomUUID());
  await httpDownloads(transport, noCredentials).getToFile(url, path, { maxBytes: maxLayerBytes, signal });
  const stream = createReadStream(path);
  stream.once('close', () => void rm(path, { force: true }));
  return stream;
}

function isInteractive(stream: Output, env: EnvironmentVariables): boolean {
  // A terminal without a size, as script(1), `docker exec -t` and CI make them, has no room for a live block: in 0 columns
  // every line would be wrapped to nothing.
  const hasRoom = stream.isTTY === true && stream.columns !== 0;
  return hasRoom && variable(env, 'CI', 'CODEBUILD_BUILD_ID') === undefined && env['TERM'] !== 'dumb';
}

async function workingFolder(env: EnvironmentVariables): Promise<string> {
  const base = variable(env, 'TMPDIR') ?? tmpdir();
  try {
    return await mkdtemp(join(base, 'image-replication-'));
  } catch (cause) {
    throw new ReplicationError(
      'storage',
      `cannot make a folder for temporary files in ${base}: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        side: 'module',
        remedy: 'free disk space, or name another folder with TMPDIR',
        cause,
      },
    );
  }
}

interface Stopper {
  readonly signal: AbortSignal;
  readonly admission: AbortSignal;
  readonly at: (time: number, reason: ReplicationError) => void;
  dispose(): void;
}

/**
 * Ends the process after a while, unless it has ended. By a signal: an ordinary exit waits for threads, and one that
 * hangs in a system call (a pipe that nobody writes to) would hold it for ever.
 */
function endByForce(ms: number): void {
  setTimeout(() => {
    process.stderr.write('stopped by force: something did not end in time\n');
    process.kill(process.pid, 'SIGKILL');
  }, ms).unref();
}

/**
 * SIGTERM, SIGINT and a deadline end admission, and everything after the grace time; a second signal ends everything at
 * once.
 * @param stopping told when admission ends
 */
function stopper(stopping: (reason: ReplicationError) => void): Stopper {
  const hard = new AbortController();
  const soft = new AbortController();
  // Every request in flight listens; that is no leak.
  setMaxListeners(0, hard.signal, soft.signal);
  const timers: NodeJS.Timeout[] = [];
  const later = (ms: number, work: () => void): void => {
    // setTimeout takes 31 bits; a deadline further away than 24 days is none.
    if (ms < 2 ** 31) timers.push(setTimeout(work, Math.max(0, ms)).unref());
  };
  const begin = (reason: ReplicationError): void => {
    if (soft.signal.aborted) {
      hard.abort(reason);
      // Whatever does not listen (a system call that hangs) must not keep a person waiting.
      endByForce(forceMs);
      return;
    }
    stopping(reason);
    soft.abort(reason);
    later(graceMs, () => {
      hard.abort(reason);
      endByForce(forceMs);
    });
  };
  const onSignal = (name: NodeJS.Signals): void => {
    begin(
      new ReplicationError('cancelled', `stopped by ${name}`, {
        side: 'module',
        remedy: 'run again: what is copied already is not moved twice',
      }),
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return {
    signal: hard.signal,
    admission: soft.signal,
    at: (time, reason) =>
      later(time - Date.now(), () => {
        if (!soft.signal.aborted) begin(reason);
      }),
    dispose() {
      for (const timer of timers) clearTimeout(timer);
      process.off('SIGTERM', onSignal);
      process.off('SIGINT', onSignal);
    },
  };
}
