import { createHash } from 'node:crypto';
import { type Digest, digestOf } from '../../src/model/digest.ts';
import { mediaTypes } from '../../src/model/media-types.ts';
import type { PlatformPlan } from './plan.ts';
import { between } from './seeded.ts';

export interface BlobFacts {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

export interface ManifestFacts extends BlobFacts {
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** Everything that has to be in a repository when an image is there. */
export interface BuiltImage {
  /** What the tag names. */
  readonly top: ManifestFacts;
  /** Manifests of an index, in its order; empty for an image of one platform. */
  readonly children: readonly ManifestFacts[];
  /** Configurations and layers, each once. */
  readonly blobs: readonly BlobFacts[];
}

/**
 * The configuration of an image, a few kilobytes as real ones are (OCI image-spec v1.1 config.md). Its diff_ids are made
 * up: a layer here is no file system (see layer-bytes.ts).
 */
export function configBytes(plan: PlatformPlan): Buffer {
  const layerName = (content: string): string => `sha256:${createHash('sha256').update(content).digest('hex')}`;
  const history = Array.from({ length: between(plan.config, 'history', 8, 30) }, (_, step) => ({
    created: '2026-01-01T00:00:00Z',
    created_by: `RUN /bin/sh -c step-${step} ${createHash('sha512').update(`${plan.config} ${step}`).digest('hex')}`,
    empty_layer: true,
  }));
  return Buffer.from(
    JSON.stringify({
      architecture: plan.architecture,
      os: 'linux',
      config: { Labels: { 'bench.content': plan.config } },
      rootfs: { type: 'layers', diff_ids: plan.layers.map(({ content }) => layerName(content)) },
      history,
    }),
  );
}

export function manifestOf(config: BlobFacts, layers: readonly BlobFacts[]): ManifestFacts {
  return manifest(mediaTypes.ociManifest, {
    config: descriptor(mediaTypes.ociConfig, config),
    layers: layers.map((layer) => descriptor(mediaTypes.ociLayerGzip, layer)),
  });
}

export function indexOf(
  children: readonly { readonly architecture: string; readonly manifest: ManifestFacts }[],
): ManifestFacts {
  return manifest(mediaTypes.ociIndex, {
    manifests: children.map(({ architecture, manifest: child }) => ({
      ...descriptor(child.mediaType, child),
      platform: { os: 'linux', architecture },
    })),
  });
}

function manifest(mediaType: string, content: object): ManifestFacts {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...content }));
  return { mediaType, bytes, digest: digestOf(bytes), size: bytes.length };
}

function descriptor(mediaType: string, { digest, size }: BlobFacts): object {
  return { mediaType, digest, size };
}
