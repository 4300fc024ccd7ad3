import { parseS3Address, readObject } from '../../fleet/run-folder.ts';
import { ReplicationError } from '../../model/errors.ts';
import type { Lock } from '../../model/lock.ts';
import { parseLock, readLock } from '../../publish/lock.ts';
import { type MirrorFile, parseMirrorFile, readMirrorFile } from '../../sources/mirror/mirror-file.ts';
import type { Session } from '../session.ts';
import { s3Client } from './s3-client.ts';

/**
 * Text of an input that lies in S3; `undefined` for a path.
 * @throws ReplicationError `configuration` when there is no such object
 */
export async function s3Text(session: Session, address: string): Promise<string | undefined> {
  const place = parseS3Address(address);
  if (place === undefined) return undefined;
  const client = s3Client(session);
  try {
    const text = await readObject(await client.s3(), place, session.signal);
    if (text !== undefined) return text;
    throw new ReplicationError('configuration', `there is no ${address}`, {
      reference: address,
      remedy: 'correct the address, or put the file there',
    });
  } finally {
    await client.close();
  }
}

/** A lock from a file or from S3. @throws as `readLock` */
export async function lockFrom(session: Session, path: string): Promise<Lock> {
  const stored = await s3Text(session, path);
  return stored === undefined ? readLock(path) : parseLock(stored, path);
}

/** A mirror file from disk or from S3. @throws as `readMirrorFile` */
export async function mirrorFileFrom(session: Session, path: string): Promise<MirrorFile> {
  const stored = await s3Text(session, path);
  return stored === undefined ? readMirrorFile(path) : parseMirrorFile(stored, path);
}
