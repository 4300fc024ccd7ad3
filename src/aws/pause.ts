import { setTimeout as sleep } from 'node:timers/promises';
import { ReplicationError } from '../model/errors.ts';

/** Waits; @throws ReplicationError `cancelled` when told to stop meanwhile */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(milliseconds, undefined, { signal });
  } catch (cause) {
    throw new ReplicationError('cancelled', 'told to stop while waiting for AWS', { cause });
  }
}
