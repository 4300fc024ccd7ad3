import { open, rename, rm } from 'node:fs/promises';
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
 * @returns the paths, in the order given
 * @throws ReplicationError `storage` when the disk is full or the folder cannot be written to
 */
export async function writeFiles(
  directory: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<readonly string[]> {
  try {
    await makeFolder(directory);
  } catch (error) {
    throw storageError(directory, error);
  }
  const paths: string[] = [];
  for (const [name, content] of Object.entries(files)) {
    const path = join(directory, name);
    await writeFileAtomic(path, content);
    paths.push(path);
  }
  return paths;
}

/** Writes beside the file, then renames over it: a reader, or a crash, never meets half a file. */
export async function writeFileAtomic(path: string, content: string | Uint8Array): Promise<void> {
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
    throw storageError(path, error);
  }
}

function storageError(path: string, error: unknown): ReplicationError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  const [why, remedy] = reasons[code] ?? [`it failed with ${code}`, 'check the folder given by --out'];
  return new ReplicationError('storage', `cannot write ${path}: ${why}`, {
    side: 'module',
    reference: path,
    remedy,
    cause: error,
  });
}

const reasons: Readonly<Record<string, readonly [why: string, remedy: string]>> = {
  ENOSPC: ['the disk is full', 'free space, or give another folder with --out'],
  EDQUOT: ['the disk quota is used up', 'free space, or give another folder with --out'],
  EROFS: ['the file system is read-only', 'give a folder that can be written to with --out'],
  EACCES: ['the folder is not writable for this user', 'give a folder that can be written to with --out'],
  EPERM: ['the folder is not writable for this user', 'give a folder that can be written to with --out'],
  ENOTDIR: ['a part of the path is a file', 'give another folder with --out'],
  EEXIST: ['a part of the path is a file', 'give another folder with --out'],
  EISDIR: ['it is a folder', 'move that folder away'],
};
