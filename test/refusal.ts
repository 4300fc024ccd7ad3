import { ReplicationError } from '../src/model/errors.ts';

/** The ReplicationError that some work ends with; anything else fails the test. */
export async function refusal(work: Promise<unknown> | (() => unknown)): Promise<ReplicationError> {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (error) {
    if (error instanceof ReplicationError) return error;
    throw error;
  }
  throw new Error('it was expected to be refused');
}
