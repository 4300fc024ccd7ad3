import { existsSync } from 'node:fs';
import { openTracking, setAsideTextDatabase, type Tracking } from '../mirror/tracking.ts';
import type { MirrorSettings } from './mirror-settings.ts';

/** Opens the database, and moves the original's text file out of its way. */
export async function openDatabase(settings: MirrorSettings, say: (message: string) => void): Promise<Tracking> {
  const aside = await setAsideTextDatabase(settings.database);
  if (aside !== undefined)
    say(`${settings.database} was docker-mirror-image's list; it is ${aside} now, and everything is looked at again`);
  return openTracking(settings.database);
}

/** Opens the database to look into it; `undefined` where nothing was mirrored yet. */
export async function readDatabase({ database }: MirrorSettings): Promise<Tracking | undefined> {
  return existsSync(database) ? openTracking(database, { readOnly: true }) : undefined;
}
