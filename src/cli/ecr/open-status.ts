import { existsSync } from 'node:fs';
import type { Aws } from '../../aws/clients.ts';
import { ReplicationError } from '../../model/errors.ts';
import type { StatusLocation } from '../../status/status-location.ts';
import type { StatusStore } from '../../status/status.ts';

export interface OpenStatusOptions {
  readonly aws: () => Aws;
  /** For looking at only: a missing file or table is an error. */
  readonly readOnly: boolean;
  readonly createTable: boolean;
  readonly signal: AbortSignal;
  /** Told of what is in a table and is no status. */
  readonly onUnsound?: (message: string) => void;
}

/** @throws ReplicationError `storage`, `configuration`, `denied` */
export async function openStatus(location: StatusLocation, options: OpenStatusOptions): Promise<StatusStore> {
  if (location.kind === 'dynamodb') {
    const { dynamodbStatus } = await import('../../status/dynamodb-status.ts');
    const create = options.createTable && !options.readOnly;
    return dynamodbStatus(options.aws(), location.table, {
      create,
      signal: options.signal,
      onUnsound: options.onUnsound,
    });
  }
  if (options.readOnly && !existsSync(location.path))
    throw new ReplicationError('usage', `there is no status in ${location.path}`, {
      reference: location.path,
      remedy: 'run `image-replication ecr` first, or name its store with --store',
    });
  const { sqliteStatus } = await import('../../status/sqlite-status.ts');
  return sqliteStatus(location.path, { readOnly: options.readOnly });
}
