import { digestOf } from '../model/digest.ts';
import type { Descriptor, ManifestContent } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import type { ManifestView } from './manifest-view.ts';

/** Marks a stand-in in index.json; its value is the digest of the manifest that it stands in for. */
const standInFor = 'image-replication.stand-in-for';

/**
 * skopeo, podman and buildah before containers/image 5.34 (skopeo 1.18, February 2025) look only at entries of OCI media
 * types, and so find no image with Docker's (https://github.com/containers/image/commit/57719737). For them an OCI index
 * of the same platforms stands under the same name, after the exact manifest, which newer ones find first.
 * The images that it leads to are the exact ones, byte for byte.
 */
export function standInOf(view: ManifestView): ManifestContent | undefined {
  const { descriptor, children } = view;
  const list = descriptor.mediaType === mediaTypes.dockerManifestList;
  if (!list && descriptor.mediaType !== mediaTypes.dockerManifest) return undefined;
  const manifests = list ? children : [descriptor];
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }));
  return {
    descriptor: {
      mediaType: mediaTypes.ociIndex,
      digest: digestOf(bytes),
      size: bytes.length,
      annotations: { [standInFor]: descriptor.digest },
    },
    bytes,
  };
}

/** The digest that an entry of index.json stands in for, `undefined` for all others. */
export function originalOf(descriptor: Descriptor): string | undefined {
  return descriptor.annotations?.[standInFor];
}
