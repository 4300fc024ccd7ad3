import { readBaselines } from './baselines.ts';
import type { Derivation, DeriveRequest } from './port.ts';
import { searchOverrides } from './search.ts';
import { spending } from './spending.ts';

const defaultMaxRenders = 60;

/**
 * Finds the smallest set of values that points a chart's image references at the target, and proves it by a render with
 * exactly these. Values are marked, all at once, with texts that look like the override that would stand there; where a
 * mark begins a reference, that value moves it. Charts with awkward values cost more renders (see `cost`).
 * @throws ReplicationError `refused`, `corrupt` when the archive is none; whatever `render` throws
 */
export async function deriveOverrides(request: DeriveRequest): Promise<Derivation> {
  const purse = spending(request.render, request.maxRenders ?? defaultMaxRenders, request.signal);
  const read = await readBaselines(request, purse);
  if (read.kind === 'refused') return { ...read, cost: purse.cost() };
  return searchOverrides(request, read.baselines, read.keys, purse);
}
