import type { Rate } from '../../src/testing/token-bucket.ts';

/** What a relay does to one side. */
export interface SideProfile {
  /** Round trip, milliseconds: half of it each way. */
  readonly rttMs: number;
  /** Round trips before the first byte of a connection: TCP and TLS 1.3 take one each. */
  readonly handshakeRtts: number;
  /** Of each connection and way; `undefined` for no limit. */
  readonly bytesPerSecond: number | undefined;
  /** Manifest PUTs beyond this rate are answered 429 without Retry-After. */
  readonly manifestPuts: Rate | undefined;
  /** A mount is answered as an ordinary upload (202). */
  readonly refuseMounts: boolean;
}

export interface Profile {
  readonly source: SideProfile;
  readonly target: SideProfile;
}

const unshaped: SideProfile = {
  rttMs: 0,
  handshakeRtts: 0,
  bytesPerSecond: undefined,
  manifestPuts: undefined,
  refuseMounts: false,
};
/** A public registry somewhere on the same continent, as one connection sees it. */
const farSource: SideProfile = { ...unshaped, rttMs: 40, handshakeRtts: 2, bytesPerSecond: 60e6 };
/** The region's own registry. */
const nearTarget: SideProfile = { ...unshaped, rttMs: 4, handshakeRtts: 2 };
/** Amazon ECR's quota for PutImage, https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html */
export const putImage: Rate = { perSecond: 10, burst: 10 };

export const profileNames = ['loopback', 'wan', 'wan-put10', 'wan-ecr'] as const;
export type ProfileName = (typeof profileNames)[number];

export const profiles: Readonly<Record<ProfileName, Profile>> = {
  loopback: { source: unshaped, target: unshaped },
  wan: { source: farSource, target: nearTarget },
  'wan-put10': { source: farSource, target: { ...nearTarget, manifestPuts: putImage } },
  // ECR mounts nothing unless the account has switched blob mounting on.
  'wan-ecr': { source: farSource, target: { ...nearTarget, manifestPuts: putImage, refuseMounts: true } },
};

/** Seconds below which no tool can put so many manifests; `undefined` where nothing limits them. */
export function manifestFloor(profile: Profile, manifests: number): number | undefined {
  const rate = profile.target.manifestPuts;
  return rate && Math.max(0, (manifests - rate.burst) / rate.perSecond);
}
