import { Readable } from 'node:stream';
import { digestOf } from '../../model/digest.ts';
import type { Descriptor, ManifestContent } from '../../model/manifest.ts';
import { mediaTypes } from '../../model/media-types.ts';

/** Bytes that differ by seed and do not repeat (a linear congruential generator: the same on every machine). */
export function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed + 1;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

export function inPieces(bytes: Uint8Array): Readable {
  const pieces: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; start += 30_000) pieces.push(bytes.subarray(start, start + 30_000));
  return Readable.from(pieces, { objectMode: false });
}

export function blobOf(bytes: Uint8Array): Descriptor {
  return { mediaType: mediaTypes.ociLayerGzip, digest: digestOf(bytes), size: bytes.length };
}

export function manifestJson(config: Uint8Array, layer: Uint8Array): object {
  return {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { ...blobOf(config), mediaType: mediaTypes.ociConfig },
    layers: [blobOf(layer)],
  };
}

export function imageOf(
  config: Uint8Array,
  layer: Uint8Array,
  extra: object = {},
): ManifestContent & { bytes: Buffer } {
  const json = { ...manifestJson(config, layer), ...extra };
  const mediaType = 'mediaType' in json && typeof json.mediaType === 'string' ? json.mediaType : mediaTypes.ociManifest;
  // Indented, so that a store which formats manifests anew is found out.
  const bytes = Buffer.from(JSON.stringify(json, undefined, 3));
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes };
}

export function indexOf(children: readonly ManifestContent[]): ManifestContent {
  const manifests = children.map(({ descriptor }) => descriptor);
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }));
  return { descriptor: { mediaType: mediaTypes.ociIndex, digest: digestOf(bytes), size: bytes.length }, bytes };
}
