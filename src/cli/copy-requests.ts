import { packageChart } from '../charts/package.ts';
import type { FetchedChart } from '../charts/fetch.ts';
import type { CopyRequest, TargetPlace } from '../copy/request.ts';
import { memoryStore } from '../layout/memory.ts';
import { type Digest, isDigest } from '../model/digest.ts';
import type { Origin, PlannedChart, PlannedImage } from '../model/plan.ts';
import { formatLocation, locate, parseReference } from '../model/reference.ts';
import type { ReadStore, WriteStore } from '../model/store.ts';
import { splitTarget } from '../model/target-name.ts';
import { parsePlatforms, platformTexts } from './platform-text.ts';
import type { ChartCopy } from './one-try.ts';

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

/**
 * A request as a plan names it: the opposite of {@link imageRequest}.
 * @param known `digest`: what the source's tag was found to be; `host`: stands for the target, whose own name is a folder
 */
export function plannedImage(
  { artifact, source, targets, platforms }: CopyRequest,
  known: {
    readonly digest?: Digest | undefined;
    readonly host?: string | undefined;
    readonly origins?: readonly Origin[] | undefined;
  } = {},
): PlannedImage {
  const digest = known.digest ?? (isDigest(source.reference) ? source.reference : undefined);
  return {
    kind: 'image',
    source: artifact,
    ...(digest === undefined ? {} : { digest }),
    platforms: platformTexts(platforms),
    targets: targets.map(({ store, repository, reference }) =>
      formatLocation({ registry: known.host ?? store.name, repository, reference }),
    ),
    origins: [...(known.origins ?? [])],
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
