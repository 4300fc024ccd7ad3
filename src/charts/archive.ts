import { createReadStream, createWriteStream } from 'node:fs';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createGunzip, gunzip, gunzipSync } from 'node:zlib';
import { Parser, type ReadEntry } from 'tar';
import { ReplicationError } from '../model/errors.ts';

/** Bounds for an archive that strangers made. Sizes are in bytes after decompression. */
export interface ArchiveLimits {
  readonly maxMemberBytes: number;
  readonly maxTotalBytes: number;
  readonly maxEntries: number;
  /** Largest allowed ratio of unpacked to packed size, applied beyond the first 8 MiB. */
  readonly maxRatio: number;
}

const mebibyte = 1024 * 1024;
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

/**
 * Reads the files of a gzipped tar into memory: path as written, without leading `./`, to content. Nothing is written
 * to disk. Directories are left out.
 * @throws ReplicationError `refused` for path traversal, absolute paths, links, devices, a path given twice with
 *   different content, and anything beyond the limits; `corrupt` for what is no gzipped tar
 */
export async function readArchive(
  archive: Uint8Array,
  limits: ArchiveLimits,
  what: string,
): Promise<ReadonlyMap<string, Buffer>> {
  let tar: Buffer;
  try {
    tar = await promisify(gunzip)(archive, { maxOutputLength: allowedSize(archive.length, limits) });
  } catch (cause) {
    throw unpackError(cause, limits, what);
  }
  return readTar(tar, limits, what);
}

/** The same in one go, for callers that cannot wait. Chart archives are small: a few milliseconds. */
export function readArchiveSync(archive: Uint8Array, limits: ArchiveLimits, what: string): ReadonlyMap<string, Buffer> {
  let tar: Buffer;
  try {
    tar = gunzipSync(archive, { maxOutputLength: allowedSize(archive.length, limits) });
  } catch (cause) {
    throw unpackError(cause, limits, what);
  }
  return readTar(tar, limits, what);
}

function allowedSize(packed: number, limits: ArchiveLimits): number {
  return Math.max(1, Math.min(limits.maxTotalBytes, Math.max(ratioFree, packed * limits.maxRatio)));
}

