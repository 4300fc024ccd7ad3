import type { Digest } from '../model/digest.ts';
import { isReplicationError, type ReplicationError } from '../model/errors.ts';
import { parseManifest } from '../model/manifest.ts';
import type { ReadStore } from '../model/store.ts';
import { chartLayers } from './oci.ts';

/** What the target has under a chart's tag. */
export type ChartAtTarget =
  | { readonly kind: 'absent' }
  /** The tag holds this very archive; `digest` is the manifest's, which may be another one than ours. */
  | { readonly kind: 'same'; readonly digest: Digest }
  | { readonly kind: 'different'; readonly digest: Digest };

/**
 * What lies under a chart's tag at the target, compared by the digest of the archive (the chart layer): other pushers
 * stamp a time into the manifest, so that manifests of one chart differ from push to push (helm pkg/registry `created`).
 */
export async function chartAtTarget(
  store: ReadStore,
  repository: string,
  tag: string,
  archiveDigest: Digest,
  signal: AbortSignal,
): Promise<ChartAtTarget> {
  let content;
  try {
    content = await store.readManifest(repository, tag, signal);
  } catch (error) {
    if (isReplicationError(error, 'not-found')) return { kind: 'absent' };
    throw error;
  }
  const digest = content.descriptor.digest;
  try {
    const manifest = parseManifest(content.bytes, content.descriptor.mediaType);
    if (manifest.kind === 'index') return { kind: 'different', digest };
    const same = chartLayers(manifest, `${repository}:${tag}`).chartLayer.digest === archiveDigest;
    return { kind: same ? 'same' : 'different', digest };
  } catch (error) {
    if (isNoChart(error)) return { kind: 'different', digest };
    throw error;
  }
}

/** Something else than a chart holds the tag: an image, or a manifest that we cannot read. */
function isNoChart(error: unknown): error is ReplicationError {
  return isReplicationError(error, 'unsupported', 'corrupt');
}
