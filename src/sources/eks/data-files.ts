import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { ReplicationError, ReplicationErrors, toReplicationError } from '../../model/errors.ts';
import { fileProblem } from '../../model/file-problem.ts';
import { checkDefaultFile, checkVersionFile, type FoundFile } from './checked-file.ts';
import type { DataFileSet } from './entries.ts';
import { mergeDataFiles } from './merge.ts';

/** Where data files are looked for. */
export interface DataDirectories {
  /** Where the user's own data files are. A file here replaces the shipped one of the same name as a whole. */
  readonly userDirectory?: string | undefined;
  /**
   * The module's `data/eks_dockerimage-replication/versions`. Seed-Farmer copies a manifest's dataFiles over it, so its
   * `SHIPPED.json` (SHA-256 of each file as we shipped it) tells which files are still ours.
   */
  readonly shippedDirectory: string;
}

/**
 * Reads `default.yaml` and `<eksVersion>.yaml`, checks them strictly and merges them.
 * @param request.eksVersion such as `1.34`
 * @throws ReplicationErrors `configuration` with every problem of both files; `storage` when a file cannot be read
 */
export async function loadDataFiles(request: {
  readonly directories: DataDirectories;
  readonly eksVersion: string;
}): Promise<DataFileSet> {
  const { directories, eksVersion } = request;
  const problems: ReplicationError[] = [];
  const collect = async <T>(work: () => Promise<T> | T): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      problems.push(...(error instanceof ReplicationErrors ? error.errors : [toReplicationError(error)]));
      return undefined;
    }
  };
  const base = await collect(() => findFile(directories, 'default'));
  const version = await collect(() => findFile(directories, eksVersion));
  const baseData = base && (await collect(() => checkDefaultFile(base)));
  const versionData = version && (await collect(() => checkVersionFile(version)));
  if (baseData && versionData) {
    const merged = mergeDataFiles(eksVersion, baseData, versionData);
    if (merged.problems.length === 0) return merged.set;
    problems.push(...merged.problems);
  }
  throw new ReplicationErrors(problems);
}

async function findFile(directories: DataDirectories, stem: string): Promise<FoundFile> {
  const name = `${stem}.yaml`;
  // The version comes from a parameter: it must not lead to another folder.
  if (/^[\w.-]+$/.test(stem)) {
    for (const directory of searchedDirectories(directories)) {
      const path = join(directory, name);
      const text = await readIfThere(path);
      if (text === undefined) continue;
      const from = (await isShipped(directories.shippedDirectory, name, text)) ? 'shipped' : 'user';
      return { name, path, from, text };
    }
  }
  throw await missingFile(directories, stem);
}

function searchedDirectories({ userDirectory, shippedDirectory }: DataDirectories): readonly string[] {
  return userDirectory === undefined ? [shippedDirectory] : [userDirectory, shippedDirectory];
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) {
      return undefined;
    }
    throw new ReplicationError('storage', `cannot read data file ${path}: ${fileProblem(error)}`, {
      reference: path,
      remedy: 'make the file readable for the user that runs this program',
      cause: error,
    });
  }
}

const Shipped = z.record(z.string(), z.string());

/** SHA-256 (hex) of a data file, line ends normalised: a checkout on Windows does not make it the user's. */
export function dataFileHash(text: string): string {
  return createHash('sha256').update(text.replaceAll('\r\n', '\n')).digest('hex');
}

/** Whether the file is as we shipped it. Without a manifest the directory is not the module's, and all of it is the user's. */
async function isShipped(directory: string, name: string, text: string): Promise<boolean> {
  const manifest = await readIfThere(join(directory, 'SHIPPED.json'));
  if (manifest === undefined) return false;
  return Shipped.parse(JSON.parse(manifest))[name] === dataFileHash(text);
}

async function missingFile(directories: DataDirectories, stem: string): Promise<ReplicationError> {
  const searched = searchedDirectories(directories);
  const names = new Set((await Promise.all(searched.map(listNames))).flat());
  const versions = [...names]
    .flatMap((name) => /^(\d+\.\d+)\.yaml$/.exec(name)?.[1] ?? [])
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const where = searched.join(' and ');
  if (stem === 'default') {
    return new ReplicationError('configuration', `there is no default.yaml in ${where}`, {
      remedy: 'add data/eks_dockerimage-replication/versions/default.yaml to the dataFiles of the manifest',
    });
  }
  const there = versions.length === 0 ? 'there are none' : `there are ${versions.join(', ')}`;
  const unquoted = versions.includes(`${stem}0`);
  const misnamed = names.has(`${stem}.yml`) ? ` (${stem}.yml must be called ${stem}.yaml)` : '';
  return new ReplicationError(
    'configuration',
    `there is no data file for EKS version "${stem}" in ${where}: ${there}${misnamed}` +
      (unquoted ? `; "${stem}" is almost surely an unquoted ${stem}0, which YAML reads as a number` : ''),
    {
      reference: `${stem}.yaml`,
      remedy: unquoted
        ? `write "${stem}0" with quotes in the manifest`
        : `use one of these versions, or add a ${stem}.yaml to the dataFiles of the manifest`,
    },
  );
}

async function listNames(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch {
    // Only for the hint in an error that is being made anyway.
    return [];
  }
}
