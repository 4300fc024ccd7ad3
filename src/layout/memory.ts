import { randomUUID } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { addAbortSignal, Readable } from 'node:stream';
import { type Digest, isDigest } from '../model/digest.ts';
import type { Descriptor, ManifestContent } from '../model/manifest.ts';
import type { OpenBlobOptions, UploadSession, UploadStart, WriteStore } from '../model/store.ts';
import { blobUnknown, type ManifestView, nameIn, notFound, viewManifest } from './manifest-view.ts';
import { checkManifest, verifiedBy } from './verify.ts';

interface MemoryRepository {
  readonly blobs: Map<Digest, Uint8Array>;
  readonly manifests: Map<Digest, { readonly content: ManifestContent; readonly view: ManifestView }>;
  readonly tags: Map<string, Digest>;
}

/**
 * A store in this process: for artifacts that we pack ourselves before they are pushed, and for tests. Behaves like a
 * registry with mutable tags whose repositories share nothing until a blob is mounted.
 */
export function memoryStore(name: string): WriteStore {
  return new MemoryStore(name);
}

class MemoryStore implements WriteStore {
  readonly name: string;
  readonly mounting = 'after-upload';
  readonly batchedExistence = true;
  readonly #repositories = new Map<string, MemoryRepository>();

  constructor(name: string) {
    this.name = name;
  }

  async resolve(repository: string, reference: string, signal: AbortSignal): Promise<Descriptor> {
    signal.throwIfAborted();
    return this.#manifest(repository, reference).view.descriptor;
  }

  async readManifest(repository: string, reference: string, signal: AbortSignal): Promise<ManifestContent> {
    signal.throwIfAborted();
    return this.#manifest(repository, reference).content;
  }

  async openBlob(repository: string, descriptor: Descriptor, options: OpenBlobOptions): Promise<Readable> {
    options.signal.throwIfAborted();
    const bytes = this.#repositories.get(repository)?.blobs.get(descriptor.digest);
    if (bytes === undefined) throw this.#notFound(repository, descriptor.digest);
    const part = options.range === undefined ? bytes : bytes.subarray(options.range.start, options.range.end + 1);
    return addAbortSignal(options.signal, Readable.from(inChunks(part), { objectMode: false }));
  }

  async listReferrers(repository: string, digest: Digest, signal: AbortSignal): Promise<readonly Descriptor[]> {
    signal.throwIfAborted();
    const manifests = this.#repositories.get(repository)?.manifests.values() ?? [];
    return [...manifests].flatMap(({ view }) => (view.referrer?.subject === digest ? [view.referrer.descriptor] : []));
  }

  async listTags(repository: string, signal: AbortSignal): Promise<readonly string[]> {
    signal.throwIfAborted();
    const held = this.#repositories.get(repository);
    if (held === undefined) throw notFound(this.name, repository);
    return [...held.tags.keys()].sort();
  }

  async ensureRepository(repository: string, signal: AbortSignal): Promise<'created' | 'existing'> {
    signal.throwIfAborted();
    if (this.#repositories.has(repository)) return 'existing';
    this.#create(repository);
    return 'created';
  }

  async missingBlobs(
    repository: string,
    blobs: readonly Descriptor[],
    signal: AbortSignal,
  ): Promise<ReadonlySet<Digest>> {
    signal.throwIfAborted();
    const held = this.#repositories.get(repository)?.blobs;
    return new Set(blobs.map((blob) => blob.digest).filter((digest) => held?.has(digest) !== true));
  }

  async startUpload(
    repository: string,
    digest: Digest,
    from: string | undefined,
    signal: AbortSignal,
  ): Promise<UploadStart> {
    signal.throwIfAborted();
    const bytes = from === undefined ? undefined : this.#repositories.get(from)?.blobs.get(digest);
    if (bytes === undefined) return { kind: 'upload', session: { repository, location: randomUUID() } };
    this.#create(repository).blobs.set(digest, bytes);
    return { kind: 'mounted' };
  }

  async finishUpload(
    session: UploadSession,
    descriptor: Descriptor,
    body: Readable | Uint8Array,
    signal: AbortSignal,
  ): Promise<void> {
    const chunks: Uint8Array[] = [];
    await pipeline(
      body instanceof Uint8Array ? Readable.from([body]) : body,
      verifiedBy(this.name, descriptor),
      async (verified: AsyncIterable<Uint8Array>) => {
        for await (const chunk of verified) chunks.push(chunk);
      },
      { signal },
    );
    this.#create(session.repository).blobs.set(descriptor.digest, Buffer.concat(chunks));
  }

  async writeManifest(
    repository: string,
    reference: string,
    content: ManifestContent,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    checkManifest(this.name, reference, content);
    const view = viewManifest(content);
    const held = this.#create(repository);
    const missing = [
      ...view.blobs.filter((blob) => !held.blobs.has(blob.digest)),
      ...view.children.filter(({ digest }) => !held.manifests.has(digest) && !held.blobs.has(digest)),
    ];
    if (missing.length > 0) {
      throw blobUnknown(
        this.name,
        nameIn(repository, reference),
        missing.map((each) => each.digest),
      );
    }
    held.manifests.set(view.descriptor.digest, {
      content: { descriptor: view.descriptor, bytes: content.bytes },
      view,
    });
    if (!isDigest(reference)) held.tags.set(reference, view.descriptor.digest);
  }

  #create(repository: string): MemoryRepository {
    const held = this.#repositories.get(repository);
    if (held !== undefined) return held;
    const created: MemoryRepository = { blobs: new Map(), manifests: new Map(), tags: new Map() };
    this.#repositories.set(repository, created);
    return created;
  }

  #manifest(repository: string, reference: string): { readonly content: ManifestContent; readonly view: ManifestView } {
    const held = this.#repositories.get(repository);
    const digest = isDigest(reference) ? reference : held?.tags.get(reference);
    const manifest = digest === undefined ? undefined : held?.manifests.get(digest);
    if (manifest === undefined) throw this.#notFound(repository, reference);
    return manifest;
  }

  #notFound(repository: string, reference: string): Error {
    return notFound(this.name, nameIn(repository, reference));
  }
}

/** Chunks of the size that Node reads from files and sockets, so that readers meet boundaries here too. */
function* inChunks(bytes: Uint8Array, size = 64 * 1024): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}
