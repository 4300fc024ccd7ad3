import { registryLogin } from '../../aws/parameters.ts';
import { credentialForHost, credentialSourceFromSecret } from '../../aws/secret-source.ts';
import { loadSecret } from '../../aws/secrets.ts';
import type { Access, Shard } from '../../fleet/shard.ts';
import { googleCredentials } from '../../mirror/google-credentials.ts';
import { type CredentialSource, firstCredential, noCredentials } from '../../model/credentials.ts';
import { ReplicationError } from '../../model/errors.ts';
import { locate, parseReference } from '../../model/reference.ts';
import type { ReadStore, WriteStore } from '../../model/store.ts';
import { splitTarget } from '../../model/target-name.ts';
import { registryStore } from '../../registry/store.ts';
import { dockerCredentials } from '../docker-credentials.ts';
import { openEcrDestination, openEcrSource, type Surroundings } from '../ecr/sides.ts';
import { variable } from '../environment.ts';
import { lazyEcr } from '../lazy-ecr.ts';
import { placeOf } from './access.ts';

/** Where a shard's images are read from and written to. */
export interface Places {
  readonly source: (host: string) => ReadStore;
  readonly target: (host: string) => WriteStore;
  close(): Promise<void>;
}

/** Opens every registry that a shard names, each as its table of access says. @throws ReplicationError */
export async function openPlaces(around: Surroundings, shard: Shard): Promise<Places> {
  const { session } = around;
  const ecr = lazyEcr(session, shard.region);
  try {
    const google = googleCredentials({ metadataHost: variable(session.env, 'GCE_METADATA_HOST'), mask: session.mask });
    const own = firstCredential([
      ecr.credentials,
      dockerCredentials(session),
      ...(shard.google === true ? [google] : []),
    ]);
    const openSource = async (host: string): Promise<ReadStore> => {
      const access = shard.access[host];
      if (access?.kind === 'ecr') return sameHost(host, await openEcrSource(around, placeOf(access)));
      return registryStore(session.transport, host, { credentials: await credentialsFor(around, host, access, own) });
    };
    const openTarget = async (host: string): Promise<WriteStore> => {
      const access = shard.targets[host];
      const repositories = { settings: shard.repositories, tags: shard.repositoryTags ?? {} };
      if (access?.kind === 'ecr')
        return sameHost(host, await openEcrDestination(around, placeOf(access), repositories));
      const known = access === undefined ? await ecr.target(host) : undefined;
      if (known !== undefined) return known;
      return registryStore(session.transport, host, { credentials: await credentialsFor(around, host, access, own) });
    };
    const [sources, targets] = await Promise.all([
      opened(sourceHosts(shard), openSource),
      opened(targetHosts(shard), openTarget),
    ]);
    return { source: of(sources), target: of(targets), close: () => ecr.close() };
  } catch (error) {
    await ecr.close();
    throw error;
  }
}

function sourceHosts({ images }: Shard): ReadonlySet<string> {
  return new Set(images.map(({ source }) => locate(parseReference(source)).registry));
}

function targetHosts({ images }: Shard): ReadonlySet<string> {
  return new Set(images.flatMap(({ targets }) => targets.map((target) => splitTarget(target).host)));
}

async function opened<T>(
  hosts: ReadonlySet<string>,
  open: (host: string) => Promise<T>,
): Promise<ReadonlyMap<string, T>> {
  return new Map(await Promise.all([...hosts].map(async (host) => [host, await open(host)] as const)));
}

function of<T>(stores: ReadonlyMap<string, T>): (host: string) => T {
  return (host) => {
    const store = stores.get(host);
    if (store === undefined) throw new ReplicationError('internal', `the shard names no image on ${host}`);
    return store;
  };
}

/** ECR's own answer names the registry: with another account's credentials it would be another one. */
function sameHost<T extends ReadStore>(host: string, side: { readonly host: string; readonly store: T }): T {
  if (side.host === host) return side.store;
  throw new ReplicationError('configuration', `the shard is for ${host}, and these credentials open ${side.host}`, {
    host,
    remedy: 'run the worker in the account that the run was planned in, or plan it anew',
  });
}

async function credentialsFor(
  { home, session }: Surroundings,
  host: string,
  access: Access | undefined,
  own: CredentialSource,
): Promise<CredentialSource> {
  if (access?.kind !== 'registry') return own;
  const { credential } = access;
  switch (credential?.kind) {
    case undefined:
      return noCredentials;
    case 'parameter': {
      const login = await registryLogin(home, credential.name, session.signal);
      return credentialForHost(host, { kind: 'basic', ...login });
    }
    case 'secret': {
      const secret = await loadSecret(home, credential.arn, session.signal);
      const allowedHosts = new Set(credential.own ? [host] : []);
      return credentialSourceFromSecret(secret, { key: credential.key, allowedHosts });
    }
  }
}
