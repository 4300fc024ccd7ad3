import { digestOf, type Digest } from '../model/digest.ts';
import { ReplicationError } from '../model/errors.ts';
import type { Descriptor, IndexManifest, ManifestContent } from '../model/manifest.ts';
import { formatPlatform, platformMatches, type Platform } from '../model/platform.ts';

/** Annotation on an index that we cut: digest of the index it was cut from. */
export const cutFromAnnotation = 'io.image-replication.cut-from';
/** Annotation on an index that we cut: the platforms asked for, sorted, comma separated. */
export const cutPlatformsAnnotation = 'io.image-replication.platforms';
/** BuildKit marks attestations with this annotation; its value is the digest of the platform's manifest. */
const attestationOf = 'vnd.docker.reference.digest';

export function platformList(platforms: readonly Platform[]): string {
  return platforms.map(formatPlatform).sort().join(',');
}

/** Whether an index entry holds no runnable platform: attestations have `unknown/unknown`, artifacts none at all. */
function hasNoPlatform(entry: Descriptor): boolean {
  return entry.platform === undefined || (entry.platform.os === 'unknown' && entry.platform.architecture === 'unknown');
}

/**
 * Entries of an index that belong to the wanted platforms: their manifests, and the attestations of those manifests
 * (BuildKit "Image attestation storage"). Entries without a platform that belong to no dropped manifest stay.
 * @throws ReplicationError `not-found` when no wanted platform is in the index
 */
export function selectPlatforms(index: IndexManifest, platforms: readonly Platform[]): readonly Descriptor[] {
  const kept = new Set<Digest>();
  const dropped = new Set<string>();
  for (const entry of index.manifests) {
    if (hasNoPlatform(entry)) continue;
    if (
      entry.platform !== undefined &&
      platforms.some((wish) => entry.platform !== undefined && platformMatches(wish, entry.platform))
    )
      kept.add(entry.digest);
    else dropped.add(entry.digest);
  }
  if (kept.size === 0) {
    const offered = index.manifests.flatMap((entry) =>
      entry.platform === undefined || hasNoPlatform(entry) ? [] : [formatPlatform(entry.platform)],
    );
    throw new ReplicationError(
      'not-found',
      `none of the platforms ${platformList(platforms)} is in the image, which has ${offered.join(', ') || 'no platforms'}`,
      {
        side: 'source',
        remedy: 'correct the platforms (--platforms, the parameter Platforms), or name another image',
      },
    );
  }
  return index.manifests.filter((entry) => {
    if (kept.has(entry.digest)) return true;
    if (!hasNoPlatform(entry)) return false;
    const subject = entry.annotations?.[attestationOf];
    return subject === undefined || !dropped.has(subject);
  });
}

/**
 * A new index over the selected entries that says which digest it was cut from. When everything is selected the
 * original comes back, byte for byte: its digest, and signatures over it, stay good.
 */
export function cutIndex(
  original: ManifestContent,
  index: IndexManifest,
  platforms: readonly Platform[],
): ManifestContent {
  const entries = selectPlatforms(index, platforms);
  if (entries.length === index.manifests.length) return original;
  const json: unknown = JSON.parse(Buffer.from(original.bytes).toString('utf8'));
  const body = {
    ...(typeof json === 'object' ? json : {}),
    schemaVersion: 2,
    mediaType: index.mediaType,
    manifests: entries,
    annotations: {
      ...index.annotations,
      [cutFromAnnotation]: original.descriptor.digest,
      [cutPlatformsAnnotation]: platformList(platforms),
    },
  };
  const bytes = Buffer.from(JSON.stringify(body));
  return { bytes, descriptor: { mediaType: index.mediaType, digest: digestOf(bytes), size: bytes.length } };
}
