import type { Digest } from '../model/digest.ts';
import { ReplicationError } from '../model/errors.ts';
import { type Descriptor, type ManifestContent, parseManifest } from '../model/manifest.ts';
import { isForeignLayerType } from '../model/media-types.ts';

/** What a store has to know about a manifest beyond its bytes. */
export interface ManifestView {
  readonly descriptor: Descriptor;
  /** Manifests that an index lists; empty for images. */
  readonly children: readonly Descriptor[];
  /** Config and layers that have to be there before the manifest; foreign layers do not. */
  readonly blobs: readonly Descriptor[];
  /** Set for a referrer: what it refers to, and how "Listing Referrers" (OCI distribution-spec v1.1) shows it. */
  readonly referrer: { readonly subject: Digest; readonly descriptor: Descriptor } | undefined;
}

/** @throws ReplicationError as `parseManifest` */
export function viewManifest({ descriptor, bytes }: ManifestContent): ManifestView {
  const manifest = parseManifest(bytes, descriptor.mediaType);
  const { mediaType, digest, size } = descriptor;
  // OCI distribution-spec v1.1 "Listing Referrers": artifactType, else the config's media type; annotations copied up.
  const artifactType = manifest.artifactType ?? (manifest.kind === 'image' ? manifest.config.mediaType : undefined);
  const hasAnnotations = Object.keys(manifest.annotations).length > 0;
  return {
    descriptor: { mediaType, digest, size },
    children: manifest.kind === 'index' ? manifest.manifests : [],
    blobs:
      manifest.kind === 'image'
        ? [manifest.config, ...manifest.layers.filter((layer) => !isForeignLayerType(layer.mediaType))]
        : [],
    referrer:
      manifest.subject === undefined
        ? undefined
        : {
            subject: manifest.subject.digest,
            descriptor: {
              mediaType,
              digest,
              size,
              ...(artifactType === undefined ? {} : { artifactType }),
              ...(hasAnnotations ? { annotations: manifest.annotations } : {}),
            },
          },
  };
}

/** The error of a registry that refuses a manifest whose parts are not there: MANIFEST_BLOB_UNKNOWN. */
export function blobUnknown(host: string, reference: string, missing: readonly Digest[]): ReplicationError {
  return new ReplicationError(
    'blob-unknown',
    `${host} holds no ${missing.join(', ')}, which the manifest ${reference} refers to`,
    { host, reference, digest: missing[0] },
  );
}

export function notFound(host: string, reference: string): ReplicationError {
  return new ReplicationError('not-found', `${host} holds no ${reference}`, { host, reference });
}

/** `repository:tag` or `repository@digest`. */
export function nameIn(repository: string, reference: string): string {
  return `${repository}${reference.includes(':') ? '@' : ':'}${reference}`;
}
