import { readFile } from 'node:fs/promises';
import type * as z from 'zod';
import { type Digest, digestOf } from '../model/digest.ts';
import { ReplicationError } from '../model/errors.ts';
import { fileProblem } from '../model/file-problem.ts';
import { sideObjectName } from '../model/inventory.ts';
import { Lock, lockFileName, lockKind, lockVersion } from '../model/lock.ts';
import { jsonText, writeFiles } from './files.ts';

/** The lock as text: keys sorted at every depth, so that equal locks are equal files, and a change is a small diff. */
export function lockText(lock: Lock): string {
  return jsonText(sorted(lock));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, each]) => [key, sorted(each)]),
  );
}

/** Writes `replication.lock.json`. @returns its path @throws ReplicationError `storage` */
export async function writeLock(directory: string, lock: Lock): Promise<readonly string[]> {
  return writeFiles(directory, { [lockFileName]: lockText(lock) });
}

/** The lock as an object beside a result, and what the result says of it. */
export interface LockObject {
  readonly key: string;
  readonly body: string;
  /** Goes into the result under `lock`: who reads charts and images there does not see it. */
  readonly reference: { readonly s3_object: string; readonly digest: Digest };
}

/** @param result key of the result's object */
export function lockObject(result: string, lock: Lock): LockObject {
  const [key, body] = [sideObjectName(result, 'lock'), lockText(lock)];
  return { key, body, reference: { s3_object: key, digest: digestOf(body) } };
}

/** @throws ReplicationError `usage` when the file cannot be read, `configuration` when it is no lock, naming file and path */
export async function readLock(path: string): Promise<Lock> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new ReplicationError('usage', `cannot read the lock ${path}: ${fileProblem(cause)}`, {
      reference: path,
      remedy: `name a ${lockFileName} that a run has left`,
      cause,
    });
  }
  return parseLock(text, path);
}

/**
 * @param path as messages name the file
 * @throws ReplicationError `configuration` that names the file and every wrong place in it
 */
export function parseLock(text: string, path: string): Lock {
  const json = parseJson(text.replace(/^\uFEFF/, ''), path);
  const { kind, version } = headOf(json);
  if (kind !== lockKind) throw invalid(path, `it is no lock (its "kind" is not "${lockKind}")`);
  if (version !== lockVersion) {
    throw invalid(
      path,
      `its format has the version ${JSON.stringify(version)}, this program knows ${lockVersion}`,
      'use the program that wrote it, or write the lock anew',
    );
  }
  const parsed = Lock.safeParse(json);
  if (!parsed.success) throw invalid(path, problems(parsed.error));
  return parsed.data;
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const conflict = text.split('\n').findIndex((line) => /^(?:<{7}|={7}|>{7})(?: |\r?$)/.test(line));
    if (conflict >= 0) {
      throw invalid(
        path,
        `line ${conflict + 1} has the mark of a merge conflict`,
        'run the job again to write it anew',
      );
    }
    throw invalid(path, `it is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

function headOf(json: unknown): { readonly kind?: unknown; readonly version?: unknown } {
  return typeof json === 'object' && json !== null ? json : {};
}

/** More than so many wrong places say nothing more. */
const mostProblems = 10;

function problems(error: z.ZodError): string {
  const texts = error.issues.map((issue) => `${placeOf(issue.path)}: ${issue.message}`);
  const more = texts.length > mostProblems ? [`… and ${texts.length - mostProblems} more`] : [];
  return [...texts.slice(0, mostProblems), ...more].join('\n');
}

/** `images[3].digest` */
function placeOf(path: readonly PropertyKey[]): string {
  const text = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  return text === '' ? 'the document' : text.replace(/^\./, '');
}

function invalid(path: string, why: string, remedy = 'take the lock as a run has written it'): ReplicationError {
  return new ReplicationError('configuration', `${path}: ${why}`, { reference: path, remedy });
}
