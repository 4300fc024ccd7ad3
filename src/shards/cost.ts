import { ReplicationError } from '../model/errors.ts';

/** What work takes of one worker. Times are compared with each other only: shards come out the same on a machine twice as fast. */
export interface CostModel {
  /** Bytes a second that a worker moves from sources to targets. */
  readonly bytesPerSecond: number;
  /** Seconds that a manifest takes to be written, bytes apart. */
  readonly secondsPerManifest: number;
  /** Bytes a second by source host, for sources that are slower than the rest. */
  readonly hosts?: Readonly<Record<string, number>> | undefined;
}

/**
 * A worker of two processors next to ECR moves about 100 MB a second. ECR takes 10 manifests a second of an account and region
 * (PutImage, https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html): what a lone worker can reach.
 */
export const usualCost: CostModel = { bytesPerSecond: 100e6, secondsPerManifest: 0.1 };

/** @throws ReplicationError `usage` for a rate that is not above 0, or a time below 0 */
export function checkCost({ bytesPerSecond, secondsPerManifest, hosts = {} }: CostModel): void {
  const rates = { 'all sources': bytesPerSecond, ...hosts };
  for (const [source, rate] of Object.entries(rates))
    if (!(rate > 0)) throw new ReplicationError('usage', `${rate} bytes a second is no rate for ${source}`);
  if (!(secondsPerManifest >= 0))
    throw new ReplicationError('usage', `${secondsPerManifest} seconds is no time for a manifest`);
}

/** Bytes a second from a source. */
export function rateOf({ bytesPerSecond, hosts = {} }: CostModel, host: string): number {
  return Object.hasOwn(hosts, host) ? (hosts[host] ?? bytesPerSecond) : bytesPerSecond;
}
