import * as z from 'zod';
import { formatBytes } from '../../src/report/format.ts';
import { Machine } from '../measure/machine.ts';
import { machineText, renderTable } from '../report/figures.ts';
import { SplitRun } from './measure.ts';

/** One measurement, as `--json` writes it. */
export const ShardsReport = z.object({
  kind: z.literal('image-replication/bench-shards'),
  version: z.literal(1),
  startedAt: z.string(),
  machine: Machine,
  seed: z.string(),
  corpus: z.object({
    images: z.number().int(),
    manifests: z.number().int(),
    /** Unique ones. */
    blobs: z.number().int(),
    bytes: z.number(),
    /** As all images have them, each for itself. */
    referencedBytes: z.number(),
    largestImageBytes: z.number(),
  }),
  runs: z.array(SplitRun),
});
export type ShardsReport = Readonly<z.infer<typeof ShardsReport>>;

const titles = [
  ...['shards', 'longest', 'lower bound', 'ratio', 'bound by', 'bytes factor', 'dealt: ratio', 'bytes factor'],
  ...['bytes of a shard', 'manifests', 'split in', 'peak MiB', 'shards.json', 'as promised'],
] as const;

function rowOf(run: SplitRun): readonly string[] {
  const { seconds, lowerBound, dealt, bytes, manifests } = run;
  const ratio = (value: number): string => (lowerBound === 0 ? 1 : value / lowerBound).toFixed(3);
  return [
    ...[run.asked.startsWith('auto') ? `${run.shards} (${run.asked})` : String(run.shards), `${seconds.toFixed(0)} s`],
    ...[`${lowerBound.toFixed(0)} s`, ratio(seconds), run.bound, run.bytesFactor.toFixed(3)],
    ...[ratio(dealt.seconds), dealt.bytesFactor.toFixed(3), `${formatBytes(bytes[0])}–${formatBytes(bytes[1])}`],
    ...[manifests.join('–'), `${run.plannedIn.toFixed(1)} s`, (run.peakRssBytes / 2 ** 20).toFixed(0)],
    ...[formatBytes(run.fileBytes), run.wrong.length === 0 ? 'yes' : 'NO'],
  ];
}

/** A row for each number of shards; as a table for a terminal, or in GitHub Flavored Markdown. */
export function renderShards(report: ShardsReport, markdown: boolean): string {
  const { machine, corpus, runs, startedAt } = report;
  const { images, blobs, manifests, bytes, referencedBytes, largestImageBytes } = corpus;
  const text = (value: number): string => value.toLocaleString('en-US');
  const head = `${machineText(machine)}, ${startedAt.slice(0, 10)}.`;
  const about =
    `${text(images)} images, ${text(manifests)} manifests, ${text(blobs)} blobs of ${formatBytes(bytes)} ` +
    `(${formatBytes(referencedBytes)} with each image for itself), largest image ${formatBytes(largestImageBytes)}.`;
  const wrong = runs.flatMap((run) => run.wrong.map((why) => `${markdown ? '- ' : '  '}${run.shards} shards: ${why}`));
  const parts = [head, about, renderTable({ titles, rows: runs.map(rowOf), textColumns: 0 }, markdown), ...wrong];
  return `${parts.join(markdown ? '\n\n' : '\n')}\n`;
}
