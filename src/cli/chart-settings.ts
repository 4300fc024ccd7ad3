import { readFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseHelmYaml } from '../charts/helm-yaml.ts';
import { isMap, merge, type Values } from '../charts/values/tree.ts';
import { ReplicationError, ReplicationErrors, toReplicationError } from '../model/errors.ts';
import { fileProblem } from '../model/file-problem.ts';
import { parsePlatform } from '../model/platform.ts';
import { isRepository } from '../model/reference.ts';
import { writeFiles } from '../publish/files.ts';
import { stampOf, type TagPolicy } from '../sources/chart/naming.ts';
import { openValues, type ValuesFile } from '../sources/chart/updated-values.ts';
import { type EnvironmentVariables, splitList, variable } from './environment.ts';

/** What the document of sync_to_aws_ecr.sh has as defaults. */
const chartDefaults = {
  chart: 'runwhen-contrib/runwhen-local',
  prefix: 'test-rwl-runwhen',
  branch: 'main',
  region: 'us-west-2',
  codeCollections:
    'https://raw.githubusercontent.com/runwhen-contrib/codecollection-registry/{branch}/codecollections.yaml',
  codeCollectionRegistry: 'us-west1-docker.pkg.dev/runwhen-nonprod-beta/public-images',
  updatedValues: 'updated_values.yaml',
  kubeVersion: '1.34',
} as const;

const dataFile = (name: string): string =>
  fileURLToPath(new URL(`../../data/application-chart/${name}`, import.meta.url));

/** Files that come with the program. */
export const chartDataFiles = {
  images: dataFile('static-images.json'),
  codeCollections: dataFile('static-code-collections.json'),
  repositories: dataFile('chart-repositories.json'),
} as const;

/** Options of the job, as the command line gives them. */
export interface ChartCommand {
  readonly chart?: string | undefined;
  readonly repo?: string | undefined;
  readonly chartVersion?: string | undefined;
  readonly values?: readonly string[] | undefined;
  readonly extraImages?: string | undefined;
  readonly branch?: string | undefined;
  readonly prefix?: string | undefined;
  readonly dateTags?: boolean | undefined;
  readonly latest?: boolean | undefined;
  readonly arch?: string | undefined;
  readonly platforms?: string | undefined;
  readonly registry?: string | undefined;
  readonly target?: string | undefined;
  readonly region?: string | undefined;
  /** `false`: none. */
  readonly codeCollections?: string | false | undefined;
  readonly codeCollectionRegistry?: string | undefined;
  readonly staticImages?: string | undefined;
  readonly staticCodeCollections?: string | undefined;
  readonly allowFallback?: boolean | undefined;
  readonly kubeVersion?: string | undefined;
  readonly apiVersions?: string | undefined;
  readonly uncontrolled?: string | undefined;
  readonly keepRendered?: boolean | undefined;
  readonly updatedValues?: string | undefined;
  /** Lock that is replicated instead. */
  readonly lock?: string | undefined;
  readonly plan?: boolean | undefined;
  readonly verbose?: boolean | undefined;
  readonly out: string;
}

/** Where the images of code collections come from: their list, only what is shipped, or nowhere. */
export type CodeCollectionChoice = 'discover' | 'static' | 'none';

export interface ChartSettings {
  /** Empty: no chart, the static list. */
  readonly chart: { readonly chart: string; readonly repository: string | undefined; readonly version: string };
  readonly valuesFiles: readonly ValuesFile[];
  /** All of them, merged as helm merges them. */
  readonly values: Values;
  readonly extraImages: { readonly path: string; readonly text: string } | undefined;
  /** Without slashes at its ends; may be empty. */
  readonly prefix: string;
  readonly tags: TagPolicy;
  readonly platforms: 'all' | readonly string[];
  readonly region: string;
  readonly branch: string;
  readonly codeCollections: CodeCollectionChoice;
  readonly codeCollectionsPlace: string;
  readonly codeCollectionRegistry: string;
  readonly staticImages: string;
  readonly staticCodeCollections: string;
  readonly allowFallback: boolean;
  readonly kubeVersion: string;
  readonly apiVersions: readonly string[];
  readonly uncontrolled: 'WARN' | 'FAIL';
  readonly updatedValues: string;
}

