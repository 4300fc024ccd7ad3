import * as z from 'zod';
import { Machine } from '../measure/machine.ts';
import { manifestFloor, profiles } from '../relay/profile.ts';
import { Run } from '../run.ts';
import { lackingText } from '../verify.ts';
import { type CaseSummary, summarize } from './summary.ts';
import { caseTable, caseTitle } from './table.ts';

/** What a benchmark leaves as JSON: every run, nothing rounded. Summaries can be made again from it. */
export const BenchReport = z.object({
  kind: z.literal('image-replication/bench'),
  version: z.literal(1),
  /** ISO 8601, UTC. */
  startedAt: z.string(),
  machine: Machine,
  /** Of the tools, and of the registry on both sides. */
  versions: z.record(z.string(), z.string()),
  settings: z.object({ scale: z.number(), seed: z.string(), repetitions: z.number() }),
  /** Manifests that a cold run and an incremental one have to put, by corpus. */
  manifests: z.record(z.string(), z.object({ cold: z.number(), incr: z.number() })),
  /** Ended before all was run. */
  interrupted: z.boolean(),
  runs: z.array(Run),
});
export type BenchReport = Readonly<z.infer<typeof BenchReport>>;

/** @param markdown else for a terminal */
export function renderReport(report: BenchReport, markdown: boolean): string {
  const parts = [markdown ? `${about(report).join('  \n')}\n` : `${about(report).join('\n')}\n`];
  for (const summary of summarize(report.runs)) {
    parts.push(markdown ? `### ${caseTitle(summary)}\n` : caseTitle(summary));
    const table = caseTable(summary, markdown);
    const notes = notesOf(report, summary).map((note) => `${markdown ? '- ' : '  '}${note}\n`);
    parts.push([table, ...(notes.length > 0 && markdown ? ['\n'] : []), ...notes].join(''));
  }
  return parts.join('\n');
}

function about({ machine, versions, settings, startedAt, interrupted }: BenchReport): readonly string[] {
  const memory = (machine.memoryBytes / 2 ** 30).toFixed(0);
  return [
    `${machine.cores} cores (${machine.cpu}), ${memory} GiB, ${machine.system}, Node ${machine.node}, ${startedAt.slice(0, 10)}.`,
    `${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}.`,
    `Medians of the complete ones among ${settings.repetitions} runs; ratio to the quickest peer; scale ${settings.scale}.`,
    ...(interrupted ? ['Interrupted: not everything was run.'] : []),
  ];
}

function notesOf(report: BenchReport, summary: CaseSummary): readonly string[] {
  const runs = report.runs.filter(
    ({ corpus, profile, scenario }) =>
      corpus === summary.corpus && profile === summary.profile && scenario === summary.scenario,
  );
  return [...floorNote(report, summary), ...noiseNote(runs, report.machine.cores), ...runs.flatMap(noteOf)];
}

function floorNote(report: BenchReport, { corpus, profile, scenario }: CaseSummary): readonly string[] {
  const counts = report.manifests[corpus];
  const rate = profiles[profile].target.manifestPuts;
  if (rate === undefined || counts === undefined || scenario === 'noop') return [];
  const floor = manifestFloor(profiles[profile], counts[scenario]) ?? 0;
  return [
    `floor ${floor.toFixed(1)} s: ${counts[scenario]} manifests, ${rate.perSecond} a second after a burst of ${rate.burst}`,
  ];
}

/** A tenth of the machine used by others can make a tool look a tenth worse than it is. */
const noisyShare = 0.1;

function noiseNote(runs: readonly Run[], cores: number): readonly string[] {
  const shares = runs.map(({ othersCpuSeconds = 0, seconds }) => othersCpuSeconds / (seconds * cores));
  const noisy = shares.filter((each) => each > noisyShare);
  if (noisy.length === 0) return [];
  const most = Math.round(Math.max(...noisy) * 100);
  return [`other programs used up to ${most} % of the machine, during ${noisy.length} of ${runs.length} runs`];
}

function noteOf(run: Run): readonly string[] {
  const name = `${run.title}, repetition ${run.repetition}`;
  return [
    ...(run.refused === undefined ? [] : [`${name}: refused, ${run.refused}`]),
    ...(run.complete ? [] : [`${name}: ${incompleteText(run)}`]),
  ];
}

function incompleteText(run: Run): string {
  const lacking = lackingText(run.lacking);
  const ended = run.timedOut ? 'stopped at the time limit' : `exit status ${run.exitStatus ?? 'none'}`;
  if (lacking !== '') return `incomplete, ${lacking} lacking; ${ended}`;
  return run.exitStatus === 0 ? 'follows an incomplete run' : ended;
}
