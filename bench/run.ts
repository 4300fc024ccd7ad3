import * as z from 'zod';
import { corpusNames } from './corpus/plan.ts';
import { RelayCounters } from './relay/counters.ts';
import { profileNames } from './relay/profile.ts';
import { toolNames } from './tools.ts';

/** `cold`: into an empty target. `noop`: once more, nothing to do. `incr`: once more, after some tags have moved at the source. */
export const scenarioNames = ['cold', 'noop', 'incr'] as const;
export type ScenarioName = (typeof scenarioNames)[number];

const Side = z.object({
  ...RelayCounters.shape,
  /** CPU time of the relay's own process. */
  relayCpuSeconds: z.number(),
});

/** One run of one tool, as the JSON report has it. */
export const Run = z.object({
  corpus: z.enum(corpusNames),
  profile: z.enum(profileNames),
  scenario: z.enum(scenarioNames),
  repetition: z.number().int().positive(),
  tool: z.enum(toolNames),
  title: z.string(),
  seconds: z.number(),
  /** Absent when a signal ended it. */
  exitStatus: z.number().int().optional(),
  timedOut: z.boolean(),
  /** What the target lacked afterwards. */
  lacking: z.object({ tags: z.number(), manifests: z.number(), blobs: z.number(), corrupt: z.number() }),
  /** Exit status 0, nothing lacking, and the run before it (that this one builds on) was complete too. */
  complete: z.boolean(),
  /** Why the figures do not count, though the tool may be in order: the relay was the limit. */
  refused: z.string().optional(),
  /** Of the tool and all its processes; absent where the system does not tell. */
  cpuSeconds: z.number().optional(),
  peakRssBytes: z.number().optional(),
  registriesCpuSeconds: z.number().optional(),
  /** What neither tool, relays, registries nor the benchmark itself used: another job on the machine. */
  othersCpuSeconds: z.number().optional(),
  source: Side,
  target: Side,
});
export type Run = Readonly<z.infer<typeof Run>>;

/** The share of one core above which a relay may have been what was measured. */
const saturatedShare = 0.85;

/** @returns why the run says nothing about its tool, or `undefined` */
export function refusal(seconds: number, relays: Readonly<Record<'source' | 'target', number>>): string | undefined {
  for (const side of ['source', 'target'] as const) {
    const share = relays[side] / seconds;
    if (share > saturatedShare)
      return `the ${side} relay was busy for ${Math.round(share * 100)} % of the run, so the relay was measured`;
  }
  return undefined;
}
