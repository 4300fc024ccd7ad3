import { readFile, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { writeTree } from '../publish/consumers/write-tree.ts';
import { jsonText, writeFiles } from '../publish/files.ts';

/** Folders of a run's own in its output folder, whose files differ from run to run. */
const folders = ['consumers', 'patches', 'remedies'] as const;

/** Names the files below these folders, so that the next run can take away its own and nothing of the user's. */
const index = '.left-files.json';

const OwnFile = z.string().refine((path) => {
  const [folder, ...rest] = path.split('/');
  return folders.some((each) => each === folder) && rest.length > 0 && !rest.some((each) => /^\.{0,2}$/.test(each));
});

/**
 * Takes away what an earlier run left in `consumers/`, `patches/` and `remedies/`: a chart may be gone from the data files, or
 * need no remedy any more. Files that no run has written stay.
 * @param out folder of the run
 */
export async function clearLeftFiles(out: string): Promise<void> {
  const left = await leftFiles(out);
  // Where nothing may be taken away nothing can be written, and that is told.
  for (const path of left) await rm(join(out, path), { force: true }).catch(() => undefined);
  for (const folder of new Set(left.flatMap(foldersOf).sort((a, b) => b.length - a.length)))
    await rmdir(join(out, folder)).catch(() => undefined); // something else lies there
  await rm(join(out, index), { force: true }).catch(() => undefined);
}

/** Writes files below one of the folders, and remembers that they are the run's. @throws ReplicationError `storage` */
export async function writeLeftFiles(out: string, files: Readonly<Record<string, string>>): Promise<void> {
  const paths = Object.keys(files);
  if (paths.length === 0) return;
  await writeFiles(out, { [index]: jsonText([...new Set([...(await leftFiles(out)), ...paths])].sort()) });
  await writeTree(out, files);
}

/** The files with a folder before their names. */
export function inFolder(
  folder: (typeof folders)[number],
  files: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(files).map(([path, content]) => [`${folder}/${path}`, content]));
}

/** Without a list of them, or with one that is not ours, nothing is taken for ours. */
async function leftFiles(out: string): Promise<readonly string[]> {
  try {
    return z.array(OwnFile).parse(JSON.parse(await readFile(join(out, index), 'utf8')));
  } catch {
    return [];
  }
}

/** The folders that a file lies in, below the run's. */
function foldersOf(path: string): readonly string[] {
  const folder = dirname(path);
  return folder === '.' ? [] : [folder, ...foldersOf(folder)];
}
