import type { Access, AccessTable } from '../../fleet/shard.ts';
import type { EcrPlace } from '../ecr/settings.ts';

/** How a worker opens a registry of ECR: as the job itself does. */
export function accessOf({ region, account, access }: EcrPlace): Access {
  const credential = access.kind === 'default' ? {} : { credential: access };
  return { kind: 'ecr', region, ...(account === undefined ? {} : { account }), ...credential };
}

/** The other way round. */
export function placeOf({ region, account, credential }: Extract<Access, { kind: 'ecr' }>): EcrPlace {
  return { region, account, access: credential ?? { kind: 'default' } };
}

/** Registries whose credentials come from one secret, by host. @param own hosts that get what is for no host by name */
export function secretAccess(
  hosts: Iterable<string>,
  secret: { readonly name: string; readonly key: string | undefined } | undefined,
  own: ReadonlySet<string>,
): AccessTable {
  const access = (host: string): Access => {
    if (secret === undefined) return { kind: 'registry' };
    const { name: arn, key } = secret;
    const credential = { kind: 'secret' as const, arn, ...(key === undefined ? {} : { key }), own: own.has(host) };
    return { kind: 'registry', credential };
  };
  return Object.fromEntries([...new Set(hosts)].sort().map((host) => [host, access(host)]));
}
