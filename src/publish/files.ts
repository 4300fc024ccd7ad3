import { access, constants, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { makeFolder } from '../layout/files.ts';
import { ReplicationError } from '../model/errors.ts';

/** JSON as it is written to files and objects: two blanks of indentation, and a line end. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/**
 * Writes files into a folder, which is made when it is missing. Each file is there whole or as it was before.
 * @param files content by name
 * @param option what names the folder, for the remedy
 * @returns the paths, in the order given
 * @throws ReplicationError `storage` when the disk is full or the folder cannot be written to
 */
export async function writeFiles(
  directory: string,
  files: Readonly<Record<string, string | Uint8Array>>,
  option = '--out',
): Promise<readonly string[]> {
  await requireFolder(directory, option);
  const paths: string[] = [];
  for (const [name, content] of Object.entries(files)) {
    const path = join(directory, name);
    await writeFileAtomic(path, content, option);
    paths.push(path);
  }
  return paths;
}

/**
 * Makes a folder unless it is there, and asks whether files may be written into it.
 * @param option what names the folder, for the remedy
 * @throws ReplicationError `storage`
 */
export async function requireFolder(directory: string, option = '--out'): Promise<void> {
  try {
    await makeFolder(directory);
    await access(directory, constants.W_OK);
  } catch (error) {
    throw storageError(directory, error, option);
  }
}

/** Writes beside the file, then renames over it: a reader, or a crash, never meets half a file. */
export async function writeFileAtomic(path: string, content: string | Uint8Array, option = '--out'): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);
  try {
    const file = await open(temporary, 'wx');
    try {
      await file.writeFile(content);
      // A full disk may show only now (delayed allocation, NFS).
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw storageError(path, error, option);
  }
}

function storageError(path: string, error: unknown, option: string): ReplicationError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  const [why, remedy] = reasons[code] ?? [`it failed with ${code}`, 'check the folder given by'];
  return new ReplicationError('storage', `cannot write ${path}: ${why}`, {
    side: 'module',
    reference: path,
    remedy: `${remedy} ${option}`,
    cause: error,
  });
}

/** By the system's code; the remedy is followed by the option that names the folder. */
const reasons: Readonly<Record<string, readonly [why: string, remedy: string]>> = {
  ENOSPC: ['the disk is full', 'free space, or give another folder with'],
  EDQUOT: ['the disk quota is used up', 'free space, or give another folder with'],
  EROFS: ['the file system is read-only', 'give a folder that can be written to with'],
  EACCES: ['the folder is not writable for this user', 'give a folder that can be written to with'],
  EPERM: ['the folder is not writable for this user', 'give a folder that can be written to with'],
  ENOTDIR: ['a part of the path is a file', 'give another folder with'],
  EEXIST: ['a part of the path is a file', 'give another folder with'],
  EISDIR: ['it is a folder', 'move it away, or give another folder with'],
  ENOENT: ['a folder on the way cannot be made', 'give another folder with'],
};
