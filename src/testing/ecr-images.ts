import * as z from 'zod';
import { isDigest, type Digest } from '../model/digest.ts';
import { isTag } from '../model/reference.ts';
import { apiError, operation, type Operation, page, Paging, repositoryOr404 } from './ecr-operation.ts';
import type { RegistryContext } from './registry-context.ts';
import { removeManifest } from './registry-manifests.ts';
import type { Repository, StoredManifest } from './registry-state.ts';

const ImageId = z.object({ imageDigest: z.string().nullish(), imageTag: z.string().nullish() });
type ImageId = z.infer<typeof ImageId>;
/** BatchGetImage, BatchDeleteImage, DescribeImages and BatchCheckLayerAvailability take at most so many ids. */
const ImageIds = z.array(ImageId).min(1, 'Member must have length greater than or equal to 1').max(100);

interface Failure {
  readonly imageId: ImageId;
  readonly failureCode: string;
  readonly failureReason: string;
}

/** The manifest that an id names, or why there is none. */
function find(repository: Repository, imageId: ImageId): StoredManifest | Failure {
  const fail = (failureCode: string, failureReason: string): Failure => ({ imageId, failureCode, failureReason });
  const { imageDigest: digest, imageTag: tag } = imageId;
  if (digest == null && tag == null) return fail('MissingDigestAndTag', 'Neither digest nor tag was given');
  if (digest != null && !isDigest(digest))
    return fail('InvalidImageDigest', 'Invalid request parameters: image digest');
  if (tag != null && !isTag(tag)) return fail('InvalidImageTag', 'Invalid request parameters: image tag');
  const tagged = tag == null ? undefined : repository.tags.get(tag);
  if (tag != null && tagged === undefined) return fail('ImageNotFound', 'Requested image not found');
  if (digest != null && tagged !== undefined && tagged !== digest) {
    return fail('ImageTagDoesNotMatchDigest', 'The tag does not name this digest');
  }
  const wanted = digest ?? tagged;
  const manifest = wanted === undefined || !isDigest(wanted) ? undefined : repository.manifests.get(wanted);
  return manifest ?? fail('ImageNotFound', 'Requested image not found');
}

function tagsOf(repository: Repository, digest: Digest): readonly string[] {
  return [...repository.tags].filter(([, tagged]) => tagged === digest).map(([tag]) => tag);
}

const ListImages = z.object({
  repositoryName: z.string(),
  filter: z.object({ tagStatus: z.enum(['TAGGED', 'UNTAGGED', 'ANY']).nullish() }).nullish(),
  ...Paging,
});

function listImages(context: RegistryContext, input: z.infer<typeof ListImages>): unknown {
  const repository = repositoryOr404(context, input.repositoryName);
  const all = [...repository.manifests.keys()].flatMap((imageDigest): { imageDigest: string; imageTag?: string }[] => {
    const tags = tagsOf(repository, imageDigest);
    return tags.length === 0 ? [{ imageDigest }] : tags.map((imageTag) => ({ imageDigest, imageTag }));
  });
  const status = input.filter?.tagStatus ?? 'ANY';
  const wanted = all.filter(({ imageTag }) => status === 'ANY' || (status === 'TAGGED') === (imageTag !== undefined));
  const { items, nextToken } = page(wanted, input);
  return { imageIds: items, ...(nextToken === undefined ? {} : { nextToken }) };
}

const DescribeImages = z.object({
  repositoryName: z.string(),
  imageIds: ImageIds.nullish(),
  filter: z.object({ tagStatus: z.enum(['TAGGED', 'UNTAGGED', 'ANY']).nullish() }).nullish(),
  ...Paging,
});

function describeImages(context: RegistryContext, input: z.infer<typeof DescribeImages>): unknown {
  const repository = repositoryOr404(context, input.repositoryName);
  if (input.imageIds != null) {
    const found = input.imageIds.map((id) => {
      const manifest = find(repository, id);
      if ('digest' in manifest) return manifest;
      throw apiError(
        'ImageNotFoundException',
        `The image with imageId {imageDigest:'${id.imageDigest ?? 'null'}', imageTag:'${id.imageTag ?? 'null'}'} does not exist within the repository with name '${repository.name}' in the registry with id '${context.account.id}'`,
      );
    });
    return { imageDetails: [...new Set(found)].map((manifest) => detail(context, repository, manifest)) };
  }
  const status = input.filter?.tagStatus ?? 'ANY';
  const wanted = [...repository.manifests.values()].filter(
    ({ digest }) => status === 'ANY' || (status === 'TAGGED') === tagsOf(repository, digest).length > 0,
  );
  const { items, nextToken } = page(wanted, input);
  const imageDetails = items.map((manifest) => detail(context, repository, manifest));
  return { imageDetails, ...(nextToken === undefined ? {} : { nextToken }) };
}

