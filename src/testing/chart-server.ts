import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { list } from 'tar';
import { parse, stringify } from 'yaml';
import * as z from 'zod';
import { type Answer, AnswerError } from './answer.ts';
import { FaultQueue, type FaultRule } from './faults.ts';
import { type Exchange, startHttpHost, type TlsFiles } from './http-host.ts';
import { basicCredentials } from './registry-auth.ts';
import { type RequestClass, type RequestFacts, RequestLog } from './request-log.ts';

/** A packaged chart as a repository serves it. */
export interface ChartPackage {
  /** `name-1.2.3.tgz` */
  readonly file: string;
  readonly bytes: Uint8Array;
  /** Provenance, served at `<file>.prov`. */
  readonly provenance?: string | undefined;
}

export interface ChartServerOptions {
  readonly charts?: readonly ChartPackage[] | undefined;
  /** Folder of .tgz and .prov files. */
  readonly directory?: string | undefined;
  readonly auth?: { readonly username: string; readonly password: string } | undefined;
  /**
   * URLs in the index: relative to it (default), absolute on this server, or absolute below another base
   * (`https://elsewhere.example/files`).
   */
  readonly urls?: 'relative' | 'absolute' | { readonly base: string } | undefined;
  /** Path that the repository lies under, such as `/charts`. */
  readonly path?: string | undefined;
  /** Digest in the index: as hex (default), with `sha256:` before it, wrong, or left out. */
  readonly digests?: 'hex' | 'prefixed' | 'wrong' | 'absent' | undefined;
  /** Entries that are written into the index as they are, beside the real ones (broken or yanked charts). */
  readonly extraEntries?: Readonly<Record<string, readonly unknown[]>> | undefined;
  readonly tls?: TlsFiles | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
}

export interface ChartServer {
  readonly host: string;
  /** Address of the repository, without trailing slash: what a data file names. */
  readonly url: string;
  readonly requests: RequestLog;
  readonly faults: FaultQueue;
  count(what: RequestClass): number;
  fail(rule: FaultRule): void;
  /** Adds a chart, or replaces the one with the same file name. */
  add(chart: ChartPackage): Promise<void>;
  close(): Promise<void>;
}

const ChartYaml = z.looseObject({ name: z.string(), version: z.string() });
type ChartYaml = z.infer<typeof ChartYaml>;

interface Served extends ChartPackage {
  readonly metadata: ChartYaml;
}

/**
 * Starts an HTTP chart repository: index.yaml, the packages, and their provenance.
 * https://helm.sh/docs/topics/chart_repository/
 */
export async function startChartServer(options: ChartServerOptions): Promise<ChartServer> {
  const requests = new RequestLog();
  const faults = new FaultQueue();
  const path = options.path ?? '';
  const charts = new Map<string, Served>();
  const add = async (chart: ChartPackage): Promise<void> => {
    charts.set(chart.file, { ...chart, metadata: await chartMetadata(chart.bytes) });
  };
  for (const chart of [...(options.charts ?? []), ...fromDirectory(options.directory)]) await add(chart);
  const host = await startHttpHost({
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    host: options.host,
    port: options.port,
    log: requests,
    faults,
    classify: (_method, url) => classify(url),
    handle: async (exchange) => answer(options, charts, path, `${host.url}${path}`, exchange),
  });
  return {
    host: host.host,
    url: `${host.url}${path}`,
    requests,
    faults,
    count: (what) => requests.count(what),
    fail: (rule) => faults.add(rule),
    add,
    close: () => host.close(),
  };
}

function classify(url: URL): RequestFacts {
  const reference = url.pathname.slice(url.pathname.lastIndexOf('/') + 1);
  if (reference === 'index.yaml') return { class: 'chart-index', reference };
  if (reference.endsWith('.tgz')) return { class: 'chart', reference };
  return { class: reference.endsWith('.prov') ? 'chart-provenance' : 'other', reference };
}

function answer(
  options: ChartServerOptions,
  charts: ReadonlyMap<string, Served>,
  path: string,
  base: string,
  { url, headers }: Exchange,
): Answer {
  checkAuth(options.auth, headers.authorization);
  const file = decodeURIComponent(url.pathname.startsWith(`${path}/`) ? url.pathname.slice(path.length + 1) : '');
  if (file === 'index.yaml') {
    return {
      status: 200,
      headers: { 'content-type': 'text/yaml' },
      body: indexYaml(options, [...charts.values()], base),
    };
  }
  const chart = charts.get(file);
  if (chart !== undefined) return { status: 200, headers: { 'content-type': 'application/gzip' }, body: chart.bytes };
  const provenance = charts.get(file.replace(/\.prov$/, ''))?.provenance;
  if (file.endsWith('.prov') && provenance !== undefined) return { status: 200, body: provenance };
  return { status: 404, headers: { 'content-type': 'text/plain' }, body: 'not found\n' };
}

function checkAuth(auth: ChartServerOptions['auth'], header: string | undefined): void {
  if (auth === undefined) return;
  const given = basicCredentials(header);
  if (given?.username === auth.username && given.password === auth.password) return;
  throw new AnswerError({
    status: 401,
    headers: { 'www-authenticate': 'Basic realm="charts"' },
    body: 'unauthorized\n',
  });
}

function indexYaml(options: ChartServerOptions, charts: readonly Served[], base: string): string {
  const entries: Record<string, unknown[]> = {};
  for (const [name, extra] of Object.entries(options.extraEntries ?? {})) entries[name] = [...extra];
  for (const { file, bytes, metadata } of charts) {
    const hex = createHash('sha256').update(bytes).digest('hex');
    const digest = { hex, prefixed: `sha256:${hex}`, wrong: '0'.repeat(64), absent: undefined }[
      options.digests ?? 'hex'
    ];
    const urls = [urlOf(options.urls ?? 'relative', base, file)];
    const entry = { ...metadata, urls, created: '2026-01-01T00:00:00Z', ...(digest === undefined ? {} : { digest }) };
    (entries[metadata.name] ??= []).push(entry);
  }
  return stringify({ apiVersion: 'v1', entries, generated: '2026-01-01T00:00:00Z' });
}

function urlOf(urls: NonNullable<ChartServerOptions['urls']>, base: string, file: string): string {
  const name = encodeURIComponent(file);
  if (urls === 'relative') return name;
  return `${urls === 'absolute' ? base : urls.base}/${name}`;
}

function fromDirectory(directory: string | undefined): readonly ChartPackage[] {
  if (directory === undefined) return [];
  const files = readdirSync(directory);
  return files
    .filter((file) => file.endsWith('.tgz'))
    .sort()
    .map((file) => ({
      file,
      bytes: readFileSync(join(directory, file)),
      provenance: files.includes(`${file}.prov`) ? readFileSync(join(directory, `${file}.prov`), 'utf8') : undefined,
    }));
}

/** Chart.yaml of a package: the one directly below the archive's top folder. */
async function chartMetadata(bytes: Uint8Array): Promise<ChartYaml> {
  const chunks: Buffer[] = [];
  const parser = list({
    onReadEntry: (entry) => {
      if (/^[^/]+\/Chart\.yaml$/.test(entry.path)) entry.on('data', (chunk: Buffer) => chunks.push(chunk));
    },
  });
  const ended = new Promise<void>((resolve, reject) => {
    parser.on('end', resolve);
    parser.on('error', reject);
  });
  parser.end(Buffer.from(bytes));
  await ended;
  return ChartYaml.parse(parse(Buffer.concat(chunks).toString('utf8')));
}
