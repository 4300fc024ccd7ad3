import { openRunFolder, type RunFolder } from '../../fleet/run-folder.ts';
import { writeFiles } from '../../publish/files.ts';
import type { Session } from '../session.ts';
import { s3Client } from './s3-client.ts';

/**
 * Opens the folder of a run for as long as the work takes.
 * @param region of its bucket, where it is not the program's own
 * @throws ReplicationError `usage` for what is no location
 */
export async function withRunFolder<T>(
  session: Session,
  location: string,
  work: (folder: RunFolder) => Promise<T>,
  region?: string,
): Promise<T> {
  const client = s3Client(session, region);
  try {
    return await work(openRunFolder(location, { s3: client.s3, writeFiles }));
  } finally {
    await client.close();
  }
}
