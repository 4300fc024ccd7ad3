import { type Digest, digestHex, digestOf } from '../model/digest.ts';
import { isReplicationError, ReplicationError } from '../model/errors.ts';
import type { ManifestContent } from '../model/manifest.ts';
import type { ReadStore } from '../model/store.ts';
import { printable } from '../registry/addresses.ts';
import type { Reporter } from '../report/events.ts';
import { type Chart, readChart } from './chart.ts';
import type { Downloads } from './downloads.ts';
import { findOciChart, readLayer } from './oci.ts';
import { type FoundChart, httpRepositories, type HttpRepositories, repositoryError } from './repository.ts';
import { asVersion } from './version.ts';

/** helm refuses to load larger ones unpacked (100 MiB); packed charts have some 100 kB. */
const maxArchiveBytes = 64 * 1024 * 1024;
const maxProvenanceBytes = 1024 * 1024;

export type ChartSource =
  | { readonly kind: 'http'; readonly url: string }
  | {
      readonly kind: 'oci';
      readonly registry: string;
      readonly repository: string;
      /** The tag. */
      readonly reference: string;
      /** Digest of the manifest that the tag names. */
      readonly digest: Digest;
      /** The manifest, byte for byte, to be copied as it is. */
      readonly content: ManifestContent;
    };

/** A chart as its repository has it, verified. */
export interface FetchedChart {
  readonly chart: Chart;
  /** The .tgz, exactly as the repository has it. */
  readonly archive: Uint8Array;
  /** sha256 of the archive: the digest of the chart layer in a registry. */
  readonly digest: Digest;
  /** Content of the provenance file (https://helm.sh/docs/topics/provenance/), where there is one. */
  readonly provenance: Uint8Array | undefined;
  /** The version as the repository writes it. */
  readonly version: string;
  readonly source: ChartSource;
}

/** A chart to fetch. */
export interface WantedChart {
  readonly name: string;
  /** `https://…` or `oci://…`. */
  readonly repository: string;
  /** Exact version or range; empty for the newest. */
  readonly version: string;
}

export type FetchChart = (wanted: WantedChart, signal: AbortSignal) => Promise<FetchedChart>;

export interface ChartFetcherOptions {
  readonly downloads: Downloads;
  /** Store of a registry, by the host that references write. */
  readonly store: (registry: string) => ReadStore;
  readonly reporter?: Reporter;
}

/**
 * Fetches charts from HTTP repositories and OCI registries, verified against what the index or manifest says. Each index
 * and each chart is read once for the life of the fetcher, however often it is asked for.
 * The returned function throws ReplicationError with side `source` and the chart as reference: `not-found` (with what
 * there is), `configuration`, `unauthorized`, `denied`, `corrupt`, `refused`, …
 */
export function chartFetcher(options: ChartFetcherOptions): FetchChart {
  const repositories = httpRepositories(options.downloads);
  const fetched = new Map<string, Promise<FetchedChart>>();
  return (wanted, signal) => {
    const key = JSON.stringify([wanted.repository, wanted.name, wanted.version]);
    const known = fetched.get(key);
    if (known !== undefined) return known;
    const fetching = fetchOne(options, repositories, wanted, signal).catch((error: unknown) => {
      fetched.delete(key);
      const reference = `${wanted.name} ${wanted.version} (${wanted.repository.replace(/[?#].*$/, '')})`;
      throw isReplicationError(error) ? error.with({ side: 'source', reference }) : error;
    });
    fetched.set(key, fetching);
    return fetching;
  };
}

async function fetchOne(
  options: ChartFetcherOptions,
  repositories: HttpRepositories,
  wanted: WantedChart,
  signal: AbortSignal,
): Promise<FetchedChart> {
  const parts = wanted.repository.startsWith('oci://')
    ? await fetchFromRegistry(options.store, wanted, signal)
    : await fetchFromRepository(options, repositories, wanted, signal);
  const chart = await readChart(parts.archive);
  checkIdentity(chart, wanted.name, parts.version);
  return { ...parts, chart, digest: digestOf(parts.archive) };
}

