import { openSqlite } from './sqlite.ts';
import { ImageStatus, type StatusStore } from './status.ts';

const migrations = [
  `CREATE TABLE image_status (
     target TEXT PRIMARY KEY,
     source TEXT NOT NULL,
     digest TEXT,
     state TEXT NOT NULL,
     tries INTEGER NOT NULL,
     started TEXT NOT NULL,
     finished TEXT,
     error TEXT
   ) WITHOUT ROWID;
   CREATE INDEX image_status_by_state ON image_status (state);`,
] as const;

const columns = ['target', 'source', 'digest', 'state', 'tries', 'started', 'finished', 'error'] as const;
const insert = `INSERT OR REPLACE INTO image_status (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`;

/** The status in the table `image_status` of a SQLite file. @throws ReplicationError `storage`, `configuration` */
export async function sqliteStatus(path: string, options: { readonly readOnly: boolean }): Promise<StatusStore> {
  const database = await openSqlite(path, { migrations, readOnly: options.readOnly });
  return {
    name: `sqlite:${path}`,
    record: async (statuses) =>
      database.transaction(() => {
        for (const status of statuses)
          database.run(
            insert,
            columns.map((column) => status[column]),
          );
      }),
    async list({ states, targets }) {
      const where = states === undefined ? '' : `WHERE state IN (${states.map(() => '?').join(', ')})`;
      const found = database.all(ImageStatus, `SELECT * FROM image_status ${where} ORDER BY target`, states);
      if (targets === undefined) return found;
      const wanted = new Set(targets);
      return found.filter(({ target }) => wanted.has(target));
    },
    close: async () => database.close(),
  };
}
