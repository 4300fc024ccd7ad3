import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import type { Aws } from '../aws/clients.ts';
import type { Downloads } from '../charts/downloads.ts';
import { chartFetcher, type FetchChart } from '../charts/fetch.ts';
import { type CredentialSource, firstCredential } from '../model/credentials.ts';
import { ReplicationError } from '../model/errors.ts';
import type { ReadStore } from '../model/store.ts';
import { dockerConfigCredentials } from '../registry/docker-config.ts';
import { httpDownloads } from '../registry/download.ts';
import {
  type HelmFolders,
  helmConfigFolder,
  helmRepositoryCredentials,
  readHelmRepositories,
} from '../sources/chart/helm-repositories.ts';
import { openAws } from './aws-session.ts';
import { chartDataFiles } from './chart-settings.ts';
import { dockerCredentials } from './docker-credentials.ts';
import { defaultRepositorySettings } from './ecr-store.ts';
import { variable } from './environment.ts';
import { lazyEcr } from './lazy-ecr.ts';
import type { Session } from './session.ts';
import { sourceStores } from './source-stores.ts';
import { openTarget, parseTarget, type Target } from './target.ts';

/** Everything that the job reads from and writes to. */
export interface ChartSurroundings {
  readonly target: Target;
  readonly store: (registry: string) => ReadStore;
  readonly downloads: Downloads;
  readonly fetchChart: FetchChart;
  /** Chart repositories by name: what helm knows goes before what we ship. */
  readonly repositories: ReadonlyMap<string, string>;
  close(): Promise<void>;
}

export interface SurroundingOptions {
  readonly registry?: string | undefined;
  readonly target?: string | undefined;
  readonly region: string;
}

/**
 * Opens the target, and sources with credentials by host: ECR's own tokens, docker's config.json, and what `helm repo add` and
 * `helm registry login` left. @throws ReplicationError `usage`, or what ECR answers
 */
export async function openSurroundings(session: Session, options: SurroundingOptions): Promise<ChartSurroundings> {
  const ecr = lazyEcr(session, options.region);
  const own: { aws?: Aws } = {};
  try {
    const folders = helmFolders(session);
    const known = await readHelmRepositories(folders, session.mask);
    const registryConfig = join(helmConfigFolder(folders), 'registry', 'config.json');
    const { env, mask } = session;
    const credentials = firstCredential([
      ecr.credentials,
      helmRepositoryCredentials(known),
      dockerCredentials(session),
      dockerConfigCredentials({
        path: variable(env, 'HELM_REGISTRY_CONFIG') ?? registryConfig,
        environment: env,
        mask,
      }),
    ]);
    const store = sourceStores(session.transport, credentials);
    const downloads = httpDownloads(session.transport, credentials);
    const shipped = await shippedRepositories();
    return {
      target: await open(session, options, credentials, ecr, own),
      store,
      downloads,
      fetchChart: chartFetcher({ downloads, store, reporter: session.reporter }),
      repositories: new Map([...shipped, ...known.map(({ name, url }) => [name, url] as const)]),
      close: async () => {
        await Promise.all([ecr.close(), own.aws?.close()]);
      },
    };
  } catch (error) {
    await Promise.all([ecr.close(), own.aws?.close()]);
    throw error;
  }
}

function helmFolders({ env }: Session): HelmFolders {
  return {
    repositoryConfig: variable(env, 'HELM_REPOSITORY_CONFIG'),
    configHome: variable(env, 'HELM_CONFIG_HOME'),
    xdgConfigHome: variable(env, 'XDG_CONFIG_HOME'),
    home: variable(env, 'HOME') ?? homedir(),
    platform: process.platform,
  };
}

async function shippedRepositories(): Promise<ReadonlyMap<string, string>> {
  const text = await readFile(chartDataFiles.repositories, 'utf8');
  return new Map(Object.entries(z.record(z.string(), z.url()).parse(JSON.parse(text))));
}

async function open(
  session: Session,
  { registry, target, region }: SurroundingOptions,
  credentials: CredentialSource,
  ecr: ReturnType<typeof lazyEcr>,
  own: { aws?: Aws },
): Promise<Target> {
  if (registry !== undefined && target !== undefined)
    throw new ReplicationError('usage', '--registry and --target do not go together', {
      remedy: 'write --target host/prefix, or --registry host with --prefix',
    });
  const text = parseTarget(target ?? registry);
  if (registry !== undefined && (text.kind !== 'registry' || text.path !== ''))
    throw new ReplicationError('usage', `"${registry}" is no registry`, {
      remedy: 'write the host alone; --prefix says what its repositories begin with',
    });
  if (text.kind === 'registry') {
    const store = await ecr.target(text.host);
    if (store !== undefined) return { store, host: text.host, path: text.path, credentials, ecr: undefined };
  }
  return openTarget(session, text, {
    aws: () => (own.aws ??= openAws(session, region)),
    accountId: variable(session.env, 'AWS_ACCOUNT_ID'),
    settings: defaultRepositorySettings,
    tags: {},
    credentials,
  });
}
