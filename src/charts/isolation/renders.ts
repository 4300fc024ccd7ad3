import type { Values } from '../values/tree.ts';
import { discover, type Discovery, type DiscoveryMemo } from '../discovery/discover.ts';
import type { Rendering, RenderValues } from '../overrides/port.ts';
import type { Refusal } from '../render/refusal.ts';
import type { Renderer, RenderOutcome, RenderRequest } from '../render/port.ts';

/** What one render shows. */
export type Look =
  | (Extract<Rendering, { readonly kind: 'rendered' }> & {
      readonly discovery: Discovery;
      readonly crds: string;
      readonly warnings: readonly string[];
      /** Set when the chart does not render for an upgrade: helm's words. */
      readonly upgradeRefusal?: string;
    })
  | Extract<Rendering, { readonly kind: 'refused' }>;

/** Renders of one chart, counted. */
export interface ChartRenders {
  /**
   * Renders with these values; what it shows is kept for the first `render` with the same ones. That the chart does not render for
   * an upgrade is a fact about it, which `render` takes for granted from then on; new refusals there are due to the values.
   */
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
  const excused = new Set<string>();
  let renders = 0;
  let seconds = 0;
  const raw = async (values: Values, signal: AbortSignal): Promise<RenderOutcome> => {
    const outcome = await renderer.render({ ...request, values: [values], signal });
    renders += outcome.renders ?? 1;
    seconds += outcome.seconds;
    return outcome;
  };
  const read = async (values: Values, signal: AbortSignal, isFirst: boolean): Promise<Look> => {
    const outcome = await raw(values, signal);
    const refusal = outcome.kind === 'refused' ? outcome.refusal : outcome.upgradeRefusal;
    if (isFirst && refusal !== undefined) excused.add(whereOf(refusal));
    if (outcome.kind === 'refused' || (refusal !== undefined && !excused.has(whereOf(refusal))))
      return { kind: 'refused', why: refusal?.message ?? '', values: refusal?.values ?? [] };
    const { text, crds, warnings } = outcome;
    const discovery = discover(text, memo);
    const told = refusal === undefined ? {} : { upgradeRefusal: refusal.message };
    return { kind: 'rendered', text, references: discovery.references, discovery, crds, warnings, ...told };
  };
  return {
    memo,
    raw,
    async look(values, signal) {
      const look = await read(values, signal, true);
      kept.set(JSON.stringify(values), look);
      return look;
    },
    async render(values, signal) {
      const key = JSON.stringify(values);
      const known = kept.get(key);
      // Only once: whoever renders the same values again wants to see what the chart makes at random.
      kept.delete(key);
      return known ?? read(values, signal, false);
    },
    cost: () => ({ renders, seconds: Math.round(seconds * 1000) / 1000 }),
  };
}

/** A refusal by its place: its words may repeat values. */
function whereOf({ template, line, message }: Refusal): string {
  return template === undefined ? message : `${template}:${line ?? 0}`;
}
