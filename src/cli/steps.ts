import { ReplicationErrors, toReplicationError } from '../model/errors.ts';
import { type Failure, failureOf } from '../model/result.ts';

/** Runs a step of a job. What goes wrong in it is collected, so that what was done before is told all the same. */
export type Step = (name: string, work: () => Promise<void>) => Promise<void>;

/** Runs steps whose failure does not stop the ones behind it; what they throw is added to `failures`. */
export function collecting(failures: Failure[]): Step {
  return async (name, work) => {
    try {
      await work();
    } catch (error) {
      const all = error instanceof ReplicationErrors ? error.errors : [toReplicationError(error)];
      failures.push(...all.map((each) => failureOf(each.reference ?? name, each)));
    }
  };
}
