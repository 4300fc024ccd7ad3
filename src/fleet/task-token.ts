import type { SFN } from '@aws-sdk/client-sfn';
import { awsErrorName } from '../aws/errors.ts';
import { isReplicationError, toReplicationError } from '../model/errors.ts';

/** How a task ended, as Step Functions is told. */
export type TaskEnd =
  | { readonly kind: 'success'; readonly output: Readonly<Record<string, unknown>> }
  /** `error`: by this name the state machine decides whether the task is tried again. */
  | { readonly kind: 'failure'; readonly error: string; readonly cause: string };

export interface TaskOptions {
  readonly token: string;
  readonly sfn: () => Promise<Pick<SFN, 'sendTaskHeartbeat' | 'sendTaskSuccess' | 'sendTaskFailure'>>;
  readonly heartbeatMs: number;
  /** How long a heartbeat may take. */
  readonly patienceMs?: number;
  /** The task has been given up, or to another worker. */
  readonly onLost: () => void;
  readonly onTrouble: (message: string) => void;
}

/** A task that Step Functions waits for (`.waitForTaskToken`). */
export interface Task {
  readonly lost: () => boolean;
  /** Tells how it ended. @returns whether that was heard */
  end(end: TaskEnd): Promise<boolean>;
  /** Ends the heartbeats. */
  stop(): void;
}

/**
 * The token stands for no task any more: it has timed out, was ended by another call, or its execution is over.
 * https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskHeartbeat.html
 */
const lostErrors = ['TaskTimedOut', 'TaskDoesNotExist', 'InvalidToken'];

/** Characters of a cause and of an output (API reference, SendTaskFailure and SendTaskSuccess). */
const longestCause = 32_768;
const longestError = 256;
const longestOutput = 262_144;

/**
 * Milliseconds: one that hangs on a connection that is cut off must not keep back those that follow until the task counts as
 * lost. The SDK itself would wait for a minute, five times.
 */
const usualPatienceMs = 20_000;

/** How often the last word is said while nobody answers: a task that is stopped has the time for it. */
const lastWords = 3;

/** Sends heartbeats from now on. One that does not come through is no reason to stop: the next one may. */
export function openTask(options: TaskOptions): Task {
  const { token, sfn, heartbeatMs, patienceMs = usualPatienceMs, onLost, onTrouble } = options;
  const over = new AbortController();
  let lost = false;
  let beating: Promise<void> = Promise.resolve();
  const lose = (): void => {
    if (lost) return;
    lost = true;
    clearInterval(timer);
    onLost();
  };
  const beat = async (): Promise<void> => {
    let late: AbortSignal | undefined;
    try {
      const client = await sfn();
      late = AbortSignal.timeout(patienceMs);
      await client.sendTaskHeartbeat({ taskToken: token }, { abortSignal: AbortSignal.any([over.signal, late]) });
    } catch (error) {
      if (over.signal.aborted) return;
      if (late?.aborted === true) onTrouble(`no heartbeat: no answer within ${patienceMs / 1000} s`);
      else if (lostErrors.includes(awsErrorName(error) ?? '')) lose();
      else onTrouble(`no heartbeat: ${toReplicationError(error).message}`);
    }
  };
  let under = false;
  const next = (): void => {
    if (under) return;
    under = true;
    beating = beat().finally(() => {
      under = false;
    });
  };
  const timer = setInterval(next, Math.max(heartbeatMs, 100)).unref();
  next();
  const stop = (): void => {
    clearInterval(timer);
    over.abort();
  };
  return {
    lost: () => lost,
    async end(end) {
      stop();
      await beating;
      if (lost) return false;
      const client = await sfn();
      for (let word = 1; ; word += 1) {
        const late = AbortSignal.timeout(patienceMs);
        try {
          await tell(client, token, end, late);
          return true;
        } catch (error) {
          if (late.aborted && word < lastWords) continue;
          const known = isReplicationError(error) ? error.message : String(error);
          onTrouble(`Step Functions was not told how the task ended: ${known}`);
          return false;
        }
      }
    },
    stop,
  };
}

async function tell(
  client: Pick<SFN, 'sendTaskSuccess' | 'sendTaskFailure'>,
  taskToken: string,
  end: TaskEnd,
  abortSignal: AbortSignal,
): Promise<void> {
  if (end.kind === 'success') {
    const output = JSON.stringify(end.output);
    if (output.length > longestOutput) throw new RangeError(`an output of ${output.length} characters`);
    await client.sendTaskSuccess({ taskToken, output }, { abortSignal });
    return;
  }
  const [error, cause] = [end.error.slice(0, longestError), shortened(end.cause)];
  await client.sendTaskFailure({ taskToken, error, cause }, { abortSignal });
}

function shortened(cause: string): string {
  return cause.length <= longestCause ? cause : `${cause.slice(0, longestCause - 2)} …`;
}
