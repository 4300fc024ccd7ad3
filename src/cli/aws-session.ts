import { type Aws, createAws } from '../aws/clients.ts';
import { variable } from './environment.ts';
import type { Session } from './session.ts';

/** The AWS clients of a job, with the session's proxies, certificates and mask. */
export function openAws(session: Session, region: string): Aws {
  return createAws({
    network: session.network,
    region,
    mask: session.mask,
    // A stand-in for S3 is reached under one name only; AWS itself under one per bucket.
    s3PathStyle: variable(session.env, 'AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL') !== undefined,
  });
}
