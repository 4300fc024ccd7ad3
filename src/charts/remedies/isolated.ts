import { type IsolatedArchive, rendersOf, uncontrolled } from '../patch/isolated.ts';
import { releasesIn } from '../render/split.ts';
import type { Remedies } from './port.ts';
import { remediesFor } from './remedies.ts';

/**
 * Remedies for what no value of a chart moves, tried on renders as the chart will be installed.
 * @throws ReplicationError as `renderChart`
 */
export async function isolatedRemedies(request: IsolatedArchive): Promise<Remedies> {
  const references = uncontrolled(request);
  if (references.length === 0) return { offered: [], notOffered: [] };
  const rendered = await rendersOf(request)(request.archive, request.signal);
  const renders = rendered.flatMap(({ profile, rendering }) =>
    rendering.kind === 'rendered' ? releasesIn(rendering.text).map((text) => ({ profile, text })) : [],
  );
  return remediesFor({ key: request.isolated.isolation.key, renders, references });
}
