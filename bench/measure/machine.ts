import { availableParallelism, cpus, release, totalmem, type } from 'node:os';
import * as z from 'zod';

/** What a measurement was made on. */
export const Machine = z.object({
  cpu: z.string(),
  cores: z.number(),
  memoryBytes: z.number(),
  system: z.string(),
  node: z.string(),
});
export type Machine = Readonly<z.infer<typeof Machine>>;

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    system: `${type()} ${release()}`,
    node: process.version,
  };
}
