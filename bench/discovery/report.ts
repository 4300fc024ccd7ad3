import * as z from 'zod';
import { Machine } from '../measure/machine.ts';
import { machineText, renderTable } from '../report/figures.ts';
import { type ChartCost, DiscoveryRun } from './measure.ts';

/** One measurement, as `--json` writes it. */
export const DiscoveryReport = DiscoveryRun.extend({
  kind: z.literal('image-replication/bench-discovery'),
  version: z.literal(1),
  startedAt: z.string(),
  machine: Machine,
  helm: z.string(),
  kubeVersion: z.string(),
});
export type DiscoveryReport = Readonly<z.infer<typeof DiscoveryReport>>;

const titles = ['chart', 'version', 'references', 'renders', 'helm s', 'seconds'] as const;

function rowOf({ chart, version, references, renders, helmSeconds, seconds }: ChartCost): readonly string[] {
  return [chart, version, String(references), String(renders), helmSeconds.toFixed(2), seconds.toFixed(2)];
}

/** The sum over all charts in a sentence or two: renders and seconds per chart, and how well the cores were used. */
function summaryOf({ charts, seconds, concurrency, parallel, machine }: DiscoveryReport): string {
  const renders = charts.map((each) => each.renders);
  const mean = renders.reduce((sum, each) => sum + each, 0) / charts.length;
  const helm = charts.reduce((sum, { helmSeconds }) => sum + helmSeconds, 0) / Math.max(1, mean * charts.length);
  return (
    `${charts.length} charts in ${seconds.toFixed(1)} s, ${(seconds / charts.length).toFixed(2)} s each; ` +
    `${mean.toFixed(1)} renders each (at most ${Math.max(...renders)}), ${helm.toFixed(2)} s a render; ` +
    `${parallel.toFixed(1)} of ${concurrency} renders at a time on ${machine.cores} cores.`
  );
}

/** The costliest chart first; as a table for a terminal, or in GitHub Flavored Markdown. */
export function renderDiscovery(report: DiscoveryReport, markdown: boolean): string {
  const { machine, helm, kubeVersion, startedAt, charts } = report;
  const rows = [...charts].sort((a, b) => b.helmSeconds - a.helmSeconds).map(rowOf);
  const head = `${machineText(machine)}, helm ${helm}, Kubernetes ${kubeVersion}, ${startedAt.slice(0, 10)}.`;
  const refused = charts.flatMap(({ chart, version, refused: why }) =>
    why === undefined
      ? []
      : [`${markdown ? '- ' : '  '}${chart} ${version} was not rendered: ${why.split('\n')[0] ?? ''}`],
  );
  const parts = [head, summaryOf(report), renderTable({ titles, rows, textColumns: 2 }, markdown), ...refused];
  return `${parts.join(markdown ? '\n\n' : '\n')}\n`;
}
