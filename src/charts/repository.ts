import { isReplicationError, ReplicationError } from '../model/errors.ts';
import { isPrivateHost, printable } from '../registry/addresses.ts';
import type { Downloads } from './downloads.ts';
import { type IndexEntry, readIndex, type RepositoryIndex } from './index-file.ts';
import { chooseVersion, nearbyNames, nearbyVersions, parseConstraint } from './version.ts';

/** Indexes of the biggest public repositories have about 25 MB. */
const maxIndexBytes = 64 * 1024 * 1024;

export interface FoundChart {
  /** Version as the index writes it. */
  readonly version: string;
  readonly url: string;
  /** Expected digest of the archive, lower-case hex, where the index has one. */
  readonly sha256: string | undefined;
}

/** Chart repositories over HTTP (https://helm.sh/docs/topics/chart_repository/). */
export interface HttpRepositories {
  /**
   * The archive of a chart version: the version written exactly so, else the newest that satisfies it as a range. The
   * index of a repository is read once for the life of this object.
   * @throws ReplicationError `not-found` that says what there is, `configuration` for a URL or version that makes no
   *   sense, `unauthorized`, `denied`, `corrupt`, `refused` and whatever the connection gives
   */
  find(repository: string, name: string, version: string, signal: AbortSignal): Promise<FoundChart>;
}

/**
 * Chart repositories by HTTP (https://helm.sh/docs/topics/chart_repository/). Each index is read once for the life of the reader; a
 * failure is remembered too, except that of a caller who was told to stop.
 */
export function httpRepositories(downloads: Downloads): HttpRepositories {
  const indexes = new Map<string, Promise<RepositoryIndex>>();
  const indexOf = (repository: string, signal: AbortSignal): Promise<RepositoryIndex> => {
    const key = repository.replace(/\/+$/, '');
    const known = indexes.get(key);
    if (known !== undefined) return known;
    const reading = readRemoteIndex(downloads, parseRepository(repository), signal);
    indexes.set(key, reading);
    // What failed because one caller was told to stop says nothing to the next.
    reading.catch((error: unknown) => {
      if (isReplicationError(error, 'cancelled', 'deadline') || signal.aborted) indexes.delete(key);
    });
    return reading;
  };
  return {
    async find(repository, name, version, signal) {
      const index = await indexOf(repository, signal);
      const entry = chooseEntry(index, repository, name, version);
      const url = resolveChartUrl(parseRepository(repository), entry.url, `${name} ${entry.version}`);
      return { version: entry.version, url: url.href, sha256: entry.sha256 };
    },
  };
}

/** @throws ReplicationError `configuration` for what is no http(s) URL, or carries credentials */
function parseRepository(repository: string): URL {
  const url = URL.canParse(repository) ? new URL(repository) : undefined;
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new ReplicationError('configuration', `${JSON.stringify(repository)} is not the URL of a chart repository`, {
      remedy: 'write https://host/path or oci://host/path',
    });
  }
  if (url.username !== '' || url.password !== '') {
    throw new ReplicationError('configuration', `the repository URL ${printable(url)} carries credentials`, {
      reference: printable(url),
      remedy: 'take them out of the URL and put them into the secret that HelmRepoSecretName names',
    });
  }
  return url;
}

/** `index.yaml` below the repository's path; the repository's query is kept (helm pkg/repo `ResolveReferenceURL`). */
function belowRepository(repository: URL, path: string): URL {
  const base = new URL(repository);
  base.pathname = `${base.pathname.replace(/\/+$/, '')}/`;
  const resolved = new URL(path, base);
  if (repository.search !== '') resolved.search = repository.search;
  resolved.hash = '';
  return resolved;
}

async function readRemoteIndex(downloads: Downloads, repository: URL, signal: AbortSignal): Promise<RepositoryIndex> {
  const address = belowRepository(repository, 'index.yaml');
  try {
    const { bytes } = await downloads.getBytes(address.href, { maxBytes: maxIndexBytes, signal });
    return readIndex(bytes, printable(address));
  } catch (error) {
    throw repositoryError(error, address, 'the index of the chart repository');
  }
}

/** Says what to do about a failed download from a chart host; other errors pass as they are. */
export function repositoryError(error: unknown, url: URL, what: string): unknown {
  if (!isReplicationError(error)) return error;
  const detail = { side: 'source', host: url.host, reference: printable(url), status: error.status } as const;
  switch (error.code) {
    case 'not-found':
      return new ReplicationError('not-found', `${what} is not at ${printable(url)} (404)`, {
        ...detail,
        remedy: 'check the repository URL in the data file, and that the server still has this file',
        cause: error,
      });
    case 'unauthorized':
    case 'denied':
      return new ReplicationError(error.code, `${url.host} gives ${what} only to users it knows: ${error.message}`, {
        ...detail,
        remedy: `check username and password for ${url.host} in the secret that HelmRepoSecretName names (entry HelmRepoSecretKey), or set that parameter${error.code === 'denied' ? '; object stores also answer 403 for what is not there' : ''}`,
        cause: error,
      });
    default:
      return error.with(detail);
  }
}

function chooseEntry(index: RepositoryIndex, repository: string, name: string, version: string): IndexEntry {
  const place = printable(parseRepository(repository));
  const entries = index.entries(name);
  const versions = entries.map((entry) => entry.version);
  const chosen = chooseVersion(versions, version);
  const entry = entries.find((each) => each.version === chosen);
  if (entry !== undefined) return entry;
  const detail = { side: 'source', reference: `${name} ${version}`, host: new URL(repository).host } as const;
  if (entries.length === 0) {
    const some = index.names.length === 0 ? 'it has no charts' : `it has ${nearbyNames(index.names, name)}`;
    throw new ReplicationError('not-found', `no chart ${JSON.stringify(name)} in the repository ${place}; ${some}`, {
      ...detail,
      remedy: 'correct name or repository of the chart in the data file',
    });
  }
  throw versionNotFound(name, version, versions, place, detail);
}

/** The error for a version that is not there: which ones are. */
export function versionNotFound(
  name: string,
  version: string,
  versions: readonly string[],
  place: string,
  detail: { readonly side: 'source'; readonly reference: string; readonly host: string },
): ReplicationError {
  if (parseConstraint(version) === undefined) {
    return new ReplicationError(
      'configuration',
      `${JSON.stringify(version)} is neither a version of chart ${name} in ${place} nor a version range`,
      { ...detail, remedy: `write a version such as ${nearbyVersions(versions, version)}` },
    );
  }
  return new ReplicationError(
    'not-found',
    `chart ${name} has no version ${JSON.stringify(version)} in ${place}; there are ${nearbyVersions(versions, version)}`,
    { ...detail, remedy: 'correct the version of the chart in the data file' },
  );
}

/** Where the archive lies: `urls[0]`, relative to the repository or absolute. */
function resolveChartUrl(repository: URL, written: string, chart: string): URL {
  const absolute = URL.canParse(written) ? new URL(written) : undefined;
  const url = absolute ?? belowRepository(repository, written);
  const refuse = (why: string): ReplicationError =>
    new ReplicationError('refused', `the index of ${printable(repository)} gives chart ${chart} a URL that ${why}`, {
      side: 'source',
      host: repository.host,
      reference: chart,
    });
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw refuse(`is neither https nor http (${url.protocol})`);
  if (url.username !== '' || url.password !== '') throw refuse('carries credentials');
  if (isPrivateHost(url.hostname) && !isPrivateHost(repository.hostname) && url.hostname !== repository.hostname)
    throw refuse(`leads into a private network (${url.host})`);
  return url;
}
