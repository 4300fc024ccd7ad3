import { ReplicationError } from '../model/errors.ts';
import { networkFailure } from './network-errors.ts';
import type { TransportRequest } from './transport-request.ts';

/** The error of a body whose connection failed after so many bytes. */
export function brokenTransfer(error: Error, received: number, request: TransportRequest): Error {
  const failure = networkFailure(error, { host: request.url.host, what: request.what, signal: request.signal });
  if (failure === undefined) return error;
  if (failure.error.code !== 'unreachable') return failure.error;
  return new ReplicationError('unreachable', `${failure.error.message}, after ${received} bytes`, {
    host: request.url.host,
    remedy: failure.error.remedy ?? 'run again: what was copied is kept',
    cause: error,
  });
}

/** The error of a body that is longer or shorter than it should be. */
export function wrongLength(received: number, request: TransportRequest): Error {
  const expected = request.stream?.expected ?? 0;
  const amount = received > expected ? `more than ${expected}` : `${received} of ${expected}`;
  return new ReplicationError('corrupt', `${request.url.host} sent ${amount} bytes (${request.what})`, {
    host: request.url.host,
    remedy: `run again; if it stays, have it pushed to ${request.url.host} anew, or look for a proxy that cuts answers`,
  });
}
