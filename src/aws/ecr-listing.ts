import type { ECR, Repository } from '@aws-sdk/client-ecr';
import pLimit from 'p-limit';
import * as z from 'zod';
import { type Digest, isDigest } from '../model/digest.ts';
import { awsErrorName } from './errors.ts';

type Client = Pick<ECR, 'describeRepositories' | 'listImages' | 'batchGetImage'>;

/** What a repository holds: every tag, and every manifest, tagged or not. */
export interface RepositoryContent {
  readonly tags: ReadonlyMap<string, Digest>;
  readonly digests: ReadonlySet<Digest>;
}

/** Reads what a whole registry holds, in as few requests as ECR's interface allows: pages of 1000. */
export interface EcrListing {
  /** All repositories with their settings, sorted by name. */
  repositories(signal: AbortSignal): Promise<readonly Repository[]>;
  /** Contents by name; a repository that does not exist has none. One request per 1000 images. */
  contents(
    repositories: readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, RepositoryContent | undefined>>;
  /** Those of the manifests that refer to another one (signatures, SBOMs), with what they refer to. */
  subjects(repository: string, digests: readonly Digest[], signal: AbortSignal): Promise<ReadonlyMap<Digest, Digest>>;
}

/** ListImages, DescribeRepositories: at most 1000 a page. BatchGetImage: at most 100 ids (API reference). */
const pageSize = 1000;
const idsPerRequest = 100;
/** Listings at the same time: ECR's read operations take 20 to 1000 a second, and the SDK backs off when throttled. */
const atOnce = 8;

const Subject = z.object({ subject: z.object({ digest: z.string() }) });

/** @param registryId account of the registry, when it is not the caller's */
export function ecrListing(ecr: () => Promise<Client>, registryId: string | undefined): EcrListing {
  const account = registryId === undefined ? {} : { registryId };
  const limit = pLimit(atOnce);

  return {
    async repositories(signal) {
      const client = await ecr();
      const found: Repository[] = [];
      let nextToken: string | undefined;
      do {
        const answer = await client.describeRepositories(
          { ...account, maxResults: pageSize, nextToken },
          { abortSignal: signal },
        );
        found.push(...(answer.repositories ?? []));
        nextToken = answer.nextToken;
      } while (nextToken !== undefined);
      return found.sort((a, b) => ((a.repositoryName ?? '') < (b.repositoryName ?? '') ? -1 : 1));
    },
    contents: async (names, signal) =>
      new Map(
        await Promise.all(
          names.map((name) =>
            limit(
              async () => [name, await contentOf(await ecr(), { ...account, repositoryName: name }, signal)] as const,
            ),
          ),
        ),
      ),
    async subjects(repositoryName, digests, signal) {
      const found = new Map<Digest, Digest>();
      for (const batch of batches(digests)) {
        const client = await ecr();
        const imageIds = batch.map((imageDigest) => ({ imageDigest }));
        const answer = await client.batchGetImage({ ...account, repositoryName, imageIds }, { abortSignal: signal });
        for (const { imageId, imageManifest } of answer.images ?? []) {
          const subject = subjectOf(imageManifest);
          const digest = imageId?.imageDigest;
          if (subject !== undefined && digest !== undefined && isDigest(digest)) found.set(digest, subject);
        }
      }
      return found;
    },
  };
}

/** Tags and digests of one repository; `undefined` when there is no such repository. */
async function contentOf(
  client: Client,
  repository: { readonly registryId?: string; readonly repositoryName: string },
  abortSignal: AbortSignal,
): Promise<RepositoryContent | undefined> {
  const tags = new Map<string, Digest>();
  const digests = new Set<Digest>();
  let nextToken: string | undefined;
  do {
    try {
      const answer = await client.listImages({ ...repository, maxResults: pageSize, nextToken }, { abortSignal });
      for (const { imageDigest, imageTag } of answer.imageIds ?? []) {
        if (imageDigest === undefined || !isDigest(imageDigest)) continue;
        digests.add(imageDigest);
        if (imageTag !== undefined) tags.set(imageTag, imageDigest);
      }
      nextToken = answer.nextToken;
    } catch (error) {
      if (awsErrorName(error) === 'RepositoryNotFoundException') return undefined;
      throw error;
    }
  } while (nextToken !== undefined);
  return { tags, digests };
}

/** OCI image-spec v1.1 manifest.md, property `subject`. */
function subjectOf(manifest: string | undefined): Digest | undefined {
  try {
    const parsed = Subject.safeParse(JSON.parse(manifest ?? ''));
    const digest = parsed.success ? parsed.data.subject.digest : '';
    return isDigest(digest) ? digest : undefined;
  } catch {
    // Whatever is no JSON refers to nothing.
    return undefined;
  }
}

function batches<T>(items: readonly T[]): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / idsPerRequest) }, (_, index) =>
    items.slice(index * idsPerRequest, (index + 1) * idsPerRequest),
  );
}
