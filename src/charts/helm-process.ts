import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ReplicationError } from '../model/errors.ts';

const maxErrorBytes = 64 * 1024;

/** One start of helm, with its bounds: whatever a chart makes helm do ends within them. */
export interface HelmRun {
  readonly args: readonly string[];
  readonly timeoutMs: number;
  /** helm is killed when it writes more than this. */
  readonly maxOutputBytes: number;
  /** helm is killed when its resident memory grows beyond this; watched where /proc/<pid>/status is there (Linux). */
  readonly maxMemoryBytes?: number;
  readonly signal: AbortSignal;
  /** Folder that is helm's whole world: home, caches, plugins, temporary files. Use `withHelmHome`. */
  readonly home: string;
}

/** helm was killed at one of its limits. */
export class HelmLimitError extends ReplicationError {
  readonly limit: 'time' | 'output' | 'memory';

  constructor(limit: 'time' | 'output' | 'memory', message: string) {
    super('refused', message);
    this.limit = limit;
  }
}

/** How helm ended by itself. A kill (time, output, memory) is an error instead. */
export interface HelmExit {
  readonly code: number;
  readonly stdout: string;
  /** At most 64 KiB. */
  readonly stderr: string;
}

/** Makes a private folder (mode 0700) for one or several runs of helm and removes it afterwards. */
export async function withHelmHome<T>(use: (home: string) => Promise<T>): Promise<T> {
  const home = await mkdtemp(join(tmpdir(), 'helm-'));
  try {
    return await use(home);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

/**
 * Runs helm with an environment of its own: no KUBECONFIG, no cluster, no network, no credentials, no plugins, no PATH,
 * nothing of the user's helm configuration. Killed at its limits and when the signal fires.
 * @throws HelmLimitError (`refused`), ReplicationError `cancelled`, `storage` when helm cannot be started
 */
export async function runHelm(helmPath: string, run: HelmRun): Promise<HelmExit> {
  run.signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const child = spawn(helmPath, run.args, {
      cwd: run.home,
      env: sandboxEnvironment(run.home),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let killed: ReplicationError | undefined;
    const kill = (error: ReplicationError): void => {
      killed ??= error;
      child.kill('SIGKILL');
    };
    const command = `helm ${run.args[0] ?? ''}`;
    const timer = setTimeout(
      () => kill(new HelmLimitError('time', `${command} did not end within ${run.timeoutMs / 1000} s and was killed`)),
      run.timeoutMs,
    );
    const unwatch = watchMemory(child.pid, run.maxMemoryBytes, (bytes) =>
      kill(new HelmLimitError('memory', `${command} used more than ${bytes} bytes of memory and was killed`)),
    );
    const cancel = (): void => kill(new ReplicationError('cancelled', `${command} was stopped`));
    run.signal.addEventListener('abort', cancel, { once: true });
    const stdout = collect(child.stdout, run.maxOutputBytes, () =>
      kill(new HelmLimitError('output', `${command} wrote more than ${run.maxOutputBytes} bytes and was killed`)),
    );
    const stderr = collect(child.stderr, maxErrorBytes, () => undefined);
    const settle = (finish: () => void): void => {
      clearTimeout(timer);
      unwatch();
      run.signal.removeEventListener('abort', cancel);
      finish();
    };
    child.on('error', (cause) =>
      settle(() => reject(new ReplicationError('storage', `cannot run ${helmPath}: ${cause.message}`, { cause }))),
    );
    child.on('close', (code) =>
      settle(() => {
        if (killed === undefined) resolve({ code: code ?? 1, stdout: stdout(), stderr: stderr() });
        else reject(killed);
      }),
    );
  });
}

/** Collects up to `max` bytes and calls `exceeded` once there are more. */
function collect(stream: NodeJS.ReadableStream, max: number, exceeded: () => void): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    if (size + chunk.length > max) exceeded();
    else {
      chunks.push(chunk);
      size += chunk.length;
    }
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

/** A template can make a list of any length in one action: what grows without end is stopped before the machine is full. */
function watchMemory(pid: number | undefined, max: number | undefined, exceeded: (max: number) => void): () => void {
  if (pid === undefined || max === undefined) return () => undefined;
  const timer = setInterval(() => {
    readFile(`/proc/${pid}/status`, 'utf8').then(
      (status) => {
        const kibibytes = Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0);
        if (kibibytes * 1024 > max) exceeded(max);
      },
      () => undefined, // ended meanwhile, or no /proc here
    );
  }, 100);
  return () => clearInterval(timer);
}

/** A port of this machine that nothing listens on (discard, RFC 863): whoever goes there is refused at once. */
const nowhere = 'http://127.0.0.1:9';

function sandboxEnvironment(home: string): NodeJS.ProcessEnv {
  return {
    HOME: home,
    TMPDIR: home,
    HELM_CACHE_HOME: join(home, 'cache'),
    HELM_CONFIG_HOME: join(home, 'config'),
    HELM_DATA_HOME: join(home, 'data'),
    HELM_NO_PLUGINS: '1',
    // An in-cluster or user configuration would let `lookup` reach a cluster.
    KUBECONFIG: join(home, 'no-kubeconfig'),
    // values.schema.json may refer to documents on the network, which helm would fetch (pkg/chart/common/util/jsonschema.go).
    HTTP_PROXY: nowhere,
    HTTPS_PROXY: nowhere,
  };
}
