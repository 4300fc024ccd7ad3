import { firstCredential } from '../model/credentials.ts';
import { ReplicationError } from '../model/errors.ts';
import type { ReadStore, WriteStore } from '../model/store.ts';
import { googleCredentials } from '../mirror/google-credentials.ts';
import { variable } from './environment.ts';
import { openAws } from './aws-session.ts';
import { dockerCredentials } from './docker-credentials.ts';
import { defaultRepositorySettings, ecrStore } from './ecr-store.ts';
import { lazyEcr } from './lazy-ecr.ts';
import type { MirrorSettings } from './mirror-settings.ts';
import type { Session } from './session.ts';
import { sourceStores } from './source-stores.ts';
import { openTarget } from './target.ts';

/** Where a mirror reads from and writes to. */
export interface MirrorStores {
  readonly source: (registry: string) => ReadStore;
  readonly target: WriteStore;
  /** As names at the target begin; for a layout the host that stands for it. */
  readonly host: string;
  /** What `--target` put behind the host, with a slash at its end, or nothing. */
  readonly path: string;
  close(): Promise<void>;
}

/** Credentials: ECR's for hosts that are ECR's, else what `docker login` or a mounted config.json has, else Google's own there. */
export async function openMirrorStores(session: Session, settings: MirrorSettings): Promise<MirrorStores> {
  const ecr = lazyEcr(session, settings.region);
  const { env, mask } = session;
  // A login that was given goes before the machine's own identity.
  const google = settings.onGoogle
    ? [googleCredentials({ metadataHost: variable(env, 'GCE_METADATA_HOST'), mask })]
    : [];
  const credentials = firstCredential([ecr.credentials, dockerCredentials(session), ...google]);
  const source = sourceStores(session.transport, credentials);
  const { target } = settings;
  if (target.kind === 'ecr') {
    const opened = await openOwnEcr(session, target);
    return {
      source,
      target: opened.store,
      host: opened.store.name,
      path: '',
      close: async () => {
        await Promise.all([ecr.close(), opened.close()]);
      },
    };
  }
  const known = target.target.kind === 'registry' ? await ecr.target(target.target.host) : undefined;
  if (known !== undefined && target.target.kind === 'registry')
    return { source, target: known, host: known.name, path: target.target.path, close: () => ecr.close() };
  const opened = await openTarget(session, target.target, {
    aws: () => {
      throw new ReplicationError('internal', 'a named target is no ECR of the account');
    },
    settings: defaultRepositorySettings,
    tags: {},
    credentials,
  });
  return { source, target: opened.store, host: opened.host, path: opened.path, close: () => ecr.close() };
}

/** The registry of AWS_ACCOUNT, or of the credentials' own account. */
async function openOwnEcr(
  session: Session,
  { region, account }: { readonly region: string; readonly account: string | undefined },
): Promise<{ readonly store: WriteStore; close(): Promise<void> }> {
  const { ecrRegistry } = await import('../aws/ecr.ts');
  const aws = openAws(session, region);
  try {
    const ecr = await ecrRegistry(aws, {
      registryId: account,
      settings: defaultRepositorySettings,
      tags: {},
      reporter: session.reporter,
      signal: session.signal,
    });
    const store = ecrStore(session.transport, ecr);
    return { store, close: () => aws.close() };
  } catch (error) {
    await aws.close();
    throw error;
  }
}
