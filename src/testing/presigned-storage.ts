import { createHmac, randomBytes } from 'node:crypto';
import { isDigest } from '../model/digest.ts';
import { type Answer, AnswerError } from './answer.ts';
import type { Exchange } from './http-host.ts';
import { serveBlob } from './registry-blobs.ts';
import type { RegistryContext } from './registry-context.ts';

/** Addresses that are good for some minutes and for one blob, as S3's presigned ones. */
export interface PresignedStorage {
  /** Path and query of a download. */
  sign(repository: string, digest: string): string;
  serve(context: Pick<RegistryContext, 'storage'>, exchange: Exchange): Answer;
  /** Every address signed so far is expired from now on. */
  expire(): void;
}

/** @param seconds how long an address is good; ECR's are said to live about 5 minutes (containerd/stargz-snapshotter#167) */
export function presignedStorage(seconds: number): PresignedStorage {
  const key = randomBytes(16);
  let generation = 0;
  const signature = (path: string, made: number, expires: number): string =>
    createHmac('sha256', key).update(`${path}\n${made}\n${expires}`).digest('hex');
  return {
    sign(repository, digest) {
      const path = `/${repository}/${digest}`;
      const expires = Date.now() + seconds * 1000;
      const query = `X-Amz-Date=${generation}&X-Amz-Expires=${expires}`;
      return `${path}?${query}&X-Amz-Signature=${signature(path, generation, expires)}`;
    },
    serve(context, { method, url, headers }) {
      // S3 refuses two ways of authentication at once: https://github.com/open-policy-agent/opa/issues/6728
      if (headers.authorization !== undefined) {
        throw s3Error(
          400,
          'InvalidArgument',
          'Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified',
        );
      }
      const expires = Number(url.searchParams.get('X-Amz-Expires'));
      const made = Number(url.searchParams.get('X-Amz-Date'));
      const good = url.searchParams.get('X-Amz-Signature') === signature(url.pathname, made, expires);
      // Signed for GET only, so HEAD does not match (containerd/stargz-snapshotter#167).
      if (!good || method !== 'GET') {
        throw s3Error(
          403,
          'SignatureDoesNotMatch',
          'The request signature we calculated does not match the signature you provided.',
        );
      }
      if (expires <= Date.now() || made < generation) throw s3Error(403, 'AccessDenied', 'Request has expired');
      const digest = url.pathname.slice(url.pathname.lastIndexOf('/') + 1);
      if (!isDigest(digest)) throw s3Error(404, 'NoSuchKey', 'The specified key does not exist.');
      return serveBlob(context, digest, headers.range, { 'content-type': 'application/octet-stream' });
    },
    expire() {
      generation += 1;
    },
  };
}

function s3Error(status: number, code: string, message: string): AnswerError {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message></Error>`;
  return new AnswerError({ status, headers: { 'content-type': 'application/xml' }, body });
}
