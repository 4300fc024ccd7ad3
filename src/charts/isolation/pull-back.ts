import { ReplicationError } from '../../model/errors.ts';
import { type ImageManifest, parseManifest } from '../../model/manifest.ts';
import { mediaTypes } from '../../model/media-types.ts';
import type { ReadStore } from '../../model/store.ts';
import { splitTarget } from '../../model/target-name.ts';
import { chartLayers, readLayer } from '../oci.ts';

/**
 * The chart's archive as the target has it, verified.
 * @param target `registry/path/name:tag`
 * @throws ReplicationError `not-found`, `corrupt`, `unsupported` when something else lies there
 */
export async function pullBack(store: ReadStore, target: string, signal: AbortSignal): Promise<Uint8Array> {
  const { repository, tag = 'latest' } = splitTarget(target);
  const { bytes, descriptor } = await store.readManifest(repository, tag, signal);
  const manifest = parseManifest(bytes, descriptor.mediaType);
  // A registry's index with a chart in it was copied as it is; which of its manifests helm takes, it alone decides.
  const image =
    manifest.kind === 'image'
      ? manifest
      : await firstChart(
          store,
          repository,
          manifest.manifests.map(({ digest }) => digest),
          signal,
        );
  return readLayer(store, repository, chartLayers(image, target).chartLayer, signal);
}

async function firstChart(
  store: ReadStore,
  repository: string,
  digests: readonly string[],
  signal: AbortSignal,
): Promise<ImageManifest> {
  for (const digest of digests) {
    const { bytes, descriptor } = await store.readManifest(repository, digest, signal);
    const manifest = parseManifest(bytes, descriptor.mediaType);
    if (manifest.kind === 'image' && manifest.config.mediaType === mediaTypes.helmConfig) return manifest;
  }
  throw new ReplicationError('unsupported', `${store.name}/${repository}: there is no Helm chart in the index`, {
    side: 'target',
    host: store.name,
    reference: repository,
  });
}
