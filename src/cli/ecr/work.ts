import type { CopyRequest } from '../../copy/request.ts';
import type { ReadStore, WriteStore } from '../../model/store.ts';
import type { Failure } from '../../model/result.ts';

/** What a run of the ECR job has to do, as comparing both sides has shown. */
export interface EcrWork {
  /** New or moved; the copier compares them once more. */
  readonly copy: readonly CopyRequest[];
  /** The same on both sides. */
  readonly unchanged: readonly CopyRequest[];
  /** What could not be looked at. */
  readonly failures: readonly Failure[];
  /** Asked for, and not at the source. */
  readonly absent: readonly AbsentImage[];
  /** At the destination from this source, and gone there. */
  readonly deleted: readonly DeletedImages[];
  /** Repositories with their names on both sides. */
  readonly repositories: readonly RepositoryPair[];
}

export interface AbsentImage {
  readonly source: string;
  readonly target: string;
  readonly failure: Failure;
}

export interface RepositoryPair {
  readonly source: string;
  readonly target: string;
}

/** What a repository at the destination holds that its source has no longer. */
export interface DeletedImages {
  readonly repository: string;
  readonly arn: string;
  /** The source has no such repository any more. */
  readonly whole: boolean;
  readonly tags: readonly { readonly label: string; readonly digest: string }[];
  /** Untagged manifests. */
  readonly digests: readonly string[];
}

/** Where images go. */
export interface Destination {
  readonly host: string;
  readonly store: WriteStore;
}

/** @param label the tag, or the digest, that the image is called by in messages and at the destination */
export function requestFor(
  from: { readonly store: ReadStore; readonly repository: string; readonly reference: string },
  label: string,
  to: Destination & { readonly repository: string },
  platforms: CopyRequest['platforms'],
): CopyRequest {
  const separator = label.includes(':') ? '@' : ':';
  return {
    artifact: `${from.store.name}/${from.repository}${separator}${label}`,
    source: from,
    targets: [{ store: to.store, repository: to.repository, reference: label }],
    platforms,
  };
}
