import type { ChartIsolation } from '../model/isolation.ts';
import type { Plan } from '../model/plan.ts';
import type { Failure, Totals } from '../model/result.ts';
import { SecretMask } from '../model/secrets.ts';
import { masked } from './json-lines.ts';
import type { RunRecord } from './record.ts';
import { reportArtifacts } from './report-data-artifacts.ts';
import { reportChart, reportGaps } from './report-data-charts.ts';
import { reportRerun } from './report-data-rerun.ts';
import {
  type ArtifactOutcome,
  type ReportArtifact,
  type ReportChart,
  ReportData,
  type ReportRemedy,
  reportVersion,
  type Standing,
} from './report-data.ts';

export interface ReportInput {
  /** The run, after it has ended. */
  readonly record: RunRecord;
  /** Jobs without one are told by their outcomes. */
  readonly plan?: Plan | undefined;
  readonly charts?: readonly ChartIsolation[] | undefined;
  /** What lies at the target: bytes of all manifests and blobs, by artifact (source reference, `chart <name> <version>`). */
  readonly sizes?: ReadonlyMap<string, number> | undefined;
  /** Ways to reach what no value controls, each tried. */
  readonly remedies?: readonly ReportRemedy[] | undefined;
  /** Takes secrets out of every text. */
  readonly mask?: SecretMask | undefined;
}

/** Puts together what a report tells. Pure: the same input gives the same report. */
export function reportData(input: ReportInput): ReportData {
  const { record, plan } = input;
  const charts = (input.charts ?? []).map(reportChart);
  const artifacts = withSizes(reportArtifacts(plan, record.outcomes, charts), input.sizes);
  const examined = new Set(charts.map(({ key }) => key));
  const data: ReportData = {
    kind: 'image-replication/report',
    version: reportVersion,
    job: record.job ?? 'unnamed',
    target: record.target,
    started: record.started,
    finished: record.finished,
    seconds: secondsBetween(record.started, record.finished),
    verdict: verdictOf(record),
    summary: summaryOf(artifacts, charts),
    artifacts: [...artifacts],
    charts,
    unexamined: (plan?.charts ?? []).map(({ key }) => key).filter((key) => !examined.has(key)),
    gaps: [...reportGaps(charts, input.remedies ?? [])],
    failures: record.failures.map(plainFailure),
    rerun: reportRerun(artifacts, charts, record),
    notices: [...record.notices],
    phases: phasesOf(record),
    retries: [...record.retries],
    totals: record.totals === undefined ? undefined : plainTotals(record.totals),
    files: [...record.files],
  };
  // Read back, so that everything outside the format stays out, and nothing is shared with the input.
  return ReportData.parse(masked(data, input.mask ?? new SecretMask()));
}

function withSizes(
  artifacts: readonly ReportArtifact[],
  sizes: ReportInput['sizes'] = new Map(),
): readonly ReportArtifact[] {
  return artifacts.map((each) => ({ ...each, size: sizes.get(each.artifact) }));
}

function verdictOf(record: RunRecord): ReportData['verdict'] {
  if (record.finished === undefined) return 'unfinished';
  if (!record.ok) return 'failed';
  const planOnly = record.planned !== undefined && !record.phases.some(({ phase }) => phase === 'copy');
  return planOnly ? 'planned' : 'done';
}

function summaryOf(artifacts: readonly ReportArtifact[], charts: readonly ReportChart[]): ReportData['summary'] {
  const outcomes = (kind: ReportArtifact['kind']): Record<ArtifactOutcome, number> => {
    const counts = { copied: 0, unchanged: 0, failed: 0, open: 0 };
    for (const artifact of artifacts) if (artifact.kind === kind) counts[artifact.outcome] += 1;
    return counts;
  };
  const references: Record<Standing, number> = { proven: 0, allowed: 0, unproven: 0, gap: 0, failed: 0 };
  for (const { standing } of charts.flatMap((chart) => chart.references)) references[standing] += 1;
  return {
    images: outcomes('image'),
    charts: outcomes('chart'),
    references,
    holding: charts.filter(({ holds }) => holds).length,
    conditional: charts.reduce((sum, { conditional }) => sum + conditional.length, 0),
    rejected: charts.reduce((sum, { rejected }) => sum + rejected.length, 0),
    bytesSent: artifacts.reduce((sum, { bytesSent }) => sum + (bytesSent ?? 0), 0),
    ...(artifacts.some(({ size }) => size !== undefined)
      ? { size: artifacts.reduce((sum, { size }) => sum + (size ?? 0), 0) }
      : {}),
  };
}

/** A phase lasts until the next one begins. */
function phasesOf({ phases, finished }: RunRecord): ReportData['phases'] {
  return phases.map(({ phase, started }, index) => ({
    phase,
    started,
    seconds: secondsBetween(started, phases[index + 1]?.started ?? finished),
  }));
}

function secondsBetween(start: string, end: string | undefined): number | undefined {
  return end === undefined ? undefined : Math.max(0, (Date.parse(end) - Date.parse(start)) / 1000);
}

function plainFailure(failure: Failure): ReportData['failures'][number] {
  return { ...failure };
}

function plainTotals(totals: Totals): NonNullable<ReportData['totals']> {
  return { ...totals };
}
