import * as z from 'zod';
import { formatBytes } from '../../src/report/format.ts';
import { Machine } from '../measure/machine.ts';
import { machineText, renderTable } from '../report/figures.ts';
import { putImage } from '../relay/profile.ts';
import { FleetRun } from './measure.ts';

/** One measurement, as `--json` writes it. */
export const FleetReport = z.object({
  kind: z.literal('image-replication/bench-fleet'),
  version: z.literal(1),
  startedAt: z.string(),
  machine: Machine,
  seed: z.string(),
  scale: z.number(),
  /** One worker's connections to the source, and what each of them carries. */
  concurrency: z.number().int(),
  connection: z.object({ rttMs: z.number(), bytesPerSecond: z.number() }),
  corpora: z.array(
    z.object({
      name: z.string(),
      images: z.number().int(),
      manifests: z.number().int(),
      /** Unique blobs. */
      bytes: z.number(),
      runs: z.array(FleetRun),
    }),
  ),
});
export type FleetReport = Readonly<z.infer<typeof FleetReport>>;
type Corpus = FleetReport['corpora'][number];

const titles = [
  ...['workers', 'budget', 'seconds', 'speed-up', 'floor of writes', 'bytes factor', '429', 'of PUTs'],
  ...['DynamoDB requests', 'a manifest', 'complete'],
] as const;

/** Seconds that ECR's limit on writes alone asks for. */
export function writeFloor(manifests: number): number {
  return Math.max(0, manifests - putImage.burst) / putImage.perSecond;
}

function rowOf(run: FleetRun, { runs, bytes }: Corpus): readonly string[] {
  const one = runs.find(({ workers, budget }) => workers === 1 && budget);
  const { manifests, refused, dynamodbRequests } = run;
  return [
    ...[String(run.workers), run.budget ? 'shared' : 'none', run.seconds.toFixed(1)],
    ...[one === undefined ? '–' : (one.seconds / run.seconds).toFixed(2), writeFloor(manifests).toFixed(1)],
    ...[
      (run.sourceBytes / bytes).toFixed(3),
      String(refused),
      `${((100 * refused) / (manifests + refused)).toFixed(1)} %`,
    ],
    ...[String(dynamodbRequests), (dynamodbRequests / manifests).toFixed(2), run.complete ? 'yes' : 'NO'],
  ];
}

/** A row for each run, a table for each corpus; for a terminal, or in GitHub Flavored Markdown. */
export function renderFleet(report: FleetReport, markdown: boolean): string {
  const { machine, corpora, startedAt, concurrency, connection } = report;
  const head =
    `${machineText(machine)}, ${startedAt.slice(0, 10)}. ` +
    `A worker has ${concurrency} connections of ${formatBytes(connection.bytesPerSecond)}/s, ${connection.rttMs} ms away.`;
  const parts = corpora.flatMap((corpus) => {
    const about = `${corpus.name}: ${corpus.images} images, ${corpus.manifests} manifests, ${formatBytes(corpus.bytes)}`;
    const rows = corpus.runs.map((run) => rowOf(run, corpus));
    return [markdown ? `### ${about}` : about, renderTable({ titles, rows, textColumns: 0 }, markdown)];
  });
  return `${[head, ...parts].join(markdown ? '\n\n' : '\n')}\n`;
}
