import * as z from 'zod';
import { RelayCounters } from './counters.ts';
import { profileNames } from './profile.ts';

/** What the benchmark tells a relay's process. Each is answered by one {@link RelayReply}. */
export const RelayCommand = z.discriminatedUnion('type', [
  /** Begin anew, in front of this registry. */
  z.object({
    type: z.literal('point'),
    upstreamPort: z.number().int().positive(),
    profile: z.enum(profileNames),
    side: z.enum(['source', 'target']),
  }),
  z.object({ type: z.literal('report') }),
]);
export type RelayCommand = z.infer<typeof RelayCommand>;

export const RelayReply = z.object({
  /** Where the relay listens, on 127.0.0.1. */
  port: z.number().int().positive(),
  pid: z.number().int().positive(),
  /** CPU time that its process has used, since it was pointed at the registry. */
  cpuSeconds: z.number().nonnegative(),
  counters: RelayCounters,
});
export type RelayReply = z.infer<typeof RelayReply>;
