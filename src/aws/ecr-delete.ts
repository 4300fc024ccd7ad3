import type { ECR } from '@aws-sdk/client-ecr';

type Client = Pick<ECR, 'batchDeleteImage'>;

/** What is to go from one repository: tags by name, manifests by digest (`sha256:…`). */
export interface ImageDeletion {
  readonly tags: readonly string[];
  readonly digests: readonly string[];
}

/** BatchDeleteImage takes at most 100 ids (API_BatchDeleteImage.html). */
const idsPerRequest = 100;

/**
 * Deletes tags, with their image where no other tag is left, then untagged manifests. What an index refers to can go only
 * after the index (failure ImageReferencedByManifestList), so that what was refused is asked for again while anything goes.
 * @returns what ECR would not delete, with its reasons
 */
export async function deleteImages(
  ecr: () => Promise<Client>,
  registryId: string | undefined,
  repositoryName: string,
  { tags, digests }: ImageDeletion,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const client = await ecr();
  const send = async (ids: readonly ImageId[]): Promise<readonly Refusal[]> => {
    const refused: Refusal[] = [];
    for (let start = 0; start < ids.length; start += idsPerRequest) {
      const imageIds = ids.slice(start, start + idsPerRequest);
      const answer = await client.batchDeleteImage(
        { ...(registryId === undefined ? {} : { registryId }), repositoryName, imageIds },
        { abortSignal: signal },
      );
      for (const { imageId, failureCode, failureReason } of answer.failures ?? []) {
        if (failureCode !== 'ImageNotFound' && imageId !== undefined)
          refused.push({ id: imageId, reason: failureReason ?? failureCode ?? 'refused' });
      }
    }
    return refused;
  };
  const refusedTags = await send(tags.map((imageTag) => ({ imageTag })));
  let left = await send(digests.map((imageDigest) => ({ imageDigest })));
  for (let before = Number.POSITIVE_INFINITY; left.length > 0 && left.length < before;) {
    before = left.length;
    left = await send(left.map(({ id }) => ({ imageDigest: id.imageDigest })));
  }
  return [...refusedTags, ...left].map(
    ({ id, reason }) =>
      `${repositoryName}${id.imageTag === undefined ? `@${id.imageDigest ?? ''}` : `:${id.imageTag}`}: ${reason}`,
  );
}

interface ImageId {
  readonly imageTag?: string | undefined;
  readonly imageDigest?: string | undefined;
}

interface Refusal {
  readonly id: ImageId;
  readonly reason: string;
}
