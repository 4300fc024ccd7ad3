import type { Readable } from 'node:stream';
import type { Digest } from './digest.ts';
import type { Descriptor, ManifestContent } from './manifest.ts';

/**
 * Stores of manifests and blobs: a registry, an OCI image layout, memory. The copier (src/copy) works on these ports
 * only and knows no implementation by name. Repositories are names without host; each store belongs to one host or folder.
 *
 * Every method throws ReplicationError with `host`, `reference` and, for HTTP, `status` filled in; the copier adds the side.
 * Every method does its own retries of what can be repeated safely; streams are never retried inside a store (the
 * caller re-opens them).
 */
export interface ReadStore {
  /** Registry host as references write it (`quay.io`), or the name of the folder. For messages and grouping. */
  readonly name: string;

  /**
   * Type, digest and size of what a tag or digest names now, without reading it where the store can (HEAD: free on
   * Docker Hub). @throws `not-found` when there is no such manifest or repository
   */
  resolve(repository: string, reference: string, signal: AbortSignal): Promise<Descriptor>;

  /** The manifest's bytes, at most 4 MiB, verified against the digest asked for or announced. @throws `not-found`, `corrupt` */
  readManifest(repository: string, reference: string, signal: AbortSignal): Promise<ManifestContent>;

  /**
   * The blob's bytes from `range.start` on (both ends inclusive, as in RFC 9110 section 14.1.2). NOT verified: whoever
   * reads it whole verifies size and digest while it passes. A store that cannot do ranges throws `unsupported`.
   */
  openBlob(repository: string, descriptor: Descriptor, options: OpenBlobOptions): Promise<Readable>;

  /**
   * Manifests whose `subject` is this digest: OCI distribution-spec v1.1 "Listing Referrers", with the fallback tag
   * `sha256-<hex>` where the registry has no such API. Empty when there are none.
   */
  listReferrers(
    repository: string,
    digest: Digest,
    signal: AbortSignal,
    /** `fallbackTagAbsent`: the caller knows all tags, and the fallback tag is not among them. */
    options?: { readonly fallbackTagAbsent?: boolean },
  ): Promise<readonly Descriptor[]>;

  /** All tags of a repository, following pagination. @throws `not-found` when the repository does not exist */
  listTags(repository: string, signal: AbortSignal): Promise<readonly string[]>;

  /** The first page of tags, in one request where the store can; `complete` when there are no more. */
  firstTags?(
    repository: string,
    signal: AbortSignal,
  ): Promise<{ readonly tags: readonly string[]; readonly complete: boolean }>;
}

export interface OpenBlobOptions {
  readonly signal: AbortSignal;
  readonly range?: { readonly start: number; readonly end: number } | undefined;
}

export interface WriteStore extends ReadStore {
  /**
   * Makes sure that the repository can be pushed to. `created` means it is certainly empty, so nothing needs to be asked
   * about its content. Idempotent, and safe when several runs create the same repository.
   */
  ensureRepository(repository: string, signal: AbortSignal): Promise<'created' | 'existing'>;

  /** Those of the blobs that the repository does not hold yet. In batches where the store can. */
  missingBlobs(repository: string, blobs: readonly Descriptor[], signal: AbortSignal): Promise<ReadonlySet<Digest>>;

  /**
   * Starts an upload of one blob, and asks for it to be mounted from another repository of the same registry where
   * `from` is given. `mounted`: nothing to send. OCI distribution-spec v1.1 "Pushing Blobs", "Mounting a blob".
   */
  startUpload(repository: string, digest: Digest, from: string | undefined, signal: AbortSignal): Promise<UploadStart>;

  /**
   * Sends the whole blob in the session (one PUT with Content-Length from the descriptor: ECR drops all PATCHes but the
   * first, aws/containers-roadmap#2831). Never retried here: the body cannot be replayed; on failure start a new session.
   * The stream fails before its last byte when the content does not match, so that nothing wrong is ever committed.
   */
  finishUpload(
    session: UploadSession,
    descriptor: Descriptor,
    body: Readable | Uint8Array,
    signal: AbortSignal,
  ): Promise<void>;

  /**
   * Writes a manifest under a tag or digest, bytes untouched. Blobs and children must be there already.
   * @throws `conflict` when an immutable tag holds something else, `blob-unknown` when something it refers to is
   * missing (the digests that the registry named are in the message), `unsupported` when the media type is refused
   */
  writeManifest(repository: string, reference: string, content: ManifestContent, signal: AbortSignal): Promise<void>;

  /**
   * What tags name now, asked for many at once, where the store can do that in fewer requests than one each;
   * `undefined` when it cannot tell. A tag that is not in the answer names nothing.
   */
  tagDigests?(
    repository: string,
    tags: readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, Digest> | undefined>;

  /** Whether `missingBlobs` asks about many blobs in one request. Where not, an attempt to mount tells as much as a HEAD and is half of the upload. */
  readonly batchedExistence?: boolean;

  /** When a blob of one repository can be mounted into another. ECR: only once a manifest refers to it (aws/containers-roadmap#2860). */
  readonly mounting: 'after-upload' | 'after-manifest' | 'never';
}

export type UploadStart = { readonly kind: 'mounted' } | { readonly kind: 'upload'; readonly session: UploadSession };

/** An open upload: opaque to callers, good for one `finishUpload`. */
export interface UploadSession {
  readonly repository: string;
  readonly location: string;
}

/** What the account's own interface can do for a registry beyond the distribution API (implemented in src/aws for ECR). */
export interface RegistryControl {
  ensureRepository(repository: string, signal: AbortSignal): Promise<'created' | 'existing'>;
  /** Blobs missing from the repository, asked in batches; `undefined` when the service cannot tell (then ask by HEAD). */
  missingBlobs?(
    repository: string,
    digests: readonly Digest[],
    signal: AbortSignal,
  ): Promise<ReadonlySet<Digest> | undefined>;
  /** Digest of each tag in the repository; `undefined` when the service cannot tell. An absent repository has no tags. */
  tagDigests?(
    repository: string,
    tags: readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, Digest> | undefined>;
}
