import { packageChart } from '../charts/package.ts';
import type { FetchedChart } from '../charts/fetch.ts';
import type { CopyRequest, TargetPlace } from '../copy/request.ts';
import { memoryStore } from '../layout/memory.ts';
import type { PlannedChart, PlannedImage } from '../model/plan.ts';
import { locate, parseReference } from '../model/reference.ts';
import type { ReadStore, WriteStore } from '../model/store.ts';
import { splitTarget } from '../model/target-name.ts';
import { parsePlatforms } from './platform-text.ts';
import type { ChartCopy } from './replicate.ts';

/** A planned target reference as a place in the store; without tag and digest `latest` is meant. */
export function targetPlace(target: string, store: WriteStore): TargetPlace {
  const { repository, tag, digest } = splitTarget(target);
  return { store, repository, reference: tag ?? digest ?? 'latest' };
}

export function imageRequest(
  image: PlannedImage,
  source: (registry: string) => ReadStore,
  target: (host: string) => WriteStore,
): CopyRequest {
  const { registry, repository, reference } = locate(parseReference(image.source));
  return {
    artifact: image.source,
    source: { store: source(registry), repository, reference: image.digest ?? reference },
    targets: image.targets.map((each) => targetPlace(each, target(splitTarget(each).host))),
    platforms: parsePlatforms(image.platforms),
  };
}

/** Packed charts wait in memory: an archive has some 100 kB. An OCI chart is copied as it is, byte for byte. */
export async function chartRequest(
  chart: PlannedChart,
  fetched: FetchedChart,
  source: (registry: string) => ReadStore,
  target: WriteStore,
  signal: AbortSignal,
): Promise<ChartCopy> {
  const artifact = `chart ${chart.name} ${chart.version}`;
  const targets = [targetPlace(chart.target, target)];
  if (fetched.source.kind === 'oci') {
    const { registry, repository, digest } = fetched.source;
    return {
      archiveDigest: fetched.digest,
      request: {
        artifact,
        source: { store: source(registry), repository, reference: digest },
        targets,
        platforms: 'all',
      },
    };
  }
  const packed = packageChart({ archive: fetched.archive, provenance: fetched.provenance });
  const store = memoryStore(new URL(fetched.source.url).host);
  for (const { descriptor, bytes } of packed.blobs) {
    const start = await store.startUpload(chart.name, descriptor.digest, undefined, signal);
    if (start.kind === 'upload') await store.finishUpload(start.session, descriptor, bytes, signal);
  }
  await store.writeManifest(chart.name, packed.tag, packed.manifest, signal);
  return {
    archiveDigest: fetched.digest,
    request: { artifact, source: { store, repository: chart.name, reference: packed.tag }, targets, platforms: 'all' },
  };
}
