import type { Values } from '../values/tree.ts';
import { discover, type Discovery, type DiscoveryMemo } from '../discovery/discover.ts';
import type { Rendering, RenderValues } from '../overrides/port.ts';
import type { Renderer, RenderOutcome, RenderRequest } from '../render/render-chart.ts';

/** What one render shows. */
export type Look =
  | (Extract<Rendering, { readonly kind: 'rendered' }> & {
      readonly discovery: Discovery;
      readonly crds: string;
      readonly warnings: readonly string[];
    })
  | Extract<Rendering, { readonly kind: 'refused' }>;

/** Renders of one chart, counted. */
export interface ChartRenders {
  /** Renders with these values; what it shows is kept for the first `render` with the same ones. */
  look(values: Values, signal: AbortSignal): Promise<Look>;
  readonly render: RenderValues;
  readonly raw: (values: Values, signal: AbortSignal) => Promise<RenderOutcome>;
  readonly memo: DiscoveryMemo;
  cost(): { readonly renders: number; readonly seconds: number };
}

/** Documents that do not change from render to render are read only once. */
export function chartRenders(renderer: Renderer, request: Omit<RenderRequest, 'values' | 'signal'>): ChartRenders {
  const memo: DiscoveryMemo = new Map();
  const kept = new Map<string, Look>();
  let renders = 0;
  let seconds = 0;
  const raw = async (values: Values, signal: AbortSignal): Promise<RenderOutcome> => {
    renders += 1;
    const outcome = await renderer.render({ ...request, values: [values], signal });
    seconds += outcome.seconds;
    return outcome;
  };
  const read = async (values: Values, signal: AbortSignal): Promise<Look> => {
    const outcome = await raw(values, signal);
    if (outcome.kind === 'refused')
      return { kind: 'refused', why: outcome.refusal.message, values: outcome.refusal.values };
    const { text, crds, warnings } = outcome;
    const discovery = discover(text, memo);
    return { kind: 'rendered', text, references: discovery.references, discovery, crds, warnings };
  };
  return {
    memo,
    raw,
    async look(values, signal) {
      const look = await read(values, signal);
      kept.set(JSON.stringify(values), look);
      return look;
    },
    async render(values, signal) {
      const key = JSON.stringify(values);
      const known = kept.get(key);
      // Only once: whoever renders the same values again wants to see what the chart makes at random.
      kept.delete(key);
      return known ?? read(values, signal);
    },
    cost: () => ({ renders, seconds: Math.round(seconds * 1000) / 1000 }),
  };
}
