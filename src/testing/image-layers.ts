import { digestOf, type DigestAlgorithm } from '../model/digest.ts';
import type { Descriptor } from '../model/manifest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { digestOfSynthetic, type SyntheticContent } from './synthetic.ts';
import { type ArchiveFile, gzipOf, tarGzOf, tarOf } from './tar-archive.ts';

/** A layer with its descriptor; foreign ones have no content of ours. */
export interface Layer {
  readonly descriptor: Descriptor;
  readonly content: Uint8Array | SyntheticContent | undefined;
}

const dockerLayer = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
const dockerForeignLayer = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';

export type Format = 'oci' | 'docker';

function layerOf(content: Uint8Array, mediaType: string, algorithm: DigestAlgorithm = 'sha256'): Layer {
  return { descriptor: { mediaType, digest: digestOf(content, algorithm), size: content.length }, content };
}

/** An ordinary gzipped layer. */
export function tarLayer(files: readonly ArchiveFile[], format: Format = 'oci', algorithm?: DigestAlgorithm): Layer {
  return layerOf(tarGzOf(files), format === 'oci' ? mediaTypes.ociLayerGzip : dockerLayer, algorithm);
}

/** The same bytes in every image that uses it: the base that images share. */
export function baseLayer(format: Format = 'oci', variant = 'base'): Layer {
  return tarLayer([{ path: 'etc/os-release', content: `ID=sample\nNAME="sample ${variant}"\n`.repeat(40) }], format);
}

/** The gzipped empty tar that `RUN true` leaves behind. */
export function emptyLayer(format: Format = 'oci'): Layer {
  return layerOf(gzipOf(Buffer.alloc(1024)), format === 'oci' ? mediaTypes.ociLayerGzip : dockerLayer);
}

/** A layer of no bytes at all. */
export function zeroLayer(): Layer {
  return layerOf(Buffer.alloc(0), 'application/vnd.oci.image.layer.v1.tar');
}

/** A layer under a sha512 digest (OCI image-spec v1.1 descriptor.md allows it; few registries take it). */
export function sha512Layer(files: readonly ArchiveFile[]): Layer {
  return tarLayer(files, 'oci', 'sha512');
}

/** A zstd layer: one frame of raw blocks (RFC 8878 sections 3.1.1.1 and 3.1.1.2), because Node 20 cannot compress so. */
export function zstdLayer(files: readonly ArchiveFile[]): Layer {
  const content = tarOf(files);
  // Magic number; single segment with a content size of 4 bytes.
  const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0]);
  header.writeUInt32LE(content.length, 5);
  const parts: Buffer[] = [header];
  const blockBytes = 65_536;
  for (let start = 0; start < content.length; start += blockBytes) {
    const piece = content.subarray(start, start + blockBytes);
    const last = start + blockBytes >= content.length ? 1 : 0;
    const blockHeader = Buffer.alloc(3);
    blockHeader.writeUIntLE(last | (piece.length << 3), 0, 3);
    parts.push(blockHeader, piece);
  }
  return layerOf(Buffer.concat(parts), mediaTypes.ociLayerZstd);
}

/** A layer that a registry need not hold: its bytes are at the URLs (Windows base layers). */
export function foreignLayer(content: Uint8Array, urls: readonly string[], format: Format = 'docker'): Layer {
  const mediaType =
    format === 'docker' ? dockerForeignLayer : 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip';
  const { descriptor } = layerOf(content, mediaType);
  return { descriptor: { ...descriptor, urls: [...urls] }, content: undefined };
}

/** A layer of any size that exists only while it is read. Not a tar archive: for size and speed, not for running. */
export async function syntheticLayer(seed: string, size: number, format: Format = 'oci'): Promise<Layer> {
  const content = { seed, size };
  const mediaType = format === 'oci' ? mediaTypes.ociLayerGzip : dockerLayer;
  return { descriptor: { mediaType, digest: await digestOfSynthetic(content), size }, content };
}
