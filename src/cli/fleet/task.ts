import type { Failure } from '../../model/result.ts';
import { ReplicationError } from '../../model/errors.ts';
import { directNetwork } from '../../model/network.ts';
import { SecretMask } from '../../model/secrets.ts';
import { openTask, type TaskEnd } from '../../fleet/task-token.ts';
import { networkSettings, variable } from '../environment.ts';
import type { Environment } from '../run.ts';
import type { JobResult, Session } from '../session.ts';
import type { TaskHook } from '../task-hook.ts';

/** Seconds between two heartbeats: the state machine waits several times as long for one. */
const heartbeatSeconds = 30;

/**
 * Runs the program as a task that Step Functions waits for: heartbeats while it runs, and at its end success or failure.
 * @param run what ends in an exit status
 */
export async function runAsTask(
  environment: Environment,
  token: string,
  run: (environment: Environment) => Promise<0 | 1 | 2>,
): Promise<0 | 1 | 2> {
  const { env, stderr } = environment;
  const mask = new SecretMask();
  mask.add(token);
  // Once there is a session, its own: that one knows the registries' secrets, too.
  let known = mask;
  const network = await networkSettings(env, [], mask).catch(() => directNetwork);
  const { createAws } = await import('../../aws/clients.ts');
  const region = variable(env, 'AWS_REGION', 'AWS_DEFAULT_REGION') ?? 'us-east-1';
  const aws = createAws({ network, region, mask });
  let session: Session | undefined;
  let told: { readonly result: JobResult; readonly thrown: boolean; readonly interrupted: boolean } | undefined;
  const lost = (): ReplicationError =>
    new ReplicationError(
      'cancelled',
      'Step Functions waits for this task no more: another attempt has taken its place',
      {
        side: 'module',
        remedy: 'see the execution for the attempt that took over; what is copied already is not moved twice',
      },
    );
  const stop = (): void => session?.stopAt(Date.now(), lost());
  const task = openTask({
    token,
    sfn: () => aws.sfn(),
    heartbeatMs: 1000 * Number(variable(env, 'TASK_HEARTBEAT_SECONDS') ?? heartbeatSeconds),
    onLost: stop,
    onTrouble: (message) => stderr.write(`warning: ${mask.mask(message)}\n`),
  });
  const hook: TaskHook = {
    attach(opened) {
      opened.mask.add(token);
      known = opened.mask;
      session = opened;
      if (task.lost()) stop();
    },
    ended(_, result, thrown) {
      told = { result, thrown, interrupted: session?.admission.aborted === true };
      session = undefined;
    },
    get lost() {
      return task.lost();
    },
  };
  try {
    const status = await run({ ...environment, task: hook });
    const delivered = await task.end(masked(endOf(status, told), known));
    return status === 0 && !delivered ? 1 : status;
  } finally {
    task.stop();
    await aws.close();
  }
}

interface Told {
  readonly result: JobResult;
  readonly thrown: boolean;
  readonly interrupted: boolean;
}

/** Says how it ended, by a name that the state machine decides by. */
export function endOf(status: 0 | 1 | 2, told: Told | undefined): TaskEnd {
  if (told === undefined) {
    if (status === 0) return { kind: 'success', output: {} };
    return {
      kind: 'failure',
      error: status === 2 ? 'Configuration' : 'Failed',
      cause: 'the program ended before its job began: see its log',
    };
  }
  const { result, thrown, interrupted } = told;
  if (result.task !== undefined && !thrown) return { kind: 'success', output: result.task };
  if (status === 0) return { kind: 'success', output: { failed: 0, bytes: result.totals?.bytesWritten ?? 0 } };
  return {
    kind: 'failure',
    error: errorName(status, result.failures, thrown, interrupted),
    cause: causeOf(result.failures),
  };
}

/**
 * - `Configuration`: exit status 2, nothing changes by itself · `Interrupted`: told to stop, or out of time
 * - `Failed`: the worker's own surroundings (disk, credentials, status store), which another one may have in order
 * - `ImagesFailed`: images failed after their own tries
 */
function errorName(
  status: 1 | 2,
  failures: readonly Failure[],
  thrown: boolean,
  interrupted: boolean,
): 'Configuration' | 'Interrupted' | 'Failed' | 'ImagesFailed' {
  if (status === 2) return 'Configuration';
  if (interrupted) return 'Interrupted';
  const surroundings = ({ side, code }: Failure): boolean =>
    side === 'module' || code === 'unauthorized' || code === 'storage' || code === 'internal';
  return thrown || failures.some(surroundings) ? 'Failed' : 'ImagesFailed';
}

/** Failures that are told; the log and the run folder have them all. */
const mostFailures = 40;

function causeOf(failures: readonly Failure[]): string {
  const lines = failures
    .slice(0, mostFailures)
    .map(({ artifact, cause, remedy }) => `${artifact}: ${cause}${remedy === undefined ? '' : ` (${remedy})`}`);
  const more = failures.length - lines.length;
  return [...lines, ...(more > 0 ? [`and ${more} more`] : [])].join('\n');
}

function masked(end: TaskEnd, mask: SecretMask): TaskEnd {
  return end.kind === 'success' ? end : { ...end, cause: mask.mask(end.cause) };
}
