import { digestAlgorithm, digestHex, type Digest } from '../model/digest.ts';
import { isReplicationError } from '../model/errors.ts';
import type { ReadStore } from '../model/store.ts';

/** Something that refers to an image and should come along with it. */
export interface FoundReferrer {
  /** Tag (cosign's scheme) or digest (OCI 1.1 referrers) under which it is read and written. */
  readonly reference: string;
  /** Digest of the manifest that it is about. */
  readonly subject: Digest;
  readonly by: 'tag' | 'referrers-api';
}

/** cosign "Signature storage": `sha256-<hex>.sig` beside the image; attestations and SBOMs alike (sigstore/cosign specs/SIGNATURE_SPEC.md). */
const cosignSuffixes = ['.sig', '.att', '.sbom'] as const;

function tagStem(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest)}`;
}

/**
 * Finds what refers to the given manifests of one repository. A HEAD per cosign name where not all tags are known; one
 * request per manifest for the referrers API where the registry has it.
 */
export async function findReferrers(
  store: ReadStore,
  repository: string,
  subjects: readonly Digest[],
  tags: ReadonlySet<string> | undefined,
  signal: AbortSignal,
): Promise<readonly FoundReferrer[]> {
  const found = await Promise.all(
    subjects.map(async (subject) => {
      const [named, listed] = await Promise.all([
        cosignTags(store, repository, subject, tags, signal),
        store.listReferrers(repository, subject, signal, {
          fallbackTagAbsent: tags !== undefined && !tags.has(tagStem(subject)),
        }),
      ]);
      return [
        ...named.map((tag): FoundReferrer => ({ reference: tag, subject, by: 'tag' })),
        ...listed.map((entry): FoundReferrer => ({ reference: entry.digest, subject, by: 'referrers-api' })),
      ];
    }),
  );
  return found.flat();
}

/** All tags of a repository, in one request, when one page holds them; `undefined` when there are more or the registry does not tell. */
export async function allTags(
  store: ReadStore,
  repository: string,
  signal: AbortSignal,
): Promise<ReadonlySet<string> | undefined> {
  try {
    const page =
      store.firstTags === undefined
        ? { tags: await store.listTags(repository, signal), complete: true }
        : await store.firstTags(repository, signal);
    return page.complete ? new Set(page.tags) : undefined;
  } catch (error) {
    if (isReplicationError(error, 'not-found', 'denied', 'unauthorized', 'unsupported', 'corrupt')) return undefined;
    throw error;
  }
}

async function cosignTags(
  store: ReadStore,
  repository: string,
  subject: Digest,
  tags: ReadonlySet<string> | undefined,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const names = cosignSuffixes.map((suffix) => tagStem(subject) + suffix);
  if (tags !== undefined) return names.filter((name) => tags.has(name));
  const present = await Promise.all(
    names.map(async (name) => {
      try {
        await store.resolve(repository, name, signal);
        return true;
      } catch (error) {
        if (isReplicationError(error, 'not-found')) return false;
        throw error;
      }
    }),
  );
  return names.filter((_, position) => present[position]);
}
