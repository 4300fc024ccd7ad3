import * as z from 'zod';
import type { Helm } from '../../src/charts/helm.ts';
import { isolateChart } from '../../src/charts/isolation/isolate.ts';
import type { Renderer } from '../../src/charts/render/port.ts';
import { createRenderer } from '../../src/charts/render/render-chart.ts';
import type { BenchChart } from './charts.ts';

/** What finding the images of one chart, and the values that move them, has cost. */
export const ChartCost = z.object({
  chart: z.string(),
  version: z.string(),
  references: z.number().int(),
  /** Times that helm ran. */
  renders: z.number().int(),
  /** Of helm, all its runs for this chart together. */
  helmSeconds: z.number(),
  /** From its start to its end, while other charts were worked on as well. */
  seconds: z.number(),
  /** Why no images were looked for. */
  refused: z.string().optional(),
});
export type ChartCost = Readonly<z.infer<typeof ChartCost>>;

export const DiscoveryRun = z.object({
  charts: z.array(ChartCost),
  /** Of the clock, for all charts. */
  seconds: z.number(),
  /** Renders at a time at most. */
  concurrency: z.number().int(),
  /** Renders at a time on average: near `concurrency` when all of it was used. */
  parallel: z.number(),
});
export type DiscoveryRun = Readonly<z.infer<typeof DiscoveryRun>>;

export interface DiscoverySettings {
  readonly helm: Helm;
  readonly charts: readonly BenchChart[];
  readonly kubeVersion: string;
  readonly concurrency: number;
  readonly signal: AbortSignal;
}

/** What targets begin with; nothing is written there. */
const prefix = '123456789012.dkr.ecr.eu-west-1.amazonaws.com/bench-';

/**
 * Plans charts as the EKS job does, all at once, with as many renders at a time as are asked for. No registry is asked: what
 * looks like an image counts as one, so the figures are rather too high than too low.
 */
export async function measureDiscovery(settings: DiscoverySettings): Promise<DiscoveryRun> {
  const { helm, charts, concurrency } = settings;
  const renderer = createRenderer(helm, {}, concurrency);
  const started = performance.now();
  const costs = await Promise.all(charts.map((chart) => costOf(chart, renderer, settings)));
  const seconds = since(started);
  const busy = costs.reduce((sum, { helmSeconds }) => sum + helmSeconds, 0);
  return { charts: costs, seconds, concurrency, parallel: busy / seconds };
}

async function costOf(
  { archive, chart, values }: BenchChart,
  renderer: Renderer,
  { kubeVersion, signal }: DiscoverySettings,
): Promise<ChartCost> {
  const { counted, helmSeconds } = counting(renderer);
  const started = performance.now();
  const { isolation } = await isolateChart({
    key: chart.name,
    chart,
    archive,
    chartTarget: `${prefix}charts/${chart.name}:${chart.version}`,
    kubeVersion,
    apiVersions: [],
    values,
    declared: {},
    declaredImages: new Map(),
    profiles: [],
    copyConditional: false,
    prefix,
    isAllowed: () => false,
    exists: () => Promise.resolve(true),
    renderer: counted,
    signal,
  });
  return {
    chart: chart.name,
    version: chart.version,
    references: isolation.references.length,
    renders: isolation.renders,
    helmSeconds: helmSeconds(),
    seconds: since(started),
    ...(isolation.profiles.length === 0 ? { refused: isolation.problems.join('; ') } : {}),
  };
}

/** The same renderer, with the time of its own renders added up. */
function counting(renderer: Renderer): { readonly counted: Renderer; readonly helmSeconds: () => number } {
  let sum = 0;
  const counted: Renderer = {
    async render(request) {
      const outcome = await renderer.render(request);
      sum += outcome.seconds;
      return outcome;
    },
  };
  return { counted, helmSeconds: () => sum };
}

function since(started: number): number {
  return (performance.now() - started) / 1000;
}
