import { dirname, join } from 'node:path';
import { writeFiles } from '../files.ts';

/**
 * Writes files whose names may have folders in them (`values/web.yaml`), each whole or not at all.
 * @returns the paths, folder by folder
 * @throws ReplicationError `storage` as `writeFiles`
 */
export async function writeTree(
  directory: string,
  files: Readonly<Record<string, string>>,
): Promise<readonly string[]> {
  const folders = new Map<string, Record<string, string>>();
  for (const [name, content] of Object.entries(files)) {
    const folder = join(directory, dirname(name));
    folders.set(folder, { ...folders.get(folder), [name.slice(name.lastIndexOf('/') + 1)]: content });
  }
  const paths: string[] = [];
  for (const [folder, content] of folders) paths.push(...(await writeFiles(folder, content)));
  return paths;
}
