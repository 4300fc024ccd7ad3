import { crc32 } from 'node:zlib';
import { Header, Pax } from 'tar';

const blockSize = 512;

/**
 * A gzipped tar of these files in this order, the same bytes wherever it is made: no times, no owners, and stored without
 * compression. What deflate makes of a text differs between processors and releases of Node, and another digest
 * under the same version would be a conflict at the target.
 */
export function writeArchive(files: ReadonlyMap<string, Uint8Array>): Buffer {
  const blocks: Buffer[] = [];
  for (const [path, content] of files) blocks.push(headerOf(path, content.length), Buffer.from(content), fill(content));
  return storedGzip(Buffer.concat([...blocks, Buffer.alloc(2 * blockSize)]));
}

function headerOf(path: string, size: number): Buffer {
  const fields = { path, size, type: 'File', mode: 0o644, mtime: new Date(0), uid: 0, gid: 0 } as const;
  const block = Buffer.alloc(blockSize);
  // A path that does not fit into the old header stands in one of its own before (POSIX.1-2001, pax).
  const needsPax = new Header(fields).encode(block, 0);
  return needsPax ? Buffer.concat([new Pax({ path }).encode(), block]) : block;
}

function fill(content: Uint8Array): Buffer {
  return Buffer.alloc((blockSize - (content.length % blockSize)) % blockSize);
}

const longestStored = 65_535;

/** RFC 1952 around stored blocks of RFC 1951, section 3.2.4. */
function storedGzip(content: Buffer): Buffer {
  const parts: Buffer[] = [Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])];
  for (let start = 0; start < content.length; start += longestStored) {
    const piece = content.subarray(start, start + longestStored);
    const head = Buffer.alloc(5);
    head.writeUInt8(start + longestStored >= content.length ? 1 : 0, 0);
    head.writeUInt16LE(piece.length, 1);
    head.writeUInt16LE(0xffff ^ piece.length, 3);
    parts.push(head, piece);
  }
  const tail = Buffer.alloc(8);
  tail.writeUInt32LE(crc32(content), 0);
  tail.writeUInt32LE(content.length, 4);
  return Buffer.concat([...parts, tail]);
}
