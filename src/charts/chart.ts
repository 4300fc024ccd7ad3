import * as z from 'zod';
import { ReplicationError } from '../model/errors.ts';
import { chartArchiveLimits } from './archive-limits.ts';
import { readArchive } from './archive.ts';
import { type JsonLike, parseHelmYaml } from './helm-yaml.ts';
import { asVersion, parseConstraint } from './version.ts';

/** helm decodes numbers and booleans into string fields as text: an unquoted `appVersion: 1.10` is `1.1`, as helm sees it. */
const Text = z.union([z.string(), z.number(), z.boolean()]).transform(String);
const optionalText = Text.nullish().transform((value) => value ?? undefined);

export const ChartDependency = z.looseObject({
  name: Text,
  version: optionalText,
  repository: optionalText,
  condition: optionalText,
  alias: optionalText,
  tags: z.array(Text).nullish(),
});
export type ChartDependency = Readonly<z.infer<typeof ChartDependency>>;

/**
 * Chart.yaml (https://helm.sh/docs/topics/charts/#the-chartyaml-file). Unknown keys are kept: helm ignores them.
 */
export const ChartMetadata = z.looseObject({
  apiVersion: optionalText.transform((value) => (value === undefined || value === '' ? 'v1' : value)),
  name: Text,
  version: Text,
  appVersion: optionalText,
  description: optionalText,
  kubeVersion: optionalText,
  type: optionalText,
  home: optionalText,
  icon: optionalText,
  sources: z.array(Text).nullish(),
  keywords: z.array(Text).nullish(),
  maintainers: z.array(z.looseObject({ name: optionalText, email: optionalText, url: optionalText })).nullish(),
  annotations: z.record(z.string(), Text).nullish(),
  dependencies: z.array(ChartDependency).nullish(),
});
export type ChartMetadata = Readonly<z.infer<typeof ChartMetadata>>;

/** A chart as its package holds it: nothing is merged or computed. */
export interface Chart {
  readonly name: string;
  /** As Chart.yaml writes it, `v` and build metadata included. */
  readonly version: string;
  readonly metadata: ChartMetadata;
  /** values.yaml; an empty object when there is none. */
  readonly values: JsonLike;
  /** values.yaml as it is written, comments and number formats included; empty when there is none. */
  readonly valuesText: string;
  /** Charts of the `charts/` folder under the name by which the parent's values reach them: the alias, else the name. */
  readonly subcharts: ReadonlyMap<string, Chart>;
  /** values.schema.json, parsed. */
  readonly schema: JsonLike | undefined;
  /** Paths of the files under templates/, in archive order. */
  readonly templates: readonly string[];
  /** All other files of the chart itself (crds, NOTES, data), path to content, subcharts left out. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

const maxDepth = 10;

/**
 * Reads a packaged chart (.tgz), with its subcharts, as helm's loader does (pkg/chart/loader).
 * @throws ReplicationError `refused` for a hostile archive (see archive.ts), `corrupt` for one that is no chart
 */
export async function readChart(archive: Uint8Array): Promise<Chart> {
  const files = await readArchive(archive, chartArchiveLimits, 'the chart archive');
  const budget = { left: chartArchiveLimits.maxTotalBytes - sizeOf(files.values()) };
  return loadChart(insideFolder(files), 'the chart', budget, 0);
}

/** Drops the first folder of each path, whatever its name (helm pkg/chart/loader/archive.go). */
export function insideFolder(files: ReadonlyMap<string, Buffer>): ReadonlyMap<string, Buffer> {
  const inside = new Map<string, Buffer>();
  for (const [path, content] of files) {
    if (path === 'Chart.yaml') {
      throw new ReplicationError('corrupt', 'the chart archive has its Chart.yaml outside of a folder', {
        remedy: 'package the chart with "helm package"',
      });
    }
    const slash = path.indexOf('/');
    if (slash >= 0) inside.set(path.slice(slash + 1), withoutByteOrderMark(content));
  }
  return inside;
}

function withoutByteOrderMark(content: Buffer): Buffer {
  return content.subarray(0, 3).equals(Buffer.from([0xef, 0xbb, 0xbf])) ? content.subarray(3) : content;
}

interface Budget {
  left: number;
}

async function loadChart(
  files: ReadonlyMap<string, Buffer>,
  what: string,
  budget: Budget,
  depth: number,
): Promise<Chart> {
  if (depth > maxDepth) throw new ReplicationError('refused', `${what} nests charts more than ${maxDepth} deep`);
  const metadata = readMetadata(files, what);
  const valuesText = files.get('values.yaml')?.toString('utf8') ?? '';
  const values = parseHelmYaml(valuesText, `values.yaml of ${what} ${metadata.name}`);
  const schema = files.get('values.schema.json')?.toString('utf8');
  const charts = await loadSubcharts(files, metadata.name, budget, depth);
  return {
    name: metadata.name,
    version: metadata.version,
    metadata,
    values: values ?? {},
    valuesText,
    subcharts: nameSubcharts(charts, metadata),
    schema: schema === undefined ? undefined : parseHelmYaml(schema, `values.schema.json of ${what} ${metadata.name}`),
    templates: [...files.keys()].filter((path) => path.startsWith('templates/')),
    files: new Map([...files].filter(([path]) => !path.startsWith('charts/') && !path.startsWith('templates/'))),
  };
}

/** Chart.yaml, with the dependencies of requirements.yaml where an old chart (apiVersion v1) has that. */
export function readMetadata(files: ReadonlyMap<string, Buffer>, what: string): ChartMetadata {
  const text = files.get('Chart.yaml');
  if (text === undefined) throw new ReplicationError('corrupt', `${what} has no Chart.yaml`);
  const written = parseHelmYaml(text.toString('utf8'), `Chart.yaml of ${what}`);
  const requirements = files.get('requirements.yaml');
  const old = requirements && parseHelmYaml(requirements.toString('utf8'), `requirements.yaml of ${what}`);
  const parsed = ChartMetadata.safeParse(isMap(written) && isMap(old) ? { ...written, ...old } : written);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const where = issue === undefined ? '' : `: ${issue.path.join('.') || 'the document'}: ${issue.message}`;
    throw new ReplicationError('corrupt', `Chart.yaml of ${what} is not valid${where}`, { cause: parsed.error });
  }
  const { name, version } = parsed.data;
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\\'))
    throw new ReplicationError('corrupt', `Chart.yaml of ${what} has the invalid name ${JSON.stringify(name)}`);
  if (asVersion(version) === undefined)
    throw new ReplicationError('corrupt', `Chart.yaml of ${name} has the invalid version ${JSON.stringify(version)}`);
  return parsed.data;
}

