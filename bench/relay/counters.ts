import * as z from 'zod';
import { requestKinds } from './classify.ts';

const Count = z.number().int().nonnegative();

/** What passed through a relay since it was last told to begin anew. */
export const RelayCounters = z.object({
  connections: Count,
  requests: z.record(z.enum(requestKinds), Count),
  /** Answers by status, the relay's own among them. */
  statuses: z.record(z.string(), Count),
  /** Of sockets, heads included. */
  bytesToServer: Count,
  bytesToClient: Count,
  /** The longest that a timer was late, milliseconds. */
  latestMs: z.number().nonnegative(),
});
export type RelayCounters = z.infer<typeof RelayCounters>;

export function newCounters(): RelayCounters {
  const requests = Object.fromEntries(requestKinds.map((kind) => [kind, 0])) as RelayCounters['requests'];
  return { connections: 0, requests, statuses: {}, bytesToServer: 0, bytesToClient: 0, latestMs: 0 };
}

export function totalRequests(counters: RelayCounters): number {
  return Object.values(counters.requests).reduce((sum, count) => sum + count, 0);
}
