import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import pLimit from 'p-limit';
import type { Helm } from '../helm.ts';
import { HelmLimitError, runHelm, withHelmHome } from '../helm-process.ts';
import type { Renderer, RenderLimits, RenderOutcome, RenderRequest } from './port.ts';
import { readRefusal, type Refusal } from './refusal.ts';
import { asksForUpgrade, joinReleases } from './releases.ts';
import { isCrdFile, joinParts, splitRender } from './split.ts';
import { templateTexts } from './template-texts.ts';

/**
 * Renders a chart as `helm template` does, with the real helm 3 or 4, in a sandbox (helm-process.ts): no cluster (`lookup`
 * finds nothing), no network, own folders, limits of time, output and memory. What the chart or helm refuses is a result.
 * @throws ReplicationError `cancelled`, `storage` when helm cannot be started
 */
export async function renderChart(
  helm: Helm,
  request: RenderRequest,
  limits: RenderLimits = {},
): Promise<RenderOutcome> {
  const started = performance.now();
  const first = await runTemplate(helm, request, limits, false);
  if (first.kind === 'output') return rendered(first.stdout, warningsOf(first.stderr), started);
  const refusal = first.kind === 'limit' ? first.refusal : await explain(first.said, request.chart);
  if (refusal.kind !== 'schema-unreachable') return { kind: 'refused', refusal, seconds: since(started) };
  const second = await runTemplate(helm, request, limits, true);
  if (second.kind !== 'output') return { kind: 'refused', refusal, seconds: since(started) };
  const note = `values.schema.json was not checked, as it needs the network, and so would installing the chart: ${refusal.message.replaceAll('\n', ' ')}`;
  return rendered(second.stdout, [...warningsOf(second.stderr), note], started);
}

/**
 * Renders on all cores and no more: helm loads one core fully, and more of them at a time only need more memory.
 * @param concurrency renders at a time over all charts; the number of cores unless told
 */
export function createRenderer(
  helm: Helm,
  limits: RenderLimits = {},
  concurrency: number = availableParallelism(),
): Renderer {
  const limit = pLimit(concurrency);
  const once = (request: RenderRequest): Promise<RenderOutcome> => limit(() => renderChart(helm, request, limits));
  const asks = asksForUpgrade();
  return {
    async render(request) {
      if (request.isUpgrade !== undefined || !(await asks(request))) return once(request);
      const releases = [once({ ...request, isUpgrade: false }), once({ ...request, isUpgrade: true })] as const;
      return joinReleases(...(await Promise.all(releases)));
    },
  };
}

type Run =
  | { readonly kind: 'output'; readonly stdout: string; readonly stderr: string }
  | { readonly kind: 'error'; readonly said: string }
  | { readonly kind: 'limit'; readonly refusal: Refusal };

async function runTemplate(
  helm: Helm,
  request: RenderRequest,
  limits: RenderLimits,
  skipSchema: boolean,
): Promise<Run> {
  return withHelmHome(async (home) => {
    const args = [...(await templateArguments(request, home)), ...(skipSchema ? ['--skip-schema-validation'] : [])];
    try {
      const exit = await runHelm(helm.path, {
        args,
        timeoutMs: limits.timeoutMs ?? 60_000,
        maxOutputBytes: limits.maxOutputBytes ?? 64 * 1024 * 1024,
        maxMemoryBytes: limits.maxMemoryBytes ?? 1536 * 1024 * 1024,
        signal: request.signal,
        home,
      });
      if (exit.code === 0) return { kind: 'output', stdout: exit.stdout, stderr: exit.stderr };
      return { kind: 'error', said: reasonOf(exit.stderr, home) };
    } catch (error) {
      if (!(error instanceof HelmLimitError)) throw error;
      const refusal = { message: error.message, template: undefined, line: undefined, values: [] };
      return { kind: 'limit', refusal: { kind: error.limit, ...refusal } };
    }
  });
}

async function templateArguments(request: RenderRequest, home: string): Promise<readonly string[]> {
  const chart = typeof request.chart === 'string' ? request.chart : join(home, 'chart.tgz');
  if (typeof request.chart !== 'string') await writeFile(chart, request.chart, { mode: 0o600 });
  const files: string[] = [];
  for (const [number, values] of (request.values ?? []).entries()) {
    const file = join(home, `values-${number}.json`);
    await writeFile(file, JSON.stringify(values), { mode: 0o600 });
    files.push(file);
  }
  return [
    'template',
    request.releaseName ?? 'release',
    chart,
    `--namespace=${request.namespace ?? 'image-replication'}`,
    `--kube-version=${fullVersion(request.kubeVersion)}`,
    '--include-crds',
    ...(request.isUpgrade === true ? ['--is-upgrade'] : []),
    ...(request.apiVersions ?? []).map((version) => `--api-versions=${version}`),
    ...files.flatMap((file) => ['--values', file]),
  ];
}

/** Clusters say `v1.34.1`: templates that take the version apart may count on three numbers. */
function fullVersion(kubeVersion: string): string {
  return /^v?\d+\.\d+$/.test(kubeVersion) ? `${kubeVersion}.0` : kubeVersion;
}

function rendered(stdout: string, warnings: readonly string[], started: number): RenderOutcome {
  const parts = splitRender(stdout);
  const text = joinParts(parts.filter(({ template }) => !isCrdFile(template)));
  const crds = joinParts(parts.filter(({ template }) => isCrdFile(template)));
  return { kind: 'rendered', text, crds, warnings, seconds: since(started) };
}

/** The chart's sources may themselves be what is wrong with it: then helm's words stand alone. */
async function explain(said: string, chart: string | Uint8Array): Promise<Refusal> {
  try {
    return readRefusal(said, await templateTexts(chart));
  } catch {
    return readRefusal(said, new Map());
  }
}

function since(started: number): number {
  return (performance.now() - started) / 1000;
}

const noise = /^(?:WARNING:|walk\.go|coalesce\.go|level=WARN|I\d{4} )/;

/** What helm said, without its warnings, advice and our temporary paths; at most 2,000 characters. */
function reasonOf(stderr: string, home: string): string {
  const said = stderr
    .replaceAll(`${home}/`, '')
    .split('\n')
    .filter((line) => line.trim() !== '' && !noise.test(line) && !line.startsWith('Use --debug flag'))
    .join('\n')
    .replace(/^Error: /, '');
  return said === '' ? 'it gave no reason' : said.slice(0, 2000);
}

/** At most 20 of helm's warnings; the one on file modes of a kubeconfig cannot occur, and symbolic links are not news. */
function warningsOf(stderr: string): readonly string[] {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('walk.go'));
  return lines.slice(0, 20).map((line) => line.slice(0, 500));
}
