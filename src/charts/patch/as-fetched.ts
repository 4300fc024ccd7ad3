import { readChart } from '../chart.ts';
import type { ChartSource, FetchedChart } from '../fetch.ts';
import type { Patched } from './port.ts';

/**
 * The patched chart in the place of the one that was fetched: a package without provenance, which signed the original. It
 * is packed as a chart from an HTTP repository is, wherever the original came from: a registry's manifest is about other bytes.
 */
export async function patchedAsFetched(
  { source }: FetchedChart,
  { archive, digest, version }: Pick<Patched, 'archive' | 'digest' | 'version'>,
): Promise<FetchedChart> {
  const chart = await readChart(archive);
  return { chart, archive, digest, provenance: undefined, version, source: { kind: 'http', url: addressOf(source) } };
}

/** Where the original was read from. */
function addressOf(source: ChartSource): string {
  return source.kind === 'http' ? source.url : `oci://${source.registry}/${source.repository}@${source.digest}`;
}
