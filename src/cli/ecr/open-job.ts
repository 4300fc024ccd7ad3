import { readParameter, registryLogin } from '../../aws/parameters.ts';
import { type CredentialSource, firstCredential } from '../../model/credentials.ts';
import { ReplicationError } from '../../model/errors.ts';
import type { Lock } from '../../model/lock.ts';
import { locate, parseReference } from '../../model/reference.ts';
import { registryStore } from '../../registry/store.ts';
import { parseSelection, type SelectedImage } from '../../sources/ecr/selection.ts';
import { dockerCredentials } from '../docker-credentials.ts';
import { type LazyEcr, lazyEcr } from '../lazy-ecr.ts';
import { sourceStores } from '../source-stores.ts';
import { layoutHost } from '../target.ts';
import { lockedWork, onlyHost, readEcrLock } from './ecr-lock.ts';
import { type EcrSides, ecrWork } from './ecr-work.ts';
import { registryWork } from './registry-work.ts';
import type { Chosen, EcrSettings } from './settings.ts';
import { filledFrom, openEcrDestination, openEcrSource, originTags, type Surroundings } from './sides.ts';
import type { EcrWork } from './work.ts';

export interface Opened {
  readonly work: EcrWork;
  readonly destination: EcrSides['destination'];
  /** Host of the source registry; absent where there are several. */
  readonly source: EcrSides['source'] | undefined;
  /** The lock that is replicated. */
  readonly lock: Lock | undefined;
  /** Host that the login of `--src-credential` is for. */
  readonly loginHost: string | undefined;
  close(): Promise<void>;
}

/** Opens both sides, finds out what is asked for, and compares. */
export async function openEcrJob(around: Surroundings, settings: EcrSettings): Promise<Opened> {
  const { session } = around;
  const locked = settings.lock === undefined ? undefined : await readEcrLock(settings.lock);
  const selected = locked === undefined ? await selection(around, settings.chosen, settings.source.type) : undefined;
  const ecr = lazyEcr(session, undefined);
  const close = (): Promise<void> => ecr.close();
  if (settings.source.type === 'Amazon_ECR') {
    const source = await openEcrSource(around, settings.source.place);
    if (locked !== undefined) {
      // Nothing tells what prefix the lock was written with: repositories that are made get no tag, and so are never pruned.
      const destination = await openDestination(around, settings, undefined, ecr);
      const work = lockedWork(locked, onlyHost(source.store, source.host, locked.path), destination);
      return { ...work, destination, source, loginHost: undefined, close };
    }
    const destination = await openDestination(around, settings, filledFrom(source.host, settings.prefix), ecr);
    if (destination.host === source.host) refuseItself(source.host, settings);
    const work = await ecrWork({ source, destination }, settings, selected, session.signal);
    return { work, lock: undefined, destination, source, loginHost: undefined, close };
  }
  const login = settings.source.type === 'Private' ? settings.source.login : undefined;
  const own = login === undefined ? undefined : await parameterLogin(around, login, selected ?? locked?.images ?? []);
  const credentials = firstCredential([
    ...(own === undefined ? [] : [own.credentials]),
    ecr.credentials,
    dockerCredentials(session),
  ]);
  const storeOf = sourceStores(session.transport, credentials);
  const destination = await openDestination(around, settings, undefined, ecr);
  const found =
    locked === undefined
      ? { work: await registryWork(selected ?? [], storeOf, destination, settings, session.signal), lock: undefined }
      : lockedWork(locked, storeOf, destination);
  return { ...found, destination, source: undefined, loginHost: own?.host, close };
}

/** Selected images may be had under a prefix beside themselves. All of them would be copied with the copies of the run before. */
function refuseItself(host: string, { chosen, prefix }: EcrSettings): void {
  if (chosen.kind !== 'all' && prefix !== '') return;
  throw new ReplicationError('configuration', `source and destination are one registry, ${host}`, {
    host,
    side: 'module',
    remedy:
      'name another region or account for one of them; or selected images (--src-list SELECTED) and --dest-prefix',
  });
}

async function openDestination(
  around: Surroundings,
  { destination }: EcrSettings,
  origin: string | undefined,
  ecrHosts: LazyEcr,
): Promise<EcrSides['destination']> {
  if ('layout' in destination) {
    const { openOciLayout } = await import('../../layout/oci-layout.ts');
    return { host: layoutHost, store: await openOciLayout(destination.layout), ecr: undefined };
  }
  if ('registry' in destination) {
    const { session } = around;
    const host = destination.registry;
    const credentials = dockerCredentials(session);
    const store = (await ecrHosts.target(host)) ?? registryStore(session.transport, host, { credentials });
    return { host, store, ecr: undefined };
  }
  const ecr = await openEcrDestination(around, destination, { tags: originTags(origin) });
  return { host: ecr.host, store: ecr.store, ecr };
}

async function selection(
  { home, session }: Surroundings,
  chosen: Chosen,
  type: EcrSettings['source']['type'],
): Promise<readonly SelectedImage[] | undefined> {
  const hosts = type === 'Amazon_ECR' ? 'none' : 'allowed';
  switch (chosen.kind) {
    case 'all':
      return undefined;
    case 'list':
      return parseSelection(chosen.text, '--src-image-list', hosts);
    case 'parameter': {
      const text = await readParameter(home, chosen.name, session.signal);
      return parseSelection(text, `the parameter ${chosen.name}`, hosts);
    }
  }
}

/** A login is for one registry; sent to the others of a list it would be given away. */
async function parameterLogin(
  { home, session }: Surroundings,
  name: string,
  selected: readonly Pick<SelectedImage, 'name'>[],
): Promise<{ readonly host: string | undefined; readonly credentials: CredentialSource }> {
  const [host, ...others] = new Set(selected.map((image) => locate(parseReference(image.name)).registry));
  if (others.length > 0)
    throw new ReplicationError(
      'usage',
      `--src-credential is for one registry, and the list names ${host ?? ''}, ${others.join(', ')}`,
      {
        remedy: 'replicate one private registry in a run, or log in to them with `docker login`',
      },
    );
  const login = await registryLogin(home, name, session.signal);
  const credentialFor: CredentialSource['credentialFor'] = (asked) =>
    Promise.resolve(asked === host ? { kind: 'basic', ...login } : undefined);
  return { host, credentials: { credentialFor } };
}