/** Checks the options and reads the files that they name. @throws ReplicationErrors `usage`, everything that is wrong */
export async function chartSettings(
  command: ChartCommand,
  env: EnvironmentVariables,
  now: Date,
): Promise<ChartSettings> {
  const problems: ReplicationError[] = [];
  const check = async <T>(read: () => T | Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await read();
    } catch (error) {
      problems.push(...(error instanceof ReplicationErrors ? error.errors : [toReplicationError(error)]));
      return otherwise;
    }
  };
  const valuesFiles = await check(() => readValues(command.values ?? []), []);
  const settings: ChartSettings = {
    chart: {
      chart: command.chart ?? chartDefaults.chart,
      repository: command.repo,
      version: command.chartVersion ?? '',
    },
    valuesFiles,
    values: await check(() => valuesFiles.reduce<Values>((all, file) => merge(all, valuesOf(file)), {}), {}),
    extraImages: await check(() => readExtraImages(command.extraImages), undefined),
    prefix: await check(() => prefixOf(command), ''),
    tags: await check(() => tagPolicy(command, now), { kind: 'same' } as const),
    platforms: await check(() => platformsOf(command), 'all' as const),
    region: command.region ?? variable(env, 'AWS_REGION', 'AWS_DEFAULT_REGION') ?? chartDefaults.region,
    branch: command.branch ?? chartDefaults.branch,
    codeCollections: codeCollectionChoice(command),
    codeCollectionsPlace:
      typeof command.codeCollections === 'string' ? command.codeCollections : chartDefaults.codeCollections,
    codeCollectionRegistry: command.codeCollectionRegistry ?? chartDefaults.codeCollectionRegistry,
    staticImages: command.staticImages ?? chartDataFiles.images,
    staticCodeCollections: command.staticCodeCollections ?? chartDataFiles.codeCollections,
    allowFallback: command.allowFallback === true,
    kubeVersion: command.kubeVersion ?? chartDefaults.kubeVersion,
    apiVersions: splitList(command.apiVersions ?? ''),
    uncontrolled: await check(() => uncontrolledOf(command), 'WARN' as const),
    updatedValues: command.updatedValues ?? chartDefaults.updatedValues,
  };
  if (problems.length > 0) throw new ReplicationErrors(problems);
  return settings;
}

/** `-c ""` is a run from the static lists alone, unless it says where code collections are. */
function codeCollectionChoice({ chart, branch, codeCollections }: ChartCommand): CodeCollectionChoice {
  if (codeCollections === false) return 'none';
  return chart === '' && branch === undefined && codeCollections === undefined ? 'static' : 'discover';
}

async function readValues(paths: readonly string[]): Promise<readonly ValuesFile[]> {
  return Promise.all(paths.map(async (path) => ({ path, text: await readText(path, '--values') })));
}

function valuesOf(file: ValuesFile): Values {
  openValues(file);
  const values = parseHelmYaml(file.text.replace(/^\uFEFF/, ''), file.path);
  return isMap(values) ? values : {};
}

async function readExtraImages(path: string | undefined): Promise<ChartSettings['extraImages']> {
  return path === undefined || path === '' ? undefined : { path, text: await readText(path, '--extra-images') };
}

async function readText(path: string, option: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new ReplicationError('usage', `cannot read the file ${path}: ${fileProblem(cause)}`, {
      reference: path,
      remedy: `name a readable file with ${option}`,
      cause,
    });
  }
}

function prefixOf({ prefix, target }: ChartCommand): string {
  const text = (prefix ?? (target === undefined ? chartDefaults.prefix : '')).replace(/^\/+|\/+$/g, '');
  if (text === '' || isRepository(text)) return text;
  throw new ReplicationError('usage', `"${text}" is no prefix of repositories`, {
    remedy: 'write lower-case letters and digits with . _ - / between them, such as my-company/runwhen',
  });
}

function tagPolicy({ dateTags, latest }: ChartCommand, now: Date): TagPolicy {
  if (dateTags === true && latest === true)
    throw new ReplicationError('usage', '--date-tags and --latest do not go together', {
      remedy: 'leave out one of them',
    });
  if (dateTags === true) return { kind: 'stamp', stamp: stampOf(now) };
  return { kind: latest === true ? 'newest' : 'same' };
}

function platformsOf({ arch, platforms }: ChartCommand): 'all' | readonly string[] {
  if (arch !== undefined && platforms !== undefined)
    throw new ReplicationError('usage', '--arch and --platforms do not go together', {
      remedy: 'leave out one of them',
    });
  const list = splitList(arch ?? platforms ?? 'all').map((each) => (each.includes('/') ? each : `linux/${each}`));
  if (list.length === 0 || list.includes('linux/all')) return 'all';
  for (const each of list) parsePlatform(each);
  return list;
}

function uncontrolledOf({ uncontrolled = 'WARN' }: ChartCommand): 'WARN' | 'FAIL' {
  const text = uncontrolled.toUpperCase();
  if (text === 'WARN' || text === 'FAIL') return text;
  throw new ReplicationError('usage', `--uncontrolled is "${uncontrolled}"`, { remedy: 'write warn or fail' });
}

/** The updated values file: a path of its own, or a name in the folder of the run's files. @returns its path */
export async function writeUpdatedValues(
  text: string,
  { updatedValues: name }: ChartSettings,
  out: string,
): Promise<readonly string[]> {
  const path = name.includes('/') ? resolve(name) : join(resolve(out), name);
  return writeFiles(dirname(path), { [basename(path)]: text });
}
