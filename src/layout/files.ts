import { randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { ReplicationError } from '../model/errors.ts';

/** Names of files that are being written. They lie beside `index.json`: the image layout lets unknown files be there. */
export const unfinishedPrefix = '.unfinished-';

export function unfinishedFile(directory: string): string {
  return path.join(directory, `${unfinishedPrefix}${randomUUID()}`);
}

/**
 * Makes a folder, and those above it, unless it is there. Node's own recursive mkdir looks whether the folder is there when
 * it was refused, and then says ENOENT where the file system is read-only (src/node_file.cc, MKDirpAsync); below /proc it
 * never ends.
 */
export async function makeFolder(directory: string): Promise<void> {
  try {
    await mkdir(directory);
  } catch (error) {
    if (await isFolder(directory)) return;
    const parent = path.dirname(directory);
    if (parent === directory || !hasCode(error, 'ENOENT')) throw error;
    if (!(await isFolder(parent))) await makeFolder(parent);
    // Once more and no oftener: the parent may have come from somebody else a moment ago, and below /proc it never helps.
    await mkdir(directory).catch(async (again: unknown) => {
      if (!(await isFolder(directory))) throw again;
    });
  }
}

async function isFolder(directory: string): Promise<boolean> {
  try {
    return (await stat(directory)).isDirectory();
  } catch {
    return false;
  }
}

/** Replaces a file as a whole: readers see the old content or the new one, never a part. Returns the new file's stamp. */
export async function replaceFile(directory: string, name: string, content: string): Promise<string> {
  const unfinished = unfinishedFile(directory);
  try {
    const handle = await open(unfinished, 'wx');
    try {
      await handle.writeFile(content);
      // Without it a crash of the machine can leave an empty file behind the rename.
      await handle.sync();
      const { ino, size, mtimeNs } = await handle.stat({ bigint: true });
      await handle.close();
      await rename(unfinished, path.join(directory, name));
      return fileStamp({ ino, size, mtimeNs });
    } finally {
      await handle.close();
    }
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}

/** Tells versions of a file apart that is only ever replaced as a whole. */
export function fileStamp(stat: { readonly ino: bigint; readonly size: bigint; readonly mtimeNs: bigint }): string {
  return `${stat.ino}-${stat.size}-${stat.mtimeNs}`;
}

const reasons: Readonly<Record<string, readonly [reason: string, remedy: string]>> = {
  ENOSPC: ['the disk is full', 'free some space, or choose a folder on another disk'],
  EDQUOT: ['the disk quota is used up', 'free some space, or choose a folder on another disk'],
  EROFS: ['the file system is read-only', 'choose a folder that can be written'],
  EACCES: ['permission denied', 'choose a folder that this user may read and write'],
  EPERM: ['not permitted', 'choose a folder that this user may read and write'],
  EEXIST: ['a file is in the way', 'choose another folder'],
  ENOTDIR: ['a part of the path is a file', 'choose another folder'],
  EISDIR: ['it is a folder', 'choose another folder'],
  EIO: ['the disk reports an error', 'look at the disk, or choose a folder on another one'],
  ENOENT: ['a folder on the way is missing', 'choose another folder, or create it'],
  ENAMETOOLONG: ['the path is too long', 'choose a shorter path'],
  EMFILE: ['too many files are open', 'raise the limit (ulimit -n) or lower the concurrency'],
};

/**
 * A file system error as ReplicationError `storage`; anything else comes back as it is (a stream's own failure, for
 * instance: ECONNRESET looks much like these).
 */
export function storageError(error: unknown, action: string, file: string): unknown {
  const known = isFileSystemError(error) ? reasons[error.code] : undefined;
  if (known === undefined) return error;
  const [reason, remedy] = known;
  return new ReplicationError('storage', `cannot ${action} ${file}: ${reason}`, {
    reference: file,
    remedy,
    cause: error,
  });
}

export function isMissingFile(error: unknown): boolean {
  return hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR');
}

function hasCode(error: unknown, code: string): boolean {
  return isFileSystemError(error) && error.code === code;
}

function isFileSystemError(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && 'syscall' in error && 'code' in error && typeof error.code === 'string';
}
