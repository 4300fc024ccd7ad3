import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { ReplicationError } from '../model/errors.ts';
import { writeFileAtomic } from './files.ts';

export type Metadata = Readonly<Record<string, unknown>>;

/** The module's metadata: where the result is, under the names of the original module, old spelling included. */
export function resultMetadata(bucket: string, object: string): Readonly<Record<string, string>> {
  const path = `${bucket}/${object}`;
  return {
    S3Bucket: bucket,
    S3Object: object,
    S3FullPath: path,
    s3_bucket: bucket,
    s3_object: object,
    s3_full_path: path,
  };
}

/**
 * Merges values into the module's metadata file, as `seedfarmer metadata add -j` does: what the environment carried over
 * from the last deployment, then what is in the file, then the new values, the later winning.
 * @param file `SEEDFARMER_MODULE_METADATA` in the module's folder
 * @param carried value of the environment variable of the same name (`null` on a first deployment)
 */
export async function writeModuleMetadata(
  file: string,
  carried: string | undefined,
  values: Readonly<Record<string, string | number>>,
): Promise<Metadata> {
  for (const [key, value] of Object.entries(values)) check(key, value);
  const merged: Metadata = { ...parseCarried(carried), ...parseObject(await textOf(file)), ...values };
  await writeFileAtomic(file, JSON.stringify(merged));
  return merged;
}

/**
 * Seed-Farmer stores the metadata by an unquoted `echo $SEEDFARMER_MODULE_METADATA`: blanks collapse and `* ? [` are
 * expanded to file names (seedfarmer/deployment/deploy_remote.py).
 */
function check(key: string, value: string | number): void {
  if (!/[\s*?[\]\\]/.test(`${key}${value}`)) return;
  throw new ReplicationError(
    'internal',
    `metadata ${key} has a blank, backslash or wildcard, which Seed-Farmer would spoil`,
  );
}

function parseCarried(text: string | undefined): Metadata {
  if (text === undefined || text.trim() === '') return {};
  const parsed = parseObject(text);
  // Python's repr of a dictionary reaches us in local runs; the CLI reads it the same way (mgmt/metadata_support.py).
  return parsed ?? parseObject(text.replaceAll("'", '"')) ?? {};
}

const JsonObject = z.record(z.string(), z.unknown());

function parseObject(text: string | undefined): Metadata | undefined {
  if (text === undefined) return undefined;
  try {
    return JsonObject.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

async function textOf(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new ReplicationError('storage', `${file} cannot be read (${String(error)})`, {
      reference: file,
      cause: error,
    });
  }
}
