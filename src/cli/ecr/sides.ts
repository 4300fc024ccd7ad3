import { accountId } from '../../aws/identity.ts';
import { assumedRole } from '../../aws/assume-role.ts';
import { type Aws, type AwsCredentials, createAws } from '../../aws/clients.ts';
import { ecrRegistry } from '../../aws/ecr.ts';
import { ecrSource } from '../../aws/ecr-source.ts';
import type { RepositorySettings, Tags } from '../../aws/repositories.ts';
import { accessKeys } from '../../aws/parameters.ts';
import { isReplicationError } from '../../model/errors.ts';
import type { ReadStore, WriteStore } from '../../model/store.ts';
import { registryStore } from '../../registry/store.ts';
import { defaultRepositorySettings, ecrStore } from '../ecr-store.ts';
import { variable } from '../environment.ts';
import type { Session } from '../session.ts';
import type { EcrPlace, EcrSettings } from './settings.ts';

/** A registry of ECR with the clients that may use it. */
export interface EcrSide<Store> {
  readonly aws: Aws;
  /** As references write it. */
  readonly host: string;
  /** Account, when it is not the one of the credentials: for the interface's `registryId`. */
  readonly registryId: string | undefined;
  readonly store: Store;
}

/** Parameter for another account's keys, as the data replication hub's ECR plugin calls it. */
const defaultParameter = 'drh-credentials';

/** Repositories that are filled from another registry say so under this tag: only these are ever pruned. */
export const sourceTag = 'image-replication-source';

/** What the tag says. One registry may be filled from another one several times, under different prefixes. */
export function filledFrom(sourceHost: string, prefix: string): string {
  return prefix === '' ? sourceHost : `${sourceHost} in ${prefix}`;
}

/** Tags of repositories that are filled from this source. */
export function originTags(origin: string | undefined): Tags {
  return origin === undefined ? {} : { [sourceTag]: origin };
}

/** Makes clients for regions and credentials, and ends them all together. */
export interface AwsPool {
  open(region: string, credentials?: AwsCredentials): Aws;
  close(): Promise<void>;
}

/** AWS clients of one run, by region and credentials; `close` ends the connections of all. */
export function awsPool(session: Session): AwsPool {
  const opened: Aws[] = [];
  return {
    open(region, credentials) {
      const aws = createAws({ network: session.network, region, mask: session.mask, credentials });
      opened.push(aws);
      return aws;
    },
    close: async () => {
      await Promise.all(opened.map((aws) => aws.close()));
    },
  };
}

/** What opening a side needs: the program's own account is where parameters, topics, tables and roles are asked for. */
export interface Surroundings {
  readonly session: Session;
  readonly pool: AwsPool;
  readonly home: Aws;
}

/** What both sides share: the session, and clients at home, where parameters, topics, tables and roles are asked for. */
export function surroundings(session: Session, pool: AwsPool, { source, destination }: EcrSettings): Surroundings {
  const own = variable(session.env, 'AWS_REGION', 'AWS_DEFAULT_REGION');
  const places = [
    source.type === 'Amazon_ECR' ? source.place : undefined,
    'region' in destination ? destination : undefined,
  ].filter((place) => place !== undefined);
  // Where nothing is said, the side that needs no keys of its own is at home.
  const region = own ?? (places.find((place) => place.access.kind === 'default') ?? places[0])?.region ?? 'us-east-1';
  return { session, pool, home: pool.open(region) };
}

/** The source registry, read by its own API and by the registry protocol. @throws ReplicationError side `source` */
export async function openEcrSource(around: Surroundings, place: EcrPlace): Promise<EcrSide<ReadStore>> {
  const { aws, registryId } = await sideClients(around, place, 'source');
  const { host, baseUrl, credentials } = await ecrSource(aws, place.region, registryId);
  const store = registryStore(around.session.transport, host, {
    credentials,
    baseUrl,
    authenticateFirst: true,
  });
  return { aws, host, registryId, store };
}

/** @param repositories settings of those that are created, and tags of all that are used */
export async function openEcrDestination(
  around: Surroundings,
  place: EcrPlace,
  repositories: { readonly settings?: RepositorySettings | undefined; readonly tags: Tags },
): Promise<EcrSide<WriteStore>> {
  const { session } = around;
  const { aws, registryId } = await sideClients(around, place, 'destination');
  const ecr = await ecrRegistry(aws, {
    region: place.region,
    registryId,
    accountId: place.access.kind === 'default' ? variable(session.env, 'AWS_ACCOUNT_ID') : undefined,
    settings: repositories.settings ?? defaultRepositorySettings,
    tags: repositories.tags,
    reporter: session.reporter,
    signal: session.signal,
  });
  return { aws, host: ecr.host, registryId, store: ecrStore(session.transport, ecr) };
}

async function sideClients(
  around: Surroundings,
  place: EcrPlace,
  side: 'source' | 'destination',
): Promise<{ readonly aws: Aws; readonly registryId: string | undefined }> {
  const credentials = await credentialsOf(around, place, side);
  return { aws: around.pool.open(place.region, credentials), registryId: place.account };
}

async function credentialsOf(
  around: Surroundings,
  { access, account, region }: EcrPlace,
  side: string,
): Promise<AwsCredentials | undefined> {
  const { session, pool, home } = around;
  if (access.kind === 'parameter') return parameterKeys(around, access.name);
  // In the region's own STS: the global one does not know the other partitions.
  if (access.kind === 'role') return assumedRole(pool.open(region), access.arn, session.signal);
  if (account === undefined || access.kind === 'own') return undefined;
  if (account === (await accountId(home, variable(session.env, 'AWS_ACCOUNT_ID'), session.signal))) return undefined;
  try {
    return await parameterKeys(around, defaultParameter);
  } catch (error) {
    // A repository policy may let this account in without any keys.
    if (!isReplicationError(error, 'configuration', 'denied')) throw error;
    session.reporter.emit({
      type: 'notice',
      level: 'warning',
      message: `the ${side} is account ${account}, and ${defaultParameter} gives no keys for it (${error.message}): trying with the program's own credentials`,
    });
    return undefined;
  }
}

async function parameterKeys({ home, session }: Surroundings, name: string): Promise<AwsCredentials> {
  const keys = await accessKeys(home, name, session.signal);
  return () => Promise.resolve(keys);
}
