/** Bounds for an archive that strangers made. Sizes are in bytes after decompression. */
export interface ArchiveLimits {
  readonly maxMemberBytes: number;
  readonly maxTotalBytes: number;
  readonly maxEntries: number;
  /** Largest allowed ratio of unpacked to packed size, applied beyond the first 8 MiB. */
  readonly maxRatio: number;
}

/** Bytes. */
export const mebibyte = 1024 * 1024;
const ratioFree = 8 * mebibyte;

/** For charts. helm itself loads at most 100 MiB (5 MiB a file): pkg/chart/loader/archive.go. */
export const chartArchiveLimits: ArchiveLimits = {
  maxMemberBytes: 20 * mebibyte,
  maxTotalBytes: 100 * mebibyte,
  maxEntries: 20_000,
  maxRatio: 250,
};

/** For helm's own archives: the binary of helm 4 has about 60 MB. */
export const programArchiveLimits: ArchiveLimits = {
  maxMemberBytes: 256 * mebibyte,
  maxTotalBytes: 320 * mebibyte,
  maxEntries: 1_000,
  maxRatio: 250,
};

/** Bytes that an archive of so many may unpack to. */
export function allowedSize(packed: number, limits: ArchiveLimits): number {
  return Math.max(1, Math.min(limits.maxTotalBytes, Math.max(ratioFree, packed * limits.maxRatio)));
}
