import type { ECR } from '@aws-sdk/client-ecr';
import pLimit, { type LimitFunction } from 'p-limit';
import { type Digest, isDigest } from '../model/digest.ts';
import { isReplicationError } from '../model/errors.ts';
import type { RegistryControl } from '../model/store.ts';
import { awsErrorName } from './errors.ts';

type Client = Pick<ECR, 'batchCheckLayerAvailability' | 'listImages' | 'batchGetImage'>;

/** Digests in one BatchCheckLayerAvailability, image ids in one BatchGetImage (API reference). */
const batchSize = 100;
const batchesAtOnce = 4;

/** One registry, and how it is asked. */
interface Asked {
  readonly ecr: () => Promise<Client>;
  readonly account: { readonly registryId?: string };
  /** So many batches at a time. */
  readonly limit: LimitFunction;
}

/**
 * What is in repositories, asked in batches. Where the service does not know an operation (moto), or the role may not use
 * it, the answer is `undefined` from then on and the caller asks by HEAD.
 */
export function ecrContents(
  ecr: () => Promise<Client>,
  registryId: string | undefined,
): Required<Pick<RegistryControl, 'missingBlobs' | 'tagDigests'>> {
  const registry: Asked = {
    ecr,
    account: registryId === undefined ? {} : { registryId },
    limit: pLimit(batchesAtOnce),
  };
  const unusable = new Set<'blobs' | 'tags'>();

  return {
    async missingBlobs(repository, digests, signal) {
      if (unusable.has('blobs')) return undefined;
      try {
        return await missingOf(registry, repository, [...new Set(digests)], signal);
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
        return await tagged(registry, repository, [...new Set(tags)], signal);
      } catch (error) {
        if (awsErrorName(error) === 'RepositoryNotFoundException') return new Map();
        if (!cannotTell(error)) throw error;
        unusable.add('tags');
        return undefined;
      }
    },
  };
}

async function missingOf(
  { ecr, account, limit }: Asked,
  repositoryName: string,
  digests: readonly Digest[],
  abortSignal: AbortSignal,
): Promise<ReadonlySet<Digest>> {
  const answers = await Promise.all(
    chunks(digests, batchSize).map((layerDigests) =>
      limit(async () => {
        const request = { ...account, repositoryName, layerDigests };
        const { layers = [] } = await (await ecr()).batchCheckLayerAvailability(request, { abortSignal });
        const there = layers.filter(({ layerAvailability }) => layerAvailability === 'AVAILABLE');
        const available = new Set(there.map(({ layerDigest }) => layerDigest));
        return layerDigests.filter((digest) => !available.has(digest));
      }),
    ),
  );
  return new Set(answers.flat());
}

async function tagged(
  { ecr, account, limit }: Asked,
  repositoryName: string,
  wanted: readonly string[],
  signal: AbortSignal,
): Promise<Map<string, Digest>> {
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
