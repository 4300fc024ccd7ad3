import type { JobResult, Session } from './session.ts';

/** What a run tells of itself to whoever waits for it. */
export interface TaskHook {
  /** Hands over the session, which ends when the task is given to another worker. */
  attach(session: Session): void;
  /** @param thrown the job as a whole could not be done */
  ended(status: 0 | 1 | 2, result: JobResult, thrown: boolean): void;
  /** Whether the task belongs to another worker now. */
  readonly lost: boolean;
}
