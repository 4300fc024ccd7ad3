import { discover, type DiscoveryMemo } from '../discovery/discover.ts';
import type { Renderer, RenderRequest } from '../render/port.ts';
import type { RenderValues } from './port.ts';

/**
 * The derivation's renders by the real helm. Documents that do not change from render to render are read only once.
 * @param request chart, Kubernetes version, API versions; its `values` are not used
 */
export function helmRenders(renderer: Renderer, request: Omit<RenderRequest, 'values' | 'signal'>): RenderValues {
  const memo: DiscoveryMemo = new Map();
  return async (values, signal) => {
    const outcome = await renderer.render({ ...request, values: [values], signal });
    if (outcome.kind === 'refused')
      return { kind: 'refused', why: outcome.refusal.message, values: outcome.refusal.values };
    return { kind: 'rendered', text: outcome.text, references: discover(outcome.text, memo).references };
  };
}
