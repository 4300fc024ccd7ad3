import { ReplicationError } from '../model/errors.ts';
import type { Aws, AwsCredentials } from './clients.ts';

/**
 * Credentials of a role, asked from STS with those of `aws`, for an hour at a time.
 * https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
 */
export function assumedRole(aws: Aws, roleArn: string, signal: AbortSignal): AwsCredentials {
  return async () => {
    const sts = await aws.sts();
    const { Credentials: keys } = await sts.assumeRole(
      { RoleArn: roleArn, RoleSessionName: 'image-replication' },
      { abortSignal: signal },
    );
    if (keys?.AccessKeyId === undefined || keys.SecretAccessKey === undefined || keys.SessionToken === undefined)
      throw new ReplicationError('corrupt', `sts:AssumeRole of ${roleArn} answered without credentials`);
    aws.mask.add(keys.SecretAccessKey);
    aws.mask.add(keys.SessionToken);
    return {
      accessKeyId: keys.AccessKeyId,
      secretAccessKey: keys.SecretAccessKey,
      sessionToken: keys.SessionToken,
      ...(keys.Expiration === undefined ? {} : { expiration: keys.Expiration }),
    };
  };
}
