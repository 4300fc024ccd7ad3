import type { ECR } from '@aws-sdk/client-ecr';
import pLimit from 'p-limit';
import { type Digest, isDigest } from '../model/digest.ts';
import { isReplicationError } from '../model/errors.ts';
import type { RegistryControl } from '../model/store.ts';
import { awsErrorName } from './errors.ts';

type Client = Pick<ECR, 'batchCheckLayerAvailability' | 'listImages' | 'batchGetImage'>;

/** Digests in one BatchCheckLayerAvailability, image ids in one BatchGetImage (API reference). */
const batchSize = 100;
const batchesAtOnce = 4;

/**
 * What is in repositories, asked in batches. Where the service does not know an operation (moto), or the role may not use
 * it, the answer is `undefined` from then on and the caller asks by HEAD.
 */
export function ecrContents(
  ecr: () => Promise<Client>,
  registryId: string | undefined,
): Required<Pick<RegistryControl, 'missingBlobs' | 'tagDigests'>> {
  const account = registryId === undefined ? {} : { registryId };
  const limit = pLimit(batchesAtOnce);
  const unusable = new Set<'blobs' | 'tags'>();

  const missingOf = async (
    repositoryName: string,
    layerDigests: Digest[],
    abortSignal: AbortSignal,
  ): Promise<Digest[]> => {
    const client = await ecr();
    const answer = await client.batchCheckLayerAvailability(
      { ...account, repositoryName, layerDigests },
      { abortSignal },
    );
    const available = new Set(
      (answer.layers ?? [])
        .filter((layer) => layer.layerAvailability === 'AVAILABLE')
        .map((layer) => layer.layerDigest),
    );
    return layerDigests.filter((digest) => !available.has(digest));
  };

  const tagged = async (
    repositoryName: string,
    wanted: readonly string[],
    signal: AbortSignal,
  ): Promise<Map<string, Digest>> => {
    const client = await ecr();
    const request = { ...account, repositoryName, maxResults: 1000, filter: { tagStatus: 'TAGGED' as const } };
    const first = await client.listImages(request, { abortSignal: signal });
    const found = digestsByTag(first.imageIds ?? [], wanted);
    const rest = wanted.filter((tag) => !found.has(tag));
    // One page shows 1000 tags. In a bigger repository the tags still looked for are asked by name.
    if (first.nextToken === undefined || rest.length === 0) return found;
    const answers = await Promise.all(
      chunks(rest, batchSize).map((tags) =>
        limit(async () => {
          const imageIds = tags.map((imageTag) => ({ imageTag }));
          const answer = await client.batchGetImage({ ...account, repositoryName, imageIds }, { abortSignal: signal });
          return digestsByTag(
            (answer.images ?? []).map((image) => image.imageId ?? {}),
            tags,
          );
        }),
      ),
    );
    return new Map([...found, ...answers.flatMap((each) => [...each])]);
  };

  return {
    async missingBlobs(repository, digests, signal) {
      if (unusable.has('blobs')) return undefined;
      try {
        const batches = chunks([...new Set(digests)], batchSize);
        const answers = await Promise.all(batches.map((batch) => limit(() => missingOf(repository, batch, signal))));
        return new Set(answers.flat());
      } catch (error) {
        if (awsErrorName(error) === 'RepositoryNotFoundException') return new Set(digests);
        if (!cannotTell(error)) throw error;
        unusable.add('blobs');
        return undefined;
      }
    },
    async tagDigests(repository, tags, signal) {
      if (unusable.has('tags')) return undefined;
      try {
        return await tagged(repository, [...new Set(tags)], signal);
      } catch (error) {
        if (awsErrorName(error) === 'RepositoryNotFoundException') return new Map();
        if (!cannotTell(error)) throw error;
        unusable.add('tags');
        return undefined;
      }
    },
  };
}

/** Denied, or an operation that a stand-in for ECR does not know (moto answers HTTP 500). */
function cannotTell(error: unknown): boolean {
  return (
    isReplicationError(error, 'denied', 'unavailable') ||
    ['UnknownOperationException', 'NotImplementedError', 'InvalidAction'].includes(awsErrorName(error) ?? '')
  );
}

function digestsByTag(
  ids: readonly { readonly imageTag?: string | undefined; readonly imageDigest?: string | undefined }[],
  wanted: readonly string[],
): Map<string, Digest> {
  const asked = new Set(wanted);
  const found = new Map<string, Digest>();
  for (const { imageTag, imageDigest } of ids) {
    if (imageTag !== undefined && imageDigest !== undefined && asked.has(imageTag) && isDigest(imageDigest))
      found.set(imageTag, imageDigest);
  }
  return found;
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}
