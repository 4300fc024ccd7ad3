import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { type Digest, digestOf, isDigest, parseDigest } from '../model/digest.ts';
import { type Descriptor, type Manifest, parseManifest } from '../model/manifest.ts';
import { isForeignLayerType } from '../model/media-types.ts';

/** A manifest as it was pushed, with what it refers to. */
export interface StoredManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
  /** Milliseconds since the epoch. */
  readonly pushedAt: number;
  /** The manifest understood; `undefined` for what is no OCI or Docker schema 2 manifest (schema 1). */
  readonly view: Manifest | undefined;
}

/** Settings of an ECR repository, in the words of its API. */
export interface RepositorySettings {
  imageTagMutability: 'MUTABLE' | 'IMMUTABLE' | 'IMMUTABLE_WITH_EXCLUSION' | 'MUTABLE_WITH_EXCLUSION';
  exclusionFilters: { filterType: string; filter: string }[];
  scanOnPush: boolean;
  encryptionType: 'AES256' | 'KMS' | 'KMS_DSSE';
  kmsKey?: string | undefined;
}

export const defaultSettings: RepositorySettings = {
  imageTagMutability: 'MUTABLE',
  exclusionFilters: [],
  scanOnPush: false,
  encryptionType: 'AES256',
};

export interface Repository {
  readonly name: string;
  readonly createdAt: number;
  settings: RepositorySettings;
  /** AWS resource tags. */
  readonly resourceTags: Map<string, string>;
  lifecyclePolicy: string | undefined;
  readonly blobs: Set<Digest>;
  readonly manifests: Map<Digest, StoredManifest>;
  /** Image tags. */
  readonly tags: Map<string, Digest>;
}

const RepositoryFile = z.object({
  name: z.string(),
  createdAt: z.number(),
  settings: z.object({
    imageTagMutability: z.enum(['MUTABLE', 'IMMUTABLE', 'IMMUTABLE_WITH_EXCLUSION', 'MUTABLE_WITH_EXCLUSION']),
    exclusionFilters: z.array(z.object({ filterType: z.string(), filter: z.string() })),
    scanOnPush: z.boolean(),
    encryptionType: z.enum(['AES256', 'KMS', 'KMS_DSSE']),
    kmsKey: z.string().optional(),
  }),
  resourceTags: z.array(z.tuple([z.string(), z.string()])),
  lifecyclePolicy: z.string().optional(),
  blobs: z.array(z.string().transform(parseDigest)),
  manifests: z.array(z.object({ digest: z.string(), mediaType: z.string(), base64: z.string(), pushedAt: z.number() })),
  tags: z.array(z.tuple([z.string(), z.string().transform(parseDigest)])),
});

/** The repositories of a server; kept in a folder too where the storage is one, so that a later process finds them. */
export class RegistryState {
  readonly #repositories = new Map<string, Repository>();
  readonly #folder: string | undefined;

  constructor(directory?: string) {
    if (directory === undefined) return;
    this.#folder = join(directory, 'repositories');
    mkdirSync(this.#folder, { recursive: true });
    for (const file of readdirSync(this.#folder)) {
      const repository = fromFile(JSON.parse(readFileSync(join(this.#folder, file), 'utf8')));
      this.#repositories.set(repository.name, repository);
    }
  }

  /** Sorted by name. */
  get names(): readonly string[] {
    return [...this.#repositories.keys()].sort();
  }

  get(name: string): Repository | undefined {
    return this.#repositories.get(name);
  }

  create(name: string, settings: Partial<RepositorySettings> = {}): Repository {
    const repository: Repository = {
      name,
      createdAt: Date.now(),
      settings: { ...defaultSettings, ...settings },
      resourceTags: new Map(),
      lifecyclePolicy: undefined,
      blobs: new Set(),
      manifests: new Map(),
      tags: new Map(),
    };
    this.#repositories.set(name, repository);
    this.save(repository);
    return repository;
  }

  getOrCreate(name: string): Repository {
    return this.get(name) ?? this.create(name);
  }

  delete(name: string): void {
    this.#repositories.delete(name);
    if (this.#folder !== undefined) rmSync(join(this.#folder, fileName(name)), { force: true });
  }

  /** To be called after every change of a repository. */
  save(repository: Repository): void {
    if (this.#folder === undefined) return;
    writeFileSync(join(this.#folder, fileName(repository.name)), JSON.stringify(toFile(repository)));
  }

  storeManifest(
    repository: Repository,
    bytes: Uint8Array,
    mediaType: string,
    digest = digestOf(bytes),
  ): StoredManifest {
    const stored = newManifest(digest, mediaType, Buffer.from(bytes), Date.now());
    repository.manifests.set(digest, stored);
    this.save(repository);
    return stored;
  }
}

/** The manifest that a tag or digest names. */
export function findManifest(repository: Repository, reference: string): StoredManifest | undefined {
  const digest = isDigest(reference) ? reference : repository.tags.get(reference);
  return digest === undefined ? undefined : repository.manifests.get(digest);
}

/** A manifest understood; `undefined` for what is no OCI or Docker schema 2 manifest. */
export function viewOf(bytes: Buffer, mediaType: string): Manifest | undefined {
  try {
    return parseManifest(bytes, mediaType);
  } catch {
    return undefined;
  }
}

/** Blobs that must be in the repository before this manifest is: foreign layers come from elsewhere. */
export function requiredBlobs(view: Manifest | undefined): readonly Descriptor[] {
  if (view?.kind !== 'image') return [];
  return [view.config, ...view.layers.filter((layer) => !isForeignLayerType(layer.mediaType))];
}

function newManifest(digest: Digest, mediaType: string, bytes: Buffer, pushedAt: number): StoredManifest {
  return { digest, mediaType, bytes, pushedAt, view: viewOf(bytes, mediaType) };
}

function fileName(repository: string): string {
  return `${encodeURIComponent(repository)}.json`;
}

function toFile(repository: Repository): z.input<typeof RepositoryFile> {
  return {
    name: repository.name,
    createdAt: repository.createdAt,
    settings: repository.settings,
    resourceTags: [...repository.resourceTags],
    lifecyclePolicy: repository.lifecyclePolicy,
    blobs: [...repository.blobs],
    manifests: [...repository.manifests.values()].map(({ digest, mediaType, bytes, pushedAt }) => ({
      digest,
      mediaType,
      base64: bytes.toString('base64'),
      pushedAt,
    })),
    tags: [...repository.tags],
  };
}

function fromFile(json: unknown): Repository {
  const file = RepositoryFile.parse(json);
  const manifests = file.manifests.map(({ digest, mediaType, base64, pushedAt }) =>
    newManifest(parseDigest(digest), mediaType, Buffer.from(base64, 'base64'), pushedAt),
  );
  return {
    name: file.name,
    createdAt: file.createdAt,
    settings: file.settings,
    resourceTags: new Map(file.resourceTags),
    lifecyclePolicy: file.lifecyclePolicy,
    blobs: new Set(file.blobs),
    manifests: new Map(manifests.map((manifest) => [manifest.digest, manifest])),
    tags: new Map(file.tags),
  };
}
