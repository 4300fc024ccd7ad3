import type { S3 } from '@aws-sdk/client-s3';
import type { Aws } from '../../aws/clients.ts';
import { variable } from '../environment.ts';
import type { Session } from '../session.ts';

/** The region that the program is told to be in. */
export function ownRegion(session: Session): string {
  return variable(session.env, 'AWS_REGION', 'AWS_DEFAULT_REGION') ?? 'us-east-1';
}

/**
 * S3 for run folders and lists: the SDK is loaded only where there is an address in S3.
 * @param region of the bucket, where it is known to be another one than the program's own
 */
export function s3Client(
  session: Session,
  region = ownRegion(session),
): { readonly s3: () => Promise<S3>; close(): Promise<void> } {
  let opened: Promise<Aws> | undefined;
  return {
    s3: async () => {
      opened ??= import('../aws-session.ts').then(({ openAws }) => openAws(session, region));
      return (await opened).s3();
    },
    close: async () => (await opened)?.close(),
  };
}