function unpackError(cause: unknown, limits: ArchiveLimits, what: string): ReplicationError {
  if (cause instanceof ReplicationError) return cause;
  if (cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE') return tooLarge(what, limits);
  return new ReplicationError('corrupt', `${what} is not a gzipped tar archive: ${messageOf(cause)}`, { cause });
}

function tooLarge(what: string, limits: ArchiveLimits): ReplicationError {
  return refuse(
    what,
    `unpacks to more than ${limits.maxTotalBytes / mebibyte} MiB or to more than ${limits.maxRatio} times its size`,
  );
}

function readTar(tar: Buffer, limits: ArchiveLimits, what: string): ReadonlyMap<string, Buffer> {
  refuseCompressed(tar, what);
  const files = new Map<string, Buffer>();
  const failures: unknown[] = [];
  let entries = 0;
  const parser = new Parser({
    strict: true,
    onReadEntry: (entry) => {
      const chunks: Buffer[] = [];
      let path = '';
      try {
        entries += 1;
        path = checkEntry(entry, entries, limits, what);
      } catch (error) {
        failures.push(error);
      }
      // Refused archives are read no further than memory already holds; the bytes just run out.
      if (failures.length > 0 || isDirectory(entry)) {
        entry.resume();
        return;
      }
      entry.on('data', (chunk: Buffer) => chunks.push(chunk));
      entry.on('end', () => {
        const content = Buffer.concat(chunks);
        const earlier = files.get(path);
        if (earlier !== undefined && !earlier.equals(content))
          failures.push(refuse(what, `holds ${JSON.stringify(path)} twice with different content`));
        files.set(path, content);
      });
    },
  });
  parser.on('error', (error: unknown) => failures.push(error));
  parser.on('ignoredEntry', (entry: ReadEntry) => failures.push(unknownMember(entry, what)));
  try {
    parser.end(tar);
  } catch (error) {
    failures.push(error);
  }
  if (failures.length > 0) throw unpackError(failures[0], limits, what);
  if (files.size === 0) throw new ReplicationError('corrupt', `${what} holds no files`);
  return files;
}

function isDirectory(entry: ReadEntry): boolean {
  return entry.type === 'Directory' || entry.type === 'GNUDumpDir';
}

/**
 * Checks one member's path, type and size, and gives its path with `/` between segments.
 * CVE-2019-18658, CVE-2020-4053 and CVE-2022-36055 are what such members have done to helm.
 */
function checkEntry(entry: ReadEntry, count: number, limits: ArchiveLimits, what: string): string {
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

function refuse(what: string, why: string): ReplicationError {
  return new ReplicationError('refused', `${what} is refused: it ${why}`, {
    remedy: 'do not use this archive; get it again from a source that you trust',
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Unpacks one member of a gzipped tar on disk into a file, streaming, and gives the paths of all members. Every member is
 * checked, wanted or not. The caller owns `destination` and removes it when this throws.
 * @returns paths of all files, in order; the member was there if `member` is among them
 * @throws ReplicationError `refused`, `corrupt` as `readArchive`; file system errors as they are
 */
export async function extractMember(
  archivePath: string,
  member: string,
  destination: string,
  options: {
    readonly limits: ArchiveLimits;
    readonly packedBytes: number;
    readonly what: string;
    readonly signal: AbortSignal;
  },
): Promise<readonly string[]> {
  const { limits, what } = options;
  const paths: string[] = [];
  const writing: Promise<void>[] = [];
  const unfinished = new AbortController();
  let failure: unknown;
  let entries = 0;
  // After a failure the rest of a member must still run out, or the parser would wait for its reader for ever.
  const fail = (then?: () => void) => (error: unknown) => {
    failure ??= error;
    then?.();
  };
  const parser = new Parser({
    strict: true,
    onReadEntry: (entry) => {
      try {
        entries += 1;
        const path = checkEntry(entry, entries, limits, what);
        if (!isDirectory(entry) && paths.includes(path)) throw refuse(what, `holds ${JSON.stringify(path)} twice`);
        if (!isDirectory(entry)) paths.push(path);
        if (path === member && failure === undefined) {
          const file = createWriteStream(destination, { flags: 'wx', mode: 0o600 });
          writing.push(
            pipeline(Readable.from(entry), file, { signal: unfinished.signal }).catch(fail(() => entry.resume())),
          );
          return;
        }
      } catch (error) {
        failure ??= error;
      }
      entry.resume();
    },
  });
  parser.on('error', fail());
  parser.on('ignoredEntry', (entry: ReadEntry) => fail()(unknownMember(entry, what)));
  try {
    await pipeline(
      createReadStream(archivePath),
      createGunzip(),
      limitBytes(allowedSize(options.packedBytes, limits), limits, what),
      async (source: AsyncIterable<Buffer>) => {
        for await (const chunk of source) {
          if (failure !== undefined) return;
          if (!parser.write(chunk)) await new Promise<void>((resolve) => parser.once('drain', resolve));
        }
        parser.end();
      },
      { signal: options.signal },
    );
  } catch (error) {
    failure ??= error;
    // A member that was cut off would wait for its rest.
    unfinished.abort();
  }
  await Promise.all(writing);
  if (failure === undefined) return paths;
  throw isFileSystemError(failure) ? failure : unpackError(failure, limits, what);
}

function isFileSystemError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && /^E[A-Z]+$/.test(error.code);
}

/** Fails once more than `max` bytes have passed, or when the first bytes show yet another compressed layer. */
function limitBytes(max: number, limits: ArchiveLimits, what: string): Transform {
  let seen = 0;
  let head = Buffer.alloc(0);
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      seen += chunk.length;
      if (seen > max) {
        done(tooLarge(what, limits));
        return;
      }
      if (head.length < 4) {
        head = Buffer.concat([head, chunk.subarray(0, 4)]);
        try {
          refuseCompressed(head, what);
        } catch (error) {
          done(error instanceof Error ? error : new Error(String(error)));
          return;
        }
      }
      done(null, chunk);
    },
  });
}

/** The tar parser would unpack gzip or zstd inside our gzip by itself, past our limits. */
function refuseCompressed(tar: Buffer, what: string): void {
  const gzip = tar.subarray(0, 2).equals(Buffer.from([0x1f, 0x8b]));
  const zstd = tar.subarray(0, 4).equals(Buffer.from([0x28, 0xb5, 0x2f, 0xfd]));
  if (gzip || zstd) throw refuse(what, 'is compressed twice');
}

/** Types that the parser skips (sparse files, volume headers, over-long extended headers): nothing a chart needs. */
function unknownMember(entry: ReadEntry, what: string): ReplicationError {
  return refuse(what, `holds ${JSON.stringify(entry.path)} of the unsupported type ${entry.type}`);
}
