import { patientFolder } from '../../fleet/patient-folder.ts';
import { openRunFolder, type RunFolder } from '../../fleet/run-folder.ts';
import { writeFiles } from '../../publish/files.ts';
import type { RunEvent } from '../../report/events.ts';
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
    const folder = openRunFolder(location, { s3: client.s3, writeFiles });
    return await work(patientFolder(folder, ({ message }) => session.reporter.emit(asked(message))));
  } finally {
    await client.close();
  }
}

function asked(message: string): RunEvent {
  return { type: 'notice', level: 'warning', message: `the run folder is asked again (${message})` };
}
