import { createCipheriv, createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { type Digest, type DigestAlgorithm, parseDigest } from '../model/digest.ts';

/** Content that exists only while it is read: same seed and size, same bytes. */
export interface SyntheticContent {
  readonly seed: string;
  /** Bytes. */
  readonly size: number;
}

const chunkBytes = 256 * 1024;
const zeros = Buffer.alloc(chunkBytes);

/**
 * Reads synthetic content from `start` to `end` (inclusive): the key stream of AES-128 in counter mode, because it is
 * quick, does not compress, and can start anywhere (the counter is the position in blocks of 16 bytes).
 */
export function readSynthetic(content: SyntheticContent, start = 0, end = content.size - 1): Readable {
  return Readable.from(generate(content, start, end), { objectMode: false, highWaterMark: chunkBytes });
}

function* generate(content: SyntheticContent, start: number, end: number): Generator<Buffer> {
  const key = createHash('sha256').update(content.seed).digest().subarray(0, 16);
  const counter = Buffer.alloc(16);
  counter.writeBigUInt64BE(BigInt(Math.floor(start / 16)), 8);
  const cipher = createCipheriv('aes-128-ctr', key, counter);
  cipher.update(zeros.subarray(0, start % 16));
  for (let left = end - start + 1; left > 0; left -= chunkBytes) {
    yield cipher.update(zeros.subarray(0, Math.min(left, chunkBytes)));
  }
}

/** Digest of synthetic content; reads all of it (about a second for each GiB). */
export async function digestOfSynthetic(
  content: SyntheticContent,
  algorithm: DigestAlgorithm = 'sha256',
): Promise<Digest> {
  const hash = createHash(algorithm);
  for await (const chunk of readSynthetic(content)) hash.update(chunk as Buffer);
  return parseDigest(`${algorithm}:${hash.digest('hex')}`);
}
