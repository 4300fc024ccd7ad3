import { readFile, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { S3 } from '@aws-sdk/client-s3';
import type * as z from 'zod';
import { awsErrorName } from '../aws/errors.ts';
import { ReplicationError } from '../model/errors.ts';

/** The folder of a run: a directory, or a prefix in a bucket. Everything in it is written whole or not at all. */
export interface RunFolder {
  /** As it was given, without `/` at its end. */
  readonly location: string;
  /** Last part of the location. */
  readonly run: string;
  /** Where it lies in S3. */
  readonly s3: S3Address | undefined;
  /** Address of a file in it, as a reader finds it. */
  address(name: string): string;
  /** `undefined` when there is none. */
  read(name: string, signal: AbortSignal): Promise<string | undefined>;
  write(name: string, text: string, signal: AbortSignal): Promise<void>;
  /** Names of the files below a folder in it, sorted; empty when there is none. */
  list(folder: string, signal: AbortSignal): Promise<readonly string[]>;
}

export interface S3Address {
  readonly bucket: string;
  readonly key: string;
}

export interface RunFolderPorts {
  /** Called for an address in S3 only. */
  readonly s3: () => Promise<S3>;
  /** Writes files of a directory, which is made when it is missing, each whole or not at all. */
  readonly writeFiles: (directory: string, files: Readonly<Record<string, string>>) => Promise<unknown>;
}

/** `undefined` for what is no address in S3. @throws ReplicationError `usage` for one that names no bucket */
export function parseS3Address(text: string): S3Address | undefined {
  if (!text.startsWith('s3://')) return undefined;
  // https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
  const [, bucket, key = ''] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(text) ?? [];
  if (bucket !== undefined) return { bucket, key: key.replace(/\/+$/, '') };
  throw new ReplicationError('usage', `"${text}" is no address in S3`, { remedy: 'write s3://bucket/key' });
}

/** @throws ReplicationError `usage` */
export function openRunFolder(text: string, ports: RunFolderPorts): RunFolder {
  const location = text.replace(/(?<=[^/])\/+$/, '');
  const s3 = parseS3Address(location);
  if (s3 === undefined) return directory(location, ports);
  if (s3.key === '')
    throw new ReplicationError('usage', `${text} names a bucket, and no folder in it`, {
      remedy: 'write s3://bucket/prefix/RUN',
    });
  return bucketFolder(location, s3, ports);
}

function directory(location: string, { writeFiles }: RunFolderPorts): RunFolder {
  return {
    location,
    run: basename(location),
    s3: undefined,
    address: (name) => join(location, name),
    async read(name) {
      try {
        return await readFile(join(location, name), 'utf8');
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return undefined;
        throw unreadable(join(location, name), error);
      }
    },
    async write(name, text) {
      const path = join(location, name);
      await writeFiles(join(path, '..'), { [basename(path)]: text });
    },
    async list(folder) {
      try {
        // What is being written has a name that begins with a dot.
        return (await readdir(join(location, folder))).filter((name) => !name.startsWith('.')).sort();
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return [];
        throw unreadable(join(location, folder), error);
      }
    },
  };
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function unreadable(path: string, cause: unknown): ReplicationError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new ReplicationError('storage', `cannot read ${path}: ${why}`, { reference: path, cause });
}

function bucketFolder(location: string, { bucket, key }: S3Address, ports: RunFolderPorts): RunFolder {
  const object = (name: string) => ({ Bucket: bucket, Key: `${key}/${name}` });
  return {
    location,
    run: basename(key),
    s3: { bucket, key },
    address: (name) => `${location}/${name}`,
    read: async (name, signal) => readObject(await ports.s3(), { bucket, key: `${key}/${name}` }, signal),
    async write(name, text, signal) {
      const s3 = await ports.s3();
      await s3.putObject({ ...object(name), Body: text, ContentType: contentType(name) }, { abortSignal: signal });
    },
    async list(folder, signal) {
      const s3 = await ports.s3();
      const prefix = `${key}/${folder}/`;
      const names: string[] = [];
      let ContinuationToken: string | undefined;
      do {
        const page = await s3.listObjectsV2(
          { Bucket: bucket, Prefix: prefix, ContinuationToken },
          { abortSignal: signal },
        );
        names.push(
          ...(page.Contents ?? []).flatMap((each) => (each.Key === undefined ? [] : [each.Key.slice(prefix.length)])),
        );
        ContinuationToken = page.NextContinuationToken;
      } while (ContinuationToken !== undefined);
      return names.sort();
    },
  };
}

/** Text of an object; `undefined` when there is none. @throws ReplicationError `not-found` for a bucket that is not there */
export async function readObject(s3: S3, { bucket, key }: S3Address, signal: AbortSignal): Promise<string | undefined> {
  try {
    const answer = await s3.getObject({ Bucket: bucket, Key: key }, { abortSignal: signal });
    return (await answer.Body?.transformToString('utf-8')) ?? '';
  } catch (error) {
    if (awsErrorName(error) === 'NoSuchKey') return undefined;
    throw error;
  }
}

function contentType(name: string): string {
  if (name.endsWith('.html')) return 'text/html; charset=utf-8';
  return name.endsWith('.md') ? 'text/markdown; charset=utf-8' : 'application/json';
}

/** A file of the folder as data; `undefined` when there is none. @throws ReplicationError `corrupt` when it is something else */
export async function readData<T extends z.ZodType>(
  folder: RunFolder,
  name: string,
  schema: T,
  signal: AbortSignal,
): Promise<z.infer<T> | undefined> {
  const text = await folder.read(name, signal);
  return text === undefined ? undefined : parseData(text, schema, folder.address(name));
}

/** @throws ReplicationError `corrupt` that names the address and the first wrong places */
export function parseData<T extends z.ZodType>(text: string, schema: T, address: string): z.infer<T> {
  const wrong = (why: string): ReplicationError =>
    new ReplicationError('corrupt', `${address} is not what a run of this version writes: ${why}`, {
      reference: address,
      remedy: 'plan the run anew, into a folder of its own',
    });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw wrong(cause instanceof Error ? cause.message : String(cause));
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const places = parsed.error.issues
    .slice(0, 5)
    .map(({ path, message }) => `${path.map(String).join('.')}: ${message}`);
  throw wrong(places.join('; '));
}

/** `0007`: names of shards sort as their numbers do. */
export function shardName(index: number): string {
  return `${String(index).padStart(4, '0')}.json`;
}

/**
 * Takes the address of a shard apart: `LOCATION/shards/0007.json`.
 * @throws ReplicationError `usage`
 */
export function parseShardAddress(address: string): { readonly location: string; readonly index: number } {
  const [, location, index] = /^(.+?)\/+shards\/(\d{4,})\.json$/.exec(address) ?? [];
  if (location !== undefined && index !== undefined) return { location, index: Number(index) };
  throw new ReplicationError('usage', `"${address}" is no shard`, {
    remedy: 'write LOCATION/shards/0000.json as shards.json names it, or --shards LOCATION --index N',
  });
}
