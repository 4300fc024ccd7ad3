import { ReplicationError } from '../model/errors.ts';
import type { Aws } from './clients.ts';

/**
 * The account that the run works in: as given (AWS_ACCOUNT_ID, which Seed-Farmer's `--local` does not set), else asked
 * from STS. Twelve digits.
 */
export async function accountId(aws: Aws, given: string | undefined, signal: AbortSignal): Promise<string> {
  if (given !== undefined && given !== '') {
    if (/^\d{12}$/.test(given)) return given;
    throw new ReplicationError('configuration', `"${given}" is no AWS account id`, {
      remedy: 'AWS_ACCOUNT_ID has twelve digits; leave it out to have it asked from STS',
    });
  }
  const answer = await (await aws.sts()).getCallerIdentity({}, { abortSignal: signal });
  if (answer.Account === undefined)
    throw new ReplicationError('corrupt', 'sts:GetCallerIdentity answered without an account');
  return answer.Account;
}
