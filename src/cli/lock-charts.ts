import { readChart } from '../charts/chart.ts';
import type { FetchChart, FetchedChart } from '../charts/fetch.ts';
import { chartLayers, readLayer } from '../charts/oci.ts';
import { inWriteOrder, loadGraph, type ManifestNode } from '../copy/graph.ts';
import { type Digest, digestOf } from '../model/digest.ts';
import { isReplicationError, ReplicationError } from '../model/errors.ts';
import type { LockedChart } from '../model/lock.ts';
import { type ImageManifest, parseManifest } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { locate, parseReference } from '../model/reference.ts';
import type { ReadStore } from '../model/store.ts';

export interface ChartSources {
  readonly store: (host: string) => ReadStore;
  readonly fetchChart: FetchChart;
}

/**
 * The chart that a lock names: from a registry by the digest of its manifest, whatever its tag names now; from an HTTP
 * repository by its version, which then has to have the locked digest.
 * @throws ReplicationError `conflict` when the repository serves another archive, `not-found` when the chart is gone
 */
export async function fetchLockedChart(
  chart: LockedChart,
  sources: ChartSources,
  signal: AbortSignal,
): Promise<FetchedChart> {
  const { name, source } = chart;
  const fetched =
    source.oci === undefined
      ? await sources.fetchChart({ name, repository: source.repository, version: source.version }, signal)
      : await fromRegistry(chart, source.oci, sources, signal);
  if (fetched.digest === source.digest) return fetched;
  throw new ReplicationError(
    'conflict',
    `chart ${name} ${source.version} of ${source.repository} is another archive than the lock says: ${fetched.digest}`,
    {
      side: 'source',
      reference: `${name} ${source.version}`,
      digest: source.digest,
      remedy:
        'ask the owner of the chart why a published version was changed; run without --lock to take what is there now',
    },
  );
}

async function fromRegistry(
  { name, source }: LockedChart,
  oci: { readonly place: string; readonly manifest: Digest },
  { store: storeOf }: ChartSources,
  signal: AbortSignal,
): Promise<FetchedChart> {
  const { registry, repository } = locate(parseReference(oci.place));
  const store = storeOf(registry);
  const reference = `${oci.place}@${oci.manifest}`;
  try {
    const root = await loadGraph(store, repository, oci.manifest, 'all', signal);
    const manifest = inWriteOrder(root)
      .map(helmManifest)
      .find((each) => each !== undefined);
    if (manifest === undefined) throw new ReplicationError('unsupported', `${reference} is not a Helm chart`);
    const { chartLayer, provenanceLayer } = chartLayers(manifest, reference);
    const archive = await readLayer(store, repository, chartLayer, signal);
    const provenance = provenanceLayer && (await readLayer(store, repository, provenanceLayer, signal));
    return {
      chart: await readChart(archive),
      archive,
      digest: digestOf(archive),
      provenance,
      version: source.version,
      source: {
        kind: 'oci',
        registry,
        repository,
        reference: oci.manifest,
        digest: oci.manifest,
        content: root.content,
      },
    };
  } catch (error) {
    throw isReplicationError(error)
      ? error.with({ side: 'source', host: registry, reference: `${name} ${source.version} (${reference})` })
      : error;
  }
}

function helmManifest({ content: { bytes, descriptor } }: ManifestNode): ImageManifest | undefined {
  const manifest = parseManifest(bytes, descriptor.mediaType);
  return manifest.kind === 'image' && manifest.config.mediaType === mediaTypes.helmConfig ? manifest : undefined;
}
