import { readdir } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { ReplicationError } from '../../model/errors.ts';

/** Folders of the module itself, none of which a manifest's dataFiles are copied to. */
const ownFolders = new Set(['node_modules', 'src', 'test', 'scripts', 'out', 'coverage']);
const deepest = 8;

/**
 * Finds the user's data files where a manifest put them. Seed-Farmer copies each of the dataFiles to
 * `<module>/<filePath as written>` (seedfarmer deployment/deploy_remote.py): with the usual path they land upon the shipped ones, with
 * another path somewhere else in the module.
 * @returns the folder, or `undefined` when there is none beside the shipped one
 * @throws ReplicationError `configuration` when they lie in several folders: which of them counts would be a guess
 */
export async function findUserDirectory(
  moduleDirectory: string,
  shippedDirectory: string,
): Promise<string | undefined> {
  const found = await dataFolders(resolve(moduleDirectory), resolve(shippedDirectory), 0);
  if (found.length > 1) {
    const names = found.map((folder) => relative(moduleDirectory, folder)).sort();
    throw new ReplicationError('configuration', `there are data files in several folders: ${names.join(', ')}`, {
      reference: names[0],
      remedy:
        'put default.yaml and <eks-version>.yaml into one folder, and name only that in the dataFiles of the manifest',
    });
  }
  return found[0];
}

/**
 * A folder that the user named has to hold at least one of the two data files: else the shipped ones would be used in the
 * place of those that a mistyped name hides.
 * @throws ReplicationError `configuration`; `storage` when the folder cannot be read
 */
export async function checkUserDirectory(directory: string, eksVersion: string): Promise<void> {
  const remedy = 'correct --data-dir, or leave it out to use the data files of the module';
  const refuse = (message: string, cause?: unknown): ReplicationError =>
    new ReplicationError('configuration', message, { reference: directory, remedy, cause });
  const names = await readdir(directory).catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT') throw refuse(`there is no folder ${directory}`, error);
    if (code === 'ENOTDIR') throw refuse(`${directory} is no folder`, error);
    throw new ReplicationError('storage', `cannot read the folder ${directory}: ${String(error)}`, {
      reference: directory,
      remedy: 'make the folder readable for the user that runs this program',
      cause: error,
    });
  });
  const wanted = ['default.yaml', `${eksVersion}.yaml`];
  if (wanted.some((name) => names.includes(name))) return;
  const there = names.filter((name) => /\.ya?ml$/.test(name)).sort();
  const holds = there.length === 0 ? '' : ` (it holds ${there.join(', ')})`;
  throw refuse(`the folder ${directory} holds neither ${wanted.join(' nor ')}${holds}`);
}

async function dataFolders(folder: string, shipped: string, depth: number): Promise<readonly string[]> {
  if (folder === shipped || depth > deepest) return [];
  const entries = await readdir(folder, { withFileTypes: true });
  const here = entries.some((entry) => entry.isFile() && /^(?:default|\d+\.\d+)\.yaml$/.test(entry.name));
  const below = await Promise.all(
    entries
      .filter(
        (entry) => entry.isDirectory() && !entry.name.startsWith('.') && !(depth === 0 && ownFolders.has(entry.name)),
      )
      .map((entry) => dataFolders(join(folder, entry.name), shipped, depth + 1)),
  );
  return [...(here ? [folder] : []), ...below.flat()];
}
