import type { ReadEntry } from 'tar';
import { ReplicationError } from '../model/errors.ts';
import { type ArchiveLimits, mebibyte } from './archive-limits.ts';

/** What went wrong while unpacking, as our own error. */
export function unpackError(cause: unknown, limits: ArchiveLimits, what: string): ReplicationError {
  if (cause instanceof ReplicationError) return cause;
  if (cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE') return tooLarge(what, limits);
  return new ReplicationError('corrupt', `${what} is not a gzipped tar archive: ${messageOf(cause)}`, { cause });
}

/** An archive beyond its limits; the ratio is unpacked to packed bytes. */
export function tooLarge(what: string, limits: ArchiveLimits): ReplicationError {
  return refuse(
    what,
    `unpacks to more than ${limits.maxTotalBytes / mebibyte} MiB or to more than ${limits.maxRatio} times its size`,
  );
}

export function isDirectory(entry: ReadEntry): boolean {
  return entry.type === 'Directory' || entry.type === 'GNUDumpDir';
}

/**
 * Checks one member's path, type and size, and gives its path with `/` between segments.
 * CVE-2019-18658, CVE-2020-4053 and CVE-2022-36055 are what such members have done to helm.
 */
export function checkEntry(entry: ReadEntry, count: number, limits: ArchiveLimits, what: string): string {
  if (count > limits.maxEntries) throw refuse(what, `has more than ${limits.maxEntries} members`);
  const written = JSON.stringify(entry.path);
  // Archives packed on Windows separate by backslash (helm reads them alike).
  const path = entry.path.replaceAll('\\', '/').replace(/^(?:\.\/+)+/, '');
  if (path.startsWith('/') || /^[A-Za-z]:/.test(path)) throw refuse(what, `holds the absolute path ${written}`);
  if (path.split('/').includes('..')) throw refuse(what, `holds ${written}, which leads out of its folder`);
  if (path.includes('\0')) throw refuse(what, `holds a path with a NUL byte: ${written}`);
  switch (entry.type) {
    case 'File':
    case 'OldFile':
    case 'ContiguousFile':
    case 'Directory':
    case 'GNUDumpDir':
      break;
    default:
      throw refuse(what, `holds ${written}, which is a ${entry.type} and no file`);
  }
  if (entry.size > limits.maxMemberBytes) {
    throw refuse(what, `holds ${written} with ${entry.size} bytes (at most ${limits.maxMemberBytes} are allowed)`);
  }
  return path;
}

/** @param why what the archive does, in words that follow "it" */
export function refuse(what: string, why: string): ReplicationError {
  return new ReplicationError('refused', `${what} is refused: it ${why}`, {
    remedy: 'do not use this archive; get it again from a source that you trust',
  });
}

/** The tar parser would unpack gzip or zstd inside our gzip by itself, past our limits. */
export function refuseCompressed(tar: Buffer, what: string): void {
  const gzip = tar.subarray(0, 2).equals(Buffer.from([0x1f, 0x8b]));
  const zstd = tar.subarray(0, 4).equals(Buffer.from([0x28, 0xb5, 0x2f, 0xfd]));
  if (gzip || zstd) throw refuse(what, 'is compressed twice');
}

/** Types that the parser skips (sparse files, volume headers, over-long extended headers): nothing a chart needs. */
export function unknownMember(entry: ReadEntry, what: string): ReplicationError {
  return refuse(what, `holds ${JSON.stringify(entry.path)} of the unsupported type ${entry.type}`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
