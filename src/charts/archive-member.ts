import { createReadStream, createWriteStream } from 'node:fs';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { Parser, type ReadEntry } from 'tar';
import {
  checkEntry,
  isDirectory,
  refuse,
  refuseCompressed,
  tooLarge,
  unknownMember,
  unpackError,
} from './archive-checks.ts';
import { allowedSize, type ArchiveLimits } from './archive-limits.ts';

export interface MemberOptions {
  readonly limits: ArchiveLimits;
  readonly packedBytes: number;
  /** For messages. */
  readonly what: string;
  readonly signal: AbortSignal;
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
  options: MemberOptions,
): Promise<readonly string[]> {
  const { limits, what } = options;
  const members = memberWriter(member, destination, limits, what);
  try {
    await pipeline(
      createReadStream(archivePath),
      createGunzip(),
      limitBytes(allowedSize(options.packedBytes, limits), limits, what),
      members.parse,
      { signal: options.signal },
    );
  } catch (error) {
    members.cutOff(error);
  }
  const failure = await members.ended();
  if (failure === undefined) return members.paths;
  throw isFileSystemError(failure) ? failure : unpackError(failure, limits, what);
}

interface MemberWriter {
  /** Of all files so far. */
  readonly paths: readonly string[];
  /** Takes the bytes of a tar, until something goes wrong. */
  readonly parse: (source: AsyncIterable<Buffer>) => Promise<void>;
  /** No more bytes come. */
  cutOff(error: unknown): void;
  /** Waits for the file that is written. @returns the first thing that went wrong */
  ended(): Promise<unknown>;
}

/** Checks each member of a tar, and writes one of them. */
function memberWriter(member: string, destination: string, limits: ArchiveLimits, what: string): MemberWriter {
  const paths: string[] = [];
  const writing: Promise<void>[] = [];
  const unfinished = new AbortController();
  let failure: unknown;
  let entries = 0;
  const fail = (error: unknown): void => {
    failure ??= error;
  };
  const write = (entry: ReadEntry): void => {
    const file = createWriteStream(destination, { flags: 'wx', mode: 0o600 });
    const written = pipeline(Readable.from(entry), file, { signal: unfinished.signal }).catch((error: unknown) => {
      fail(error);
      // The rest of a member must still run out, or the parser would wait for its reader for ever.
      entry.resume();
    });
    writing.push(written);
  };
  const onReadEntry = (entry: ReadEntry): void => {
    try {
      entries += 1;
      const path = checkEntry(entry, entries, limits, what);
      if (!isDirectory(entry) && paths.includes(path)) throw refuse(what, `holds ${JSON.stringify(path)} twice`);
      if (!isDirectory(entry)) paths.push(path);
      if (path === member && failure === undefined) {
        write(entry);
        return;
      }
    } catch (error) {
      fail(error);
    }
    entry.resume();
  };
  const parser = new Parser({ strict: true, onReadEntry });
  parser.on('error', fail);
  parser.on('ignoredEntry', (entry: ReadEntry) => fail(unknownMember(entry, what)));
  return {
    paths,
    parse: async (source) => {
      for await (const chunk of source) {
        if (failure !== undefined) return;
        if (!parser.write(chunk)) await new Promise<void>((resolve) => parser.once('drain', resolve));
      }
      parser.end();
    },
    cutOff(error) {
      fail(error);
      // A member that was cut off would wait for its rest.
      unfinished.abort();
    },
    async ended() {
      await Promise.all(writing);
      return failure;
    },
  };
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
