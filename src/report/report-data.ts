import * as z from 'zod';
import { ChartIsolation, IsolatedReference } from '../model/isolation.ts';

/** Version of the report's format. */
export const reportVersion = 1;

const count = z.number().int().nonnegative();

export const ReportFailure = z.object({
  artifact: z.string(),
  side: z.enum(['source', 'target', 'module']),
  reference: z.string().optional(),
  digest: z.string().optional(),
  host: z.string().optional(),
  /** One of the codes of src/model/errors.ts. */
  code: z.string(),
  cause: z.string(),
  remedy: z.string().optional(),
});
export type ReportFailure = Readonly<z.infer<typeof ReportFailure>>;

/** What became of an artifact. `open`: planned, and not reached in this run. */
export const ArtifactOutcome = z.enum(['copied', 'unchanged', 'failed', 'open']);
export type ArtifactOutcome = z.infer<typeof ArtifactOutcome>;

/** One image or chart: what was asked for, and what became of it. */
export const ReportArtifact = z.object({
  kind: z.enum(['image', 'chart']),
  /** Source reference of an image, `chart <name> <version>` of a chart. */
  artifact: z.string(),
  /** Where it is read from: a reference, or the chart repository's address. */
  source: z.string(),
  /** Host of the source, port included; `docker.io` where none is written. */
  host: z.string(),
  targets: z.array(z.string()),
  platforms: z.union([z.literal('all'), z.array(z.string())]),
  /** Of what the target holds now. */
  digest: z.string().optional(),
  outcome: ArtifactOutcome,
  /** Bytes of all its manifests and blobs at the target, each counted once; absent where the run did not find out. */
  size: z.number().nonnegative().optional(),
  /** Bytes sent to the target in this run: what the target held already is not among them. */
  bytesSent: z.number().nonnegative().optional(),
  seconds: z.number().nonnegative().optional(),
  /** Keys of the charts that need it, sorted. */
  charts: z.array(z.string()),
  /** `file:line: path in it`, or as much of that as is known. */
  origins: z.array(z.string()),
  failures: z.array(ReportFailure),
});
export type ReportArtifact = Readonly<z.infer<typeof ReportArtifact>>;

/**
 * How a chart's reference stands. `proven`: the chart, pulled back from the target, names it there, and it is there.
 * `allowed`: its host is one that the cluster can reach. `gap`: it still leads out. `failed`: it should be at the target,
 * and is not. `unproven`: re-pointed, but not proven in this run.
 */
export const Standing = z.enum(['proven', 'allowed', 'unproven', 'gap', 'failed']);
export type Standing = z.infer<typeof Standing>;

export const ReportReference = IsolatedReference.extend({ standing: Standing, host: z.string() });
export type ReportReference = Readonly<z.infer<typeof ReportReference>>;

export const ReportChart = ChartIsolation.extend({ references: z.array(ReportReference) });
export type ReportChart = Readonly<z.infer<typeof ReportChart>>;

/** A way to reach references that no value controls, which was tried before it was offered. */
export const ReportRemedy = z.object({
  /** Key of the chart that it is for. */
  chart: z.string(),
  /** What it is, and how to use it, in a sentence. */
  text: z.string(),
  /** File that was written for it, where there is one. */
  file: z.string().optional(),
  /** References that it reaches. */
  reaches: z.array(z.string()),
});
export type ReportRemedy = Readonly<z.infer<typeof ReportRemedy>>;

/** A reference that the cluster would still take from elsewhere, or that is not proven to be at the target. */
export const ReportGap = z.object({
  chart: z.string(),
  reference: z.string(),
  standing: z.enum(['gap', 'failed', 'unproven']),
  why: z.string(),
  /** `template:line (object)` of each place. */
  places: z.array(z.string()),
  /** Where the image lies at the target, if it was copied all the same. */
  target: z.string().optional(),
  remedies: z.array(z.string()),
});
export type ReportGap = Readonly<z.infer<typeof ReportGap>>;

export const ReportTotals = z.object({
  bytesRead: z.number(),
  bytesWritten: z.number(),
  blobsRead: z.number(),
  blobsWritten: z.number(),
  blobsMounted: z.number(),
  manifestsWritten: z.number(),
  seconds: z.number(),
  /** Seconds of the copying during which each went on; they overlap. `limited`: a rate limit was waited for. */
  spent: z
    .object({
      reading: z.number(),
      writing: z.number(),
      limited: z.number(),
      /** Host whose limit it was, most of the time. */
      limitedBy: z.string().optional(),
      cpu: z.number(),
    })
    .optional(),
});

const Counts = z.object({ copied: count, unchanged: count, failed: count, open: count });

/** Everything that a report tells: the same as JSON, HTML and Markdown. Times are ISO 8601 in UTC. Free of secrets. */
export const ReportData = z.object({
  kind: z.literal('image-replication/report'),
  version: z.literal(reportVersion),
  job: z.string(),
  target: z.string().optional(),
  started: z.string(),
  finished: z.string().optional(),
  seconds: z.number().nonnegative().optional(),
  /** `planned`: a dry run that went well. `unfinished`: the run goes on, or ended without saying so. */
  verdict: z.enum(['done', 'failed', 'planned', 'unfinished']),
  summary: z.object({
    images: Counts,
    charts: Counts,
    references: z.object({ proven: count, allowed: count, unproven: count, gap: count, failed: count }),
    /** Charts whose isolation holds, of those that were examined. */
    holding: count,
    conditional: count,
    rejected: count,
    bytesSent: z.number().nonnegative(),
    /** Sum of the artifacts' sizes: what several of them share counts for each. Absent where none is known. */
    size: z.number().nonnegative().optional(),
  }),
  /** Failures first, then images by source and charts by key. */
  artifacts: z.array(ReportArtifact),
  charts: z.array(ReportChart),
  /** Keys of planned charts whose images were not looked for: there was no helm, or they could not be had. */
  unexamined: z.array(z.string()),
  gaps: z.array(ReportGap),
  failures: z.array(ReportFailure),
  rerun: z.object({
    /** Sources that are asked whether their tag has moved; what is named by digest is never asked about again. */
    tagsAsked: count,
    /** What it would do; empty: nothing, as long as no tag moves. */
    does: z.array(z.object({ artifact: z.string(), why: z.string() })),
  }),
  notices: z.array(z.object({ level: z.enum(['info', 'warning']), message: z.string() })),
  phases: z.array(z.object({ phase: z.string(), started: z.string(), seconds: z.number().nonnegative().optional() })),
  retries: z.array(z.object({ host: z.string(), reason: z.string(), count })),
  totals: ReportTotals.optional(),
  files: z.array(z.string()),
});
export type ReportData = Readonly<z.infer<typeof ReportData>>;

/** The report as JSON text. What could steer a terminal or reorder text is written as `\u…`, which means the same. */
export function jsonReport(data: ReportData): string {
  const text = JSON.stringify(data, null, 2);
  return `${text.replace(/(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, asEscapes)}\n`;
}

function asEscapes(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}
