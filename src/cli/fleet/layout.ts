import { ReplicationError } from '../../model/errors.ts';
import { parseTarget } from '../target.ts';

/** A layout is a folder of one machine with one index: one process writes it. @throws ReplicationError `usage` */
export function refuseLayout(target: string | undefined): void {
  if (parseTarget(target).kind !== 'layout') return;
  throw new ReplicationError('usage', '--shards cannot be written for an image layout: one process writes one', {
    remedy: 'name a registry as target, or leave out --shards',
  });
}
