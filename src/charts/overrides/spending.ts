import type { Cost, Rendering, RenderValues } from './port.ts';
import { merge, type Values } from '../values/tree.ts';

/** Renders within a budget, and knows what they cost. */
export interface Spending {
  /** Renders with these values under a profile; `spent` when nothing is left of the budget. */
  render(profile: Values, overrides: Values): Promise<Rendering | { readonly kind: 'spent' }>;
  /** Whether a render was asked for that the budget did not allow. */
  isSpent(): boolean;
  cost(): Cost;
}

export function spending(render: RenderValues, maxRenders: number, signal: AbortSignal): Spending {
  let renders = 0;
  let denied = false;
  let milliseconds = 0;
  return {
    async render(profile, overrides) {
      signal.throwIfAborted();
      if (renders >= maxRenders) {
        denied = true;
        return { kind: 'spent' };
      }
      renders += 1;
      const start = performance.now();
      try {
        return await render(merge(profile, overrides), signal);
      } finally {
        milliseconds += performance.now() - start;
      }
    },
    isSpent: () => denied,
    cost: () => ({ renders, seconds: Math.round(milliseconds) / 1000 }),
  };
}
