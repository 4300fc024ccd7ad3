import { promisify } from 'node:util';
import { gunzip, gunzipSync } from 'node:zlib';
import { Parser, type ReadEntry } from 'tar';
import { ReplicationError } from '../model/errors.ts';
import { checkEntry, isDirectory, refuse, refuseCompressed, unknownMember, unpackError } from './archive-checks.ts';
import { allowedSize, type ArchiveLimits } from './archive-limits.ts';

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
