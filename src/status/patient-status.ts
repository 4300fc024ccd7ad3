import { isReplicationError, type ReplicationError } from '../model/errors.ts';
import type { StatusStore } from './status.ts';

/** These pass, and images need not wait for it: the store is throttled, away, or out of order. */
const passing = ['throttled', 'unreachable', 'unavailable'] as const;

/**
 * A store that stops nobody who wants to read it while it cannot be had: it is empty then, and opened again by the next
 * call. Writes fail as ever.
 * @param name of the store, for messages
 * @param onTrouble told when it is taken for empty
 */
export function patientStatus(
  name: string,
  open: () => Promise<StatusStore>,
  onTrouble: (error: ReplicationError) => void,
): StatusStore {
  let store: StatusStore | undefined;
  const opened = async (): Promise<StatusStore> => (store ??= await open());
  return {
    name,
    record: async (statuses, signal) => (await opened()).record(statuses, signal),
    async list(filter, signal) {
      try {
        return await (await opened()).list(filter, signal);
      } catch (error) {
        if (!isReplicationError(error, ...passing)) throw error;
        onTrouble(error);
        return [];
      }
    },
    close: async () => store?.close(),
  };
}