type Parts = Omit<FetchedChart, 'chart' | 'digest'>;

async function fetchFromRegistry(
  storeOf: (registry: string) => ReadStore,
  wanted: WantedChart,
  signal: AbortSignal,
): Promise<Parts> {
  const found = await findOciChart(storeOf, wanted, signal);
  const store = storeOf(found.registry);
  const { registry, repository, content, provenanceLayer } = found;
  const archive = await readLayer(store, repository, found.chartLayer, signal);
  const provenance = provenanceLayer && (await readLayer(store, repository, provenanceLayer, signal));
  const digest = content.descriptor.digest;
  const source = { kind: 'oci', registry, repository, reference: found.tag, digest, content } as const;
  return { archive, provenance, version: found.version, source };
}

async function fetchFromRepository(
  options: ChartFetcherOptions,
  repositories: HttpRepositories,
  wanted: WantedChart,
  signal: AbortSignal,
): Promise<Parts> {
  const found = await repositories.find(wanted.repository, wanted.name, wanted.version, signal);
  const what = `chart ${wanted.name} ${found.version}`;
  const archive = await readHttpArchive(options.downloads, found, what, signal);
  const provenance = await readProvenance(options, found, what, signal);
  return { archive, provenance, version: found.version, source: { kind: 'http', url: found.url } };
}

async function readHttpArchive(
  downloads: Downloads,
  found: FoundChart,
  what: string,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const url = new URL(found.url);
  let archive: Uint8Array;
  try {
    archive = (await downloads.getBytes(found.url, { maxBytes: maxArchiveBytes, signal })).bytes;
  } catch (error) {
    throw repositoryError(error, url, `the archive of ${what}`);
  }
  // helm 3 does not check this digest on download; a mirror that serves something else would go unnoticed.
  const actual = digestHex(digestOf(archive));
  if (found.sha256 !== undefined && found.sha256 !== actual) {
    throw new ReplicationError(
      'corrupt',
      `the archive of ${what} from ${printable(url)} has the digest sha256:${actual}, but the index says sha256:${found.sha256}`,
      { side: 'source', host: url.host, digest: `sha256:${actual}`, remedy: 'tell the owner of the repository' },
    );
  }
  return archive;
}

/** `<archive URL>.prov`. Most charts have none; whatever stands in the way of it is a notice and not a failure. */
async function readProvenance(
  options: ChartFetcherOptions,
  found: FoundChart,
  what: string,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const url = new URL(found.url);
  url.pathname += '.prov';
  try {
    const { bytes } = await options.downloads.getBytes(url.href, { maxBytes: maxProvenanceBytes, signal });
    // Some servers answer every path with 200 and a page.
    return Buffer.from(bytes).includes('-----BEGIN PGP SIGNED MESSAGE-----') ? bytes : undefined;
  } catch (error) {
    if (!isReplicationError(error) || signal.aborted || error.code === 'cancelled' || error.code === 'deadline')
      throw error;
    if (!['not-found', 'denied', 'unauthorized'].includes(error.code)) {
      const message = `the provenance file of ${what} could not be read and is left out: ${error.message}`;
      options.reporter?.emit({ type: 'notice', level: 'warning', message });
    }
    return undefined;
  }
}

/** Name and version inside the archive must be those asked for: the tag at the target is made of them. */
function checkIdentity(chart: Chart, name: string, version: string): void {
  const same = chart.version === version || asVersion(chart.version)?.raw === asVersion(version)?.raw;
  if (chart.name === name && same) return;
  throw new ReplicationError(
    'corrupt',
    `the archive offered as chart ${name} ${version} holds chart ${chart.name} ${chart.version}`,
    { remedy: 'tell the owner of the repository' },
  );
}
