import { createHash, type Hash } from 'node:crypto';
import { createReadStream, createWriteStream, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as z from 'zod';
import { type Digest, digestAlgorithm, digestHex, hashFor, parseDigest } from '../model/digest.ts';
import { readSynthetic, type SyntheticContent } from './synthetic.ts';

/**
 * Where a server keeps blobs: in memory, in a folder (nothing of a blob is ever held in memory whole), or nowhere
 * (`discard`: sizes and digests are checked and remembered, bytes are not, for size tests without a disk).
 */
export type StorageKind = 'memory' | 'discard' | { readonly directory: string };

/** An upload in progress. */
export interface StagedUpload {
  /** Bytes received so far, also those of a request that broke off. */
  readonly size: number;
  append(stream: Readable): Promise<void>;
  /** Keeps the content if it has this digest; tells whether it had. */
  commit(digest: Digest): Promise<boolean>;
  discard(): Promise<void>;
}

/** Content by digest, shared by all repositories of a server. */
export interface BlobStorage {
  size(digest: Digest): number | undefined;
  /** Both ends inclusive. */
  open(digest: Digest, start: number, end: number): Readable;
  put(digest: Digest, content: Uint8Array | SyntheticContent): Promise<void>;
  stage(): StagedUpload;
}

export function openStorage(kind: StorageKind): BlobStorage {
  if (kind === 'memory' || kind === 'discard') return memoryStorage(kind === 'memory');
  return directoryStorage(kind.directory);
}

type Held = Buffer | SyntheticContent | { readonly discarded: number };

function memoryStorage(keep: boolean): BlobStorage {
  const held = new Map<Digest, Held>();
  return {
    size(digest) {
      const content = held.get(digest);
      if (content === undefined) return undefined;
      if (Buffer.isBuffer(content)) return content.length;
      return 'discarded' in content ? content.discarded : content.size;
    },
    open(digest, start, end) {
      const content = held.get(digest);
      if (content === undefined) throw new Error(`no blob ${digest}`);
      if (Buffer.isBuffer(content)) return Readable.from([content.subarray(start, end + 1)], { objectMode: false });
      if ('discarded' in content) throw new Error(`the bytes of ${digest} were discarded, as this server was told to`);
      return readSynthetic(content, start, end);
    },
    async put(digest, content) {
      held.set(digest, content instanceof Uint8Array ? Buffer.from(content) : content);
    },
    stage: () =>
      keep
        ? stageInMemory((digest, bytes) => held.set(digest, bytes))
        : stageNowhere((digest, size) => held.set(digest, { discarded: size })),
  };
}

function stageInMemory(keep: (digest: Digest, bytes: Buffer) => void): StagedUpload {
  const chunks: Buffer[] = [];
  let size = 0;
  return {
    get size() {
      return size;
    },
    async append(stream) {
      for await (const chunk of stream) {
        const bytes = chunk as Buffer;
        chunks.push(bytes);
        size += bytes.length;
      }
    },
    async commit(digest) {
      const bytes = Buffer.concat(chunks);
      if (hashFor(digest).update(bytes).digest('hex') !== digestHex(digest)) return false;
      keep(digest, bytes);
      return true;
    },
    async discard() {
      chunks.length = 0;
    },
  };
}

/** Knows sha256 only: a second hash beside it would make size tests slow for a digest that hardly anybody uses. */
function stageNowhere(keep: (digest: Digest, size: number) => void): StagedUpload {
  const sha256 = createHash('sha256');
  let size = 0;
  return {
    get size() {
      return size;
    },
    async append(stream) {
      for await (const chunk of stream) {
        sha256.update(chunk as Buffer);
        size += (chunk as Buffer).length;
      }
    },
    async commit(digest) {
      if (`sha256:${sha256.digest('hex')}` !== digest) return false;
      keep(digest, size);
      return true;
    },
    discard: () => Promise.resolve(),
  };
}

const SyntheticFile = z.object({ seed: z.string(), size: z.number() });

function directoryStorage(directory: string): BlobStorage {
  const uploads = join(directory, 'uploads');
  rmSync(uploads, { recursive: true, force: true });
  mkdirSync(uploads, { recursive: true });
  const sizes = new Map<Digest, number>();
  const synthetic = new Map<Digest, SyntheticContent>();
  const pathOf = (digest: Digest): string => join(directory, 'blobs', digestAlgorithm(digest), digestHex(digest));
  for (const algorithm of ['sha256', 'sha512']) {
    const folder = join(directory, 'blobs', algorithm);
    mkdirSync(folder, { recursive: true });
    for (const name of readdirSync(folder)) {
      const digest = parseDigest(`${algorithm}:${name.replace('.synthetic', '')}`);
      if (name.endsWith('.synthetic')) {
        synthetic.set(digest, SyntheticFile.parse(JSON.parse(readFileSync(join(folder, name), 'utf8'))));
      } else sizes.set(digest, statSync(join(folder, name)).size);
    }
  }
  let uploadCount = 0;
  return {
    size: (digest) => sizes.get(digest) ?? synthetic.get(digest)?.size,
    open(digest, start, end) {
      const made = synthetic.get(digest);
      if (made !== undefined) return readSynthetic(made, start, end);
      return createReadStream(pathOf(digest), { start, end, highWaterMark: 256 * 1024 });
    },
    async put(digest, content) {
      if (content instanceof Uint8Array) {
        await writeFile(pathOf(digest), content);
        sizes.set(digest, content.length);
      } else {
        await writeFile(`${pathOf(digest)}.synthetic`, JSON.stringify(content));
        synthetic.set(digest, content);
      }
    },
    stage() {
      uploadCount += 1;
      return stageInFile(join(uploads, String(uploadCount)), async (digest, file, size) => {
        await rename(file, pathOf(digest));
        sizes.set(digest, size);
      });
    },
  };
}

function stageInFile(file: string, keep: (digest: Digest, file: string, size: number) => Promise<void>): StagedUpload {
  const sha256 = createHash('sha256');
  let size = 0;
  const count = async function* (stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of stream) {
      sha256.update(chunk);
      size += chunk.length;
      yield chunk;
    }
  };
  return {
    get size() {
      return size;
    },
    append: (stream) => pipeline(stream, count, createWriteStream(file, { flags: 'a' })),
    async commit(digest) {
      if (size === 0) await writeFile(file, '');
      const hex = digestAlgorithm(digest) === 'sha256' ? sha256.digest('hex') : await hashOfFile(file, hashFor(digest));
      if (hex !== digestHex(digest)) {
        await rm(file, { force: true });
        return false;
      }
      await keep(digest, file, size);
      return true;
    },
    discard: () => rm(file, { force: true }),
  };
}

async function hashOfFile(file: string, hash: Hash): Promise<string> {
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
