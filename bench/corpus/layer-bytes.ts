import { crc32 } from 'node:zlib';
import { readSynthetic } from '../../src/testing/synthetic.ts';
import type { LayerPlan } from './plan.ts';

/** RFC 1951 section 3.2.4: a stored block has 5 bytes of header and at most 65,535 bytes of content. */
const blockBytes = 65_535;
const blockHeaderBytes = 5;
/** RFC 1952 section 2.3.1: no name, no time, so that nothing but the content decides the bytes. */
const gzipHeader = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
const gzipTrailerBytes = 8;

/** Size of the layer's blob: its content in stored blocks, in a gzip member. */
export function blobBytes(layer: LayerPlan): number {
  const blocks = Math.ceil(layer.bytes / blockBytes);
  return gzipHeader.length + blocks * blockHeaderBytes + layer.bytes + gzipTrailerBytes;
}

/**
 * The layer's blob, made while it is read: seeded bytes that do not compress. It is a gzip member, since there are
 * clients that compress whatever does not look compressed; its content is no file system, since nothing unpacks it.
 */
export async function* layerBytes(layer: LayerPlan): AsyncGenerator<Buffer> {
  yield gzipHeader;
  let checksum = 0;
  let left = layer.bytes;
  for await (const block of blocks(readSynthetic({ seed: layer.content, size: layer.bytes }))) {
    left -= block.length;
    checksum = crc32(block, checksum);
    const header = Buffer.alloc(blockHeaderBytes);
    header.writeUInt8(left === 0 ? 1 : 0, 0);
    header.writeUInt16LE(block.length, 1);
    header.writeUInt16LE(~block.length & 0xffff, 3);
    yield header;
    yield block;
  }
  const trailer = Buffer.alloc(gzipTrailerBytes);
  trailer.writeUInt32LE(checksum, 0);
  trailer.writeUInt32LE(layer.bytes % 2 ** 32, 4);
  yield trailer;
}

/** Cuts a stream into blocks of exactly {@link blockBytes}, but for the last. */
async function* blocks(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of content) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length > blockBytes) {
      yield rest.subarray(0, blockBytes);
      rest = rest.subarray(blockBytes);
    }
  }
  if (rest.length > 0) yield rest;
}
