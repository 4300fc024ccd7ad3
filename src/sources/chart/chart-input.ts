import { readdir, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { readChart, type Chart } from '../../charts/chart.ts';
import type { Downloads } from '../../charts/downloads.ts';
import type { FetchChart } from '../../charts/fetch.ts';
import type { Helm } from '../../charts/helm.ts';
import { runHelm, withHelmHome } from '../../charts/helm-process.ts';
import { nearbyNames } from '../../charts/version.ts';
import { ReplicationError, toReplicationError } from '../../model/errors.ts';
import { fileProblem } from '../../model/file-problem.ts';
import { nearestHint } from '../eks/nearest.ts';

const maxArchiveBytes = 64 * 1024 * 1024;

/** What `-c` names. */
export type ChartInput =
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'archive'; readonly path: string }
  | { readonly kind: 'archive-url'; readonly url: string }
  | { readonly kind: 'repository'; readonly repository: string; readonly name: string; readonly version: string }
  /** `repo/chart`, as helm knows it after `helm repo add`. */
  | { readonly kind: 'known'; readonly repository: string; readonly name: string; readonly version: string };

export interface ChartArguments {
  /** As given to `-c`. */
  readonly chart: string;
  /** URL of the repository (`--repo`), where `chart` is only a name. */
  readonly repository: string | undefined;
  /** Version or range; empty for the newest. */
  readonly version: string;
}

/**
 * Tells the forms of `-c` apart: a folder or archive that is there goes before everything else, as with helm.
 * @throws ReplicationError `not-found` for what is none of them
 */
export async function parseChartInput({ chart, repository, version }: ChartArguments): Promise<ChartInput> {
  if (repository !== undefined) return { kind: 'repository', repository, name: chart, version };
  const oci = /^(oci:\/\/.+)\/([^/:]+)(?::([^/:]+))?\/*$/.exec(chart);
  if (oci !== null) {
    const [, parent = '', name = '', tag] = oci;
    return { kind: 'repository', repository: parent, name, version: version === '' ? (tag ?? '') : version };
  }
  if (/^https?:\/\//.test(chart)) return parseAddress(chart, version);
  const what = await stat(chart).catch(() => undefined);
  if (what?.isDirectory() === true) return { kind: 'directory', path: resolve(chart) };
  if (what?.isFile() === true) return { kind: 'archive', path: resolve(chart) };
  const known = /^([\w][\w.-]*)\/([\w][\w.-]*)$/.exec(chart);
  if (known !== null && !chart.endsWith('.tgz') && !chart.startsWith('.'))
    return { kind: 'known', repository: known[1] ?? '', name: known[2] ?? '', version };
  throw invalidPath(chart, 'there is no such folder or archive');
}

function parseAddress(address: string, version: string): ChartInput {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined) throw invalidPath(address, 'it is no URL');
  if (/\.(?:tgz|tar\.gz)$/.test(url.pathname)) return { kind: 'archive-url', url: address };
  const parts = url.pathname.replace(/\/+$/, '').split('/');
  const name = parts.pop() ?? '';
  if (name === '') throw invalidPath(address, 'the name of the chart is missing behind the repository');
  url.pathname = parts.join('/');
  return { kind: 'repository', repository: url.href.replace(/\/+$/, ''), name, version };
}

function invalidPath(chart: string, why: string): ReplicationError {
  return new ReplicationError('not-found', `invalid Helm chart path: ${chart}: ${why}`, {
    side: 'source',
    reference: chart,
    remedy:
      'name a folder, a .tgz, repo/chart as "helm repo list" has the repository, https://repository/chart or oci://registry/path/chart',
  });
}

export interface ChartAccess {
  readonly helm: Helm;
  readonly fetch: FetchChart;
  readonly downloads: Downloads;
  /** URLs of repositories by name: what helm knows, and what we ship. */
  readonly repositories: ReadonlyMap<string, string>;
  readonly signal: AbortSignal;
}

/** A chart in hand: its package, and what to call it. */
export interface ReadyChart {
  readonly chart: Chart;
  readonly archive: Uint8Array;
  /** Where it was read from, for people. */
  readonly from: string;
}

/** Reads or fetches a chart. @throws ReplicationError side `source`, which names the chart and what to do */
export async function openChart(input: ChartInput, access: ChartAccess): Promise<ReadyChart> {
  switch (input.kind) {
    case 'directory':
      return packFolder(input.path, access);
    case 'archive': {
      const archive = await readFile(input.path).catch((cause: unknown) => {
        throw invalidPath(input.path, fileProblem(cause));
      });
      return fromArchive(archive, input.path);
    }
    case 'archive-url': {
      const { downloads, signal } = access;
      return fromArchive((await downloads.getBytes(input.url, { maxBytes: maxArchiveBytes, signal })).bytes, input.url);
    }
    case 'known': {
      const repository = access.repositories.get(input.repository);
      if (repository === undefined) throw unknownRepository(input.repository, input.name, access.repositories);
      return openChart({ ...input, kind: 'repository', repository }, access);
    }
    case 'repository': {
      const { repository, name, version } = input;
      const { chart, archive } = await access.fetch({ repository, name, version }, access.signal);
      return { chart, archive, from: repository };
    }
  }
}

async function fromArchive(archive: Uint8Array, from: string): Promise<ReadyChart> {
  try {
    return { chart: await readChart(archive), archive, from };
  } catch (error) {
    throw toReplicationError(error, { side: 'source', reference: from });
  }
}

function unknownRepository(repository: string, name: string, known: ReadonlyMap<string, string>): ReplicationError {
  const names = [...known.keys()];
  const some = names.length === 0 ? 'helm knows none' : `known are ${nearbyNames(names, repository)}`;
  return new ReplicationError(
    'not-found',
    `invalid Helm chart path: ${repository}/${name}: there is no such folder, and helm knows no repository "${repository}"${nearestHint(repository, names)}; ${some}`,
    {
      side: 'source',
      reference: `${repository}/${name}`,
      remedy: `run "helm repo add ${repository} URL", or write https://…/${name}`,
    },
  );
}

/** By `helm package`, which knows what .helmignore leaves out and which dependencies are missing. */
async function packFolder(path: string, { helm, signal }: ChartAccess): Promise<ReadyChart> {
  if ((await stat(join(path, 'Chart.yaml')).catch(() => undefined)) === undefined)
    throw invalidPath(path, 'the folder has no Chart.yaml');
  return withHelmHome(async (home) => {
    const exit = await runHelm(helm.path, {
      args: ['package', path, '--destination', home],
      timeoutMs: 60_000,
      maxOutputBytes: 1024 * 1024,
      signal,
      home,
    });
    const archive = (await readdir(home)).find((file) => file.endsWith('.tgz'));
    if (exit.code === 0 && archive !== undefined) return fromArchive(await readFile(join(home, archive)), path);
    const said = exit.stderr
      .replace(/^Error: /, '')
      .trim()
      .slice(0, 1000);
    throw new ReplicationError('corrupt', `the chart in ${path} cannot be packaged: ${said}`, {
      side: 'source',
      reference: path,
      remedy: /missing in charts\//.test(said)
        ? `run "helm dependency update ${path}"`
        : 'correct the chart; "helm lint" tells more',
    });
  });
}