function isMap(value: JsonLike | undefined): value is { readonly [key: string]: JsonLike } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

async function loadSubcharts(
  files: ReadonlyMap<string, Buffer>,
  parent: string,
  budget: Budget,
  depth: number,
): Promise<readonly Chart[]> {
  const charts: Chart[] = [];
  for (const [entry, content] of groupSubcharts(files)) {
    const what = `subchart ${entry} of ${parent}`;
    const packed = entry.endsWith('.tgz') ? content.get('') : undefined;
    if (packed !== undefined) {
      const limits = { ...chartArchiveLimits, maxTotalBytes: Math.max(1, budget.left) };
      const unpacked = await readArchive(packed, limits, what);
      budget.left -= sizeOf(unpacked.values());
      charts.push(await loadChart(insideFolder(unpacked), what, budget, depth + 1));
    } else if (content.has('Chart.yaml')) {
      charts.push(await loadChart(content, what, budget, depth + 1));
    }
  }
  return charts;
}

/** Files of charts/ by their first path segment; a packed subchart is the one file with the path ''. */
function groupSubcharts(files: ReadonlyMap<string, Buffer>): ReadonlyMap<string, ReadonlyMap<string, Buffer>> {
  const groups = new Map<string, Map<string, Buffer>>();
  for (const [path, content] of files) {
    const inside = /^charts\/(?![_.])([^/]+)(?:\/(.+))?$/s.exec(path);
    if (inside === null) continue;
    const [, entry = '', rest = ''] = inside;
    if (rest === '' && !entry.endsWith('.tgz')) continue; // README.md, *.prov: not charts
    const group = groups.get(entry) ?? new Map<string, Buffer>();
    groups.set(entry, group.set(rest, content));
  }
  return groups;
}

/**
 * Each dependency that Chart.yaml declares takes the chart of its name (and version) under its alias; charts that are
 * only in the folder keep their names. helm pkg/chartutil/dependencies.go `processDependencyEnabled`.
 */
function nameSubcharts(charts: readonly Chart[], metadata: ChartMetadata): ReadonlyMap<string, Chart> {
  const named = new Map<string, Chart>();
  const dependencies = metadata.dependencies ?? [];
  for (const chart of charts) {
    if (!dependencies.some((dependency) => dependency.name === chart.name)) named.set(chart.name, chart);
  }
  for (const dependency of dependencies) {
    const chart = charts.find((each) => each.name === dependency.name && isCompatible(each, dependency.version));
    if (chart !== undefined) named.set(dependency.alias ?? dependency.name, chart);
  }
  return named;
}

function isCompatible(chart: Chart, constraint: string | undefined): boolean {
  const version = asVersion(chart.version);
  if (constraint === undefined || constraint === chart.version || version === undefined) return true;
  return parseConstraint(constraint)?.(version) ?? false;
}

function sizeOf(contents: Iterable<Uint8Array>): number {
  let total = 0;
  for (const content of contents) total += content.length;
  return total;
}
