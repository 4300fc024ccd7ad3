import { fileURLToPath } from 'node:url';
import type { Aws } from '../aws/clients.ts';
import { ecrCredentialsForSources } from '../aws/ecr-sources.ts';
import { chartFetcher, type FetchChart, type FetchedChart } from '../charts/fetch.ts';
import { patchedAsFetched } from '../charts/patch/as-fetched.ts';
import type { Patched } from '../charts/patch/port.ts';
import { type CredentialSource, firstCredential } from '../model/credentials.ts';
import type { PlannedChart } from '../model/plan.ts';
import type { ReadStore } from '../model/store.ts';
import { httpDownloads } from '../registry/download.ts';
import { loadDataFiles } from '../sources/eks/data-files.ts';
import type { ChartEntry, DataFileSet } from '../sources/eks/entries.ts';
import { checkUserDirectory, findUserDirectory } from '../sources/eks/user-directory.ts';
import { type EksPlan, type IsolateEntry, planEks } from '../sources/eks/plan.ts';
import type { EksSettings, SecretPointer } from './eks-settings.ts';
import { platformTexts } from './platform-text.ts';
import { secretCredentials } from './secret-credentials.ts';
import type { Session } from './session.ts';
import { sourceStores } from './source-stores.ts';

const moduleDirectory = fileURLToPath(new URL('../..', import.meta.url));

/** The module's own data files; Seed-Farmer puts those of a manifest over them. */
const shippedDirectory = fileURLToPath(new URL('../../data/eks_dockerimage-replication/versions', import.meta.url));

/** Everything that is read from, with credentials scoped to hosts. */
export interface Sources {
  readonly store: (registry: string) => ReadStore;
  readonly fetchChart: FetchChart;
}

/**
 * The data files of one EKS version: the user's where there are some, else the shipped ones; tells which.
 * @param eksVersion names the version file: `1.34` reads `1.34.yaml`
 * @param dataDir folder of the user's files; `undefined` to look below the module
 * @throws ReplicationError, ReplicationErrors `configuration`, each with file, line and key
 */
export async function readDataFiles(
  session: Session,
  eksVersion: string,
  dataDir: string | undefined,
): Promise<DataFileSet> {
  if (dataDir !== undefined) await checkUserDirectory(dataDir, eksVersion);
  // Seed-Farmer drops a manifest's dataFiles anywhere below the module, as their path is written there.
  const userDirectory = dataDir ?? (await findUserDirectory(moduleDirectory, shippedDirectory));
  const files = await loadDataFiles({ directories: { userDirectory, shippedDirectory }, eksVersion });
  for (const { name, path, from } of files.files) {
    session.reporter.emit({
      type: 'notice',
      level: 'info',
      message: `data file ${name}: ${from === 'user' ? 'yours' : 'shipped with the module'}, ${path}`,
    });
  }
  return files;
}

/**
 * Stores and chart repositories of a run.
 * @param ownHosts hosts that the user's own data files name: the secret goes to these, and to no other
 */
export async function openSources(
  session: Session,
  pointer: SecretPointer | undefined,
  ownHosts: ReadonlySet<string>,
  aws: Aws,
): Promise<Sources> {
  const sources: CredentialSource[] = [ecrCredentialsForSources(aws)];
  if (pointer !== undefined) sources.unshift(await secretCredentials(session, pointer, ownHosts, aws));
  const credentials = firstCredential(sources);
  const store = sourceStores(session.transport, credentials);
  return {
    store,
    fetchChart: chartFetcher({
      downloads: httpDownloads(session.transport, credentials),
      store,
      reporter: session.reporter,
    }),
  };
}

/**
 * @param prefix P: `<registry>/<project>-`
 * @param isolate absent when charts are not rendered: then only what is declared is replicated
 */
export async function makePlan(
  session: Session,
  settings: EksSettings,
  files: DataFileSet,
  sources: Sources,
  prefix: string,
  isolate: IsolateEntry | undefined,
): Promise<EksPlan> {
  const readChart = async (
    { name, repository, version }: ChartEntry,
    signal: AbortSignal,
  ): Promise<FetchedChart['chart']> => (await sources.fetchChart({ name, repository, version }, signal)).chart;
  const platforms = platformTexts(settings.platforms);
  return planEks(files, { prefix, readChart, platforms, isolate, signal: session.signal });
}

/** The fetched archive of a planned chart; the fetcher has it from planning. */
export function archiveOf(
  sources: Sources,
  files: DataFileSet,
  chart: PlannedChart,
  signal: AbortSignal,
): Promise<FetchedChart> {
  const entry = files.charts.get(chart.key);
  return sources.fetchChart(
    { name: chart.name, repository: chart.repository, version: entry?.version ?? chart.version },
    signal,
  );
}

/** What is pushed for a planned chart: the patched package where there is one, else what was fetched. */
export async function pushedChart(
  sources: Sources,
  files: DataFileSet,
  chart: PlannedChart,
  patched: Patched | undefined,
  signal: AbortSignal,
): Promise<FetchedChart> {
  const fetched = await archiveOf(sources, files, chart, signal);
  return patched === undefined ? fetched : patchedAsFetched(fetched, patched);
}