function detail(context: RegistryContext, repository: Repository, manifest: StoredManifest): unknown {
  const { digest, view } = manifest;
  const tags = tagsOf(repository, digest);
  const layers = view?.kind === 'image' ? view.layers : [];
  return {
    registryId: context.account.id,
    repositoryName: repository.name,
    imageDigest: digest,
    ...(tags.length === 0 ? {} : { imageTags: tags }),
    imageSizeInBytes: layers.reduce((sum, layer) => sum + layer.size, 0),
    imagePushedAt: manifest.pushedAt / 1000,
    imageManifestMediaType: manifest.mediaType,
    ...(view?.kind === 'image' ? { artifactMediaType: view.artifactType ?? view.config.mediaType } : {}),
    ...(view?.subject === undefined ? {} : { subjectManifestDigest: view.subject.digest }),
    imageStatus: 'ACTIVE',
  };
}

const ByIds = z.object({ repositoryName: z.string(), imageIds: ImageIds });

function getImages(context: RegistryContext, input: z.infer<typeof ByIds>): unknown {
  const repository = repositoryOr404(context, input.repositoryName);
  const found = input.imageIds.map((imageId) => ({ imageId, manifest: find(repository, imageId) }));
  return {
    images: found.flatMap(({ imageId, manifest }) =>
      'digest' in manifest
        ? [
            {
              registryId: context.account.id,
              repositoryName: repository.name,
              imageId: { ...imageId, imageDigest: manifest.digest },
              imageManifest: manifest.bytes.toString('utf8'),
              imageManifestMediaType: manifest.mediaType,
            },
          ]
        : [],
    ),
    failures: found.flatMap(({ manifest }) => ('digest' in manifest ? [] : [manifest])),
  };
}

function deleteImages(context: RegistryContext, input: z.infer<typeof ByIds>): unknown {
  const repository = repositoryOr404(context, input.repositoryName);
  const imageIds: unknown[] = [];
  const failures: Failure[] = [];
  for (const imageId of input.imageIds) {
    const manifest = find(repository, imageId);
    if (!('digest' in manifest)) {
      failures.push(manifest);
      continue;
    }
    const { digest } = manifest;
    if (imageId.imageTag != null && tagsOf(repository, digest).length > 1) {
      repository.tags.delete(imageId.imageTag);
    } else if (isChild(repository, digest)) {
      const failureReason = `Requested image referenced by manifest list`;
      failures.push({ imageId, failureCode: 'ImageReferencedByManifestList', failureReason });
      continue;
    } else removeManifest(repository, digest);
    imageIds.push({ imageDigest: digest, ...(imageId.imageTag == null ? {} : { imageTag: imageId.imageTag }) });
  }
  context.state.save(repository);
  return { imageIds, failures };
}

function isChild(repository: Repository, digest: Digest): boolean {
  return [...repository.manifests.values()].some(
    ({ view }) => view?.kind === 'index' && view.manifests.some((child) => child.digest === digest),
  );
}

const CheckLayers = z.object({ repositoryName: z.string(), layerDigests: z.array(z.string()).min(1).max(100) });

/** Layers are known per repository; absent ones are UNAVAILABLE, malformed digests are failures. */
function checkLayers(context: RegistryContext, input: z.infer<typeof CheckLayers>): unknown {
  const repository = repositoryOr404(context, input.repositoryName);
  const valid = input.layerDigests.filter((text): text is Digest => isDigest(text) && text.startsWith('sha256:'));
  return {
    layers: valid.map((layerDigest) => {
      const size = repository.blobs.has(layerDigest) ? context.storage.size(layerDigest) : undefined;
      return size === undefined
        ? { layerDigest, layerAvailability: 'UNAVAILABLE' }
        : { layerDigest, layerAvailability: 'AVAILABLE', layerSize: size };
    }),
    failures: input.layerDigests
      .filter((text) => !valid.some((digest) => digest === text))
      .map((layerDigest) => ({
        layerDigest,
        failureCode: 'InvalidLayerDigest',
        failureReason: 'Invalid layer digest',
      })),
  };
}

const ListReferrers = z.object({
  repositoryName: z.string(),
  subjectId: z.object({ imageDigest: z.string() }),
  nextToken: z.string().nullish(),
  maxResults: z.number().int().min(1).max(50).nullish(),
});

function listReferrers(context: RegistryContext, input: z.infer<typeof ListReferrers>): unknown {
  const repository = repositoryOr404(context, input.repositoryName);
  const all = [...repository.manifests.values()]
    .filter(({ view }) => view?.subject?.digest === input.subjectId.imageDigest)
    .map(({ digest, mediaType, bytes, view }) => ({
      digest,
      mediaType,
      size: bytes.length,
      artifactType: view?.artifactType ?? (view?.kind === 'image' ? view.config.mediaType : undefined),
      annotations: view?.annotations,
      artifactStatus: 'ACTIVE',
    }));
  const { items, nextToken } = page(all, { ...input, maxResults: input.maxResults ?? 50 });
  return { referrers: items, ...(nextToken === undefined ? {} : { nextToken }) };
}

/** Operations on images and layers. */
export const imageOperations: Readonly<Record<string, Operation>> = {
  ListImages: operation(ListImages, listImages),
  DescribeImages: operation(DescribeImages, describeImages),
  BatchGetImage: operation(ByIds, getImages),
  BatchDeleteImage: operation(ByIds, deleteImages),
  BatchCheckLayerAvailability: operation(CheckLayers, checkLayers),
  ListImageReferrers: operation(ListReferrers, listReferrers),
};
