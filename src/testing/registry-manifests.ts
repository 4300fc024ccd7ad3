import * as z from 'zod';
import type { Answer } from './answer.ts';
import type { Exchange } from './http-host.ts';
import { type Digest, digestAlgorithm, digestOf, isDigest } from '../model/digest.ts';
import { type Manifest, maxManifestBytes } from '../model/manifest.ts';
import { isIndexType, isSchema1Type, mediaTypes } from '../model/media-types.ts';
import { isTag } from '../model/reference.ts';
import { wildcard } from './ecr-iam.ts';
import { ociError } from './oci-error.ts';
import {
  existingRepository,
  type RegistryContext,
  type RepositoryHandler,
  repositoryForPush,
} from './registry-context.ts';
import { findManifest, type Repository, requiredBlobs, type StoredManifest, viewOf } from './registry-state.ts';

/** GET and HEAD of a manifest by tag or digest. */
export const getManifest: RepositoryHandler = async (context, exchange, name, reference) => {
  const repository = existingRepository(context, name, () => unknownManifest(context, reference));
  checkReference(context, reference);
  const stored = findManifest(repository, reference);
  if (stored === undefined) throw unknownManifest(context, reference);
  return manifestAnswer(convert(repository, stored, exchange.headers.accept, reference));
};

function manifestAnswer(stored: StoredManifest): Answer {
  return {
    status: 200,
    headers: {
      'content-type': stored.mediaType,
      'docker-content-digest': stored.digest,
      etag: `"${stored.digest}"`,
      'docker-distribution-api-version': 'registry/2.0',
    },
    body: stored.bytes,
  };
}

function unknownManifest(context: RegistryContext, reference: string): Error {
  if (context.manners === 'ecr') return ociError(404, 'MANIFEST_UNKNOWN', 'Requested image not found');
  return ociError(404, 'MANIFEST_UNKNOWN', 'manifest unknown', { unknown: reference });
}

/** ECR answers 400 to a tag with characters outside of the grammar: https://github.com/bazel-contrib/rules_oci/issues/720 */
function checkReference(context: RegistryContext, reference: string): void {
  if (isTag(reference)) return;
  if (!isDigest(reference)) {
    throw ociError(400, 'TAG_INVALID', `Invalid parameter at 'imageTag': '${reference}' is not a tag`);
  }
  if (context.manners === 'ecr' && digestAlgorithm(reference) !== 'sha256') {
    throw ociError(400, 'DIGEST_INVALID', 'unsupported digest algorithm');
  }
}

/**
 * Who does not accept an index is given its linux/amd64 image instead when he asks by tag (so does distribution:
 * registry/handlers/manifests.go), which has another digest. It is what a client must not let happen.
 */
function convert(
  repository: Repository,
  stored: StoredManifest,
  accept: string | undefined,
  reference: string,
): StoredManifest {
  const accepted = (accept ?? '*/*').split(',').map((part) => part.split(';')[0]?.trim());
  if (accepted.includes('*/*') || accepted.includes(stored.mediaType)) return stored;
  if (!isDigest(reference) && isIndexType(stored.mediaType) && stored.view?.kind === 'index') {
    const child = stored.view.manifests.find(
      ({ platform }) => platform?.os === 'linux' && platform.architecture === 'amd64',
    );
    const found = child === undefined ? undefined : repository.manifests.get(child.digest);
    if (found !== undefined) return found;
  }
  throw ociError(404, 'MANIFEST_UNKNOWN', `${stored.mediaType} found, but the Accept header does not support it`);
}

/** PUT of a manifest under a tag or a digest. */
export const putManifest: RepositoryHandler = async (context, exchange, name, reference) => {
  const repository = repositoryForPush(context, name);
  checkReference(context, reference);
  const bytes = await readManifest(context, exchange);
  const mediaType = exchange.headers['content-type'] ?? mediaTypes.ociManifest;
  const digest = checkDigest(context, name, reference, bytes);
  checkJson(context, bytes, mediaType);
  const view = parse(context, bytes, mediaType);
  if (view !== undefined) {
    if (context.manners === 'ecr') checkEcrTypes(view);
    checkReferences(context, repository, view);
  }
  const tag = isDigest(reference) ? undefined : reference;
  if (tag !== undefined) checkMutable(context, repository, tag);
  if (tag !== undefined) repository.tags.set(tag, digest);
  context.state.storeManifest(repository, bytes, mediaType, digest);
  const subject = context.referrersApi ? view?.subject : undefined;
  return {
    status: 201,
    headers: {
      location: `/v2/${name}/manifests/${digest}`,
      'docker-content-digest': digest,
      'docker-distribution-api-version': 'registry/2.0',
      // OCI distribution-spec v1.1 "Pushing Manifests with Subject"
      ...(subject === undefined ? {} : { 'oci-subject': subject.digest }),
    },
  };
};

async function readManifest(context: RegistryContext, exchange: Exchange): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of exchange.body) {
    size += (chunk as Buffer).length;
    if (size <= maxManifestBytes) chunks.push(chunk as Buffer);
  }
  if (size <= maxManifestBytes) return Buffer.concat(chunks);
  if (context.manners === 'ecr') {
    // ImageManifest is at most 4,194,304 long: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html
    throw unsupported(`Member must have length less than or equal to ${maxManifestBytes}`);
  }
  throw ociError(400, 'MANIFEST_INVALID', 'manifest invalid', 'payload too large');
}

function unsupported(constraint: string): Error {
  return ociError(
    405,
    'UNSUPPORTED',
    `Invalid parameter at 'ImageManifest' failed to satisfy constraint: '${constraint}'`,
  );
}

function checkDigest(context: RegistryContext, name: string, reference: string, bytes: Buffer): Digest {
  if (!isDigest(reference)) return digestOf(bytes);
  const calculated = digestOf(bytes, digestAlgorithm(reference));
  if (calculated === reference) return reference;
  if (context.manners === 'plain')
    throw ociError(400, 'DIGEST_INVALID', 'provided digest did not match uploaded content');
  // Wording: https://github.com/google/go-containerregistry/issues/1568
  throw ociError(
    400,
    'MANIFEST_INVALID',
    `The image with digest '${reference}' in repository '${name}' and registry ID '${context.account.id}' does not match the image digest that Amazon ECR has calculated.`,
  );
}

/** ECR wants Content-Type to be the manifest's own type: seen in https://github.com/moby/buildkit/issues/5747 and others. */
function checkJson(context: RegistryContext, bytes: Buffer, mediaType: string): void {
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8'));
  } catch {
    if (isSchema1Type(mediaType)) return;
    throw context.manners === 'ecr'
      ? unsupported('Invalid JSON syntax')
      : ociError(400, 'MANIFEST_INVALID', 'not JSON');
  }
  const declared = z.object({ mediaType: z.string() }).safeParse(json).data?.mediaType;
  if (declared === undefined || declared === mediaType) return;
  if (context.manners === 'ecr') throw unsupported('Invalid JSON syntax');
  throw ociError(400, 'MANIFEST_INVALID', `manifest says ${declared}, Content-Type says ${mediaType}`);
}

function parse(context: RegistryContext, bytes: Buffer, mediaType: string): Manifest | undefined {
  const view = viewOf(bytes, mediaType);
  if (view !== undefined || isSchema1Type(mediaType)) return view;
  throw context.manners === 'ecr'
    ? unsupported('Invalid JSON syntax')
    : ociError(400, 'MANIFEST_INVALID', 'manifest invalid');
}

/** ECR refuses media types with parameters: https://github.com/aws/containers-roadmap/issues/2306 */
function checkEcrTypes(view: Manifest): void {
  const descriptors = view.kind === 'image' ? [view.config, ...view.layers] : view.manifests;
  const types = [view.artifactType ?? '', ...descriptors.map(({ mediaType }) => mediaType)];
  const bad = types.find((type) => type.includes(';'));
  if (bad !== undefined) throw unsupported(`Member must satisfy regular expression pattern, got ${bad}`);
  if (descriptors.some(({ digest }) => digestAlgorithm(digest) !== 'sha256')) {
    throw ociError(400, 'DIGEST_INVALID', 'unsupported digest algorithm');
  }
}

/** Everything that a manifest refers to must be in the same repository. */
function checkReferences(context: RegistryContext, repository: Repository, view: Manifest): void {
  const blobs = requiredBlobs(view)
    .map(({ digest }) => digest)
    .filter((digest) => !repository.blobs.has(digest) || context.storage.size(digest) === undefined);
  const children = view.kind === 'index' ? view.manifests.map(({ digest }) => digest) : [];
  const absent = children.filter((digest) => !repository.manifests.has(digest));
  if (context.manners === 'plain') {
    const missing = [...new Set([...blobs, ...absent])];
    if (missing.length > 0)
      throw ociError(400, 'MANIFEST_BLOB_UNKNOWN', 'blob unknown to registry', { digest: missing[0] });
    return;
  }
  const where = `required for pushing image into repository with name '${repository.name}' in the registry with id '${context.account.id}' do not exist`;
  // Wording: https://github.com/int128/docker-manifest-create-action/issues/63
  if (absent.length > 0) {
    throw ociError(404, 'MANIFEST_BLOB_UNKNOWN', `Images with digests '[${unique(absent)}]' ${where}`);
  }
  // LayersNotFoundException: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html
  if (blobs.length > 0) throw ociError(404, 'BLOB_UNKNOWN', `Layers with digests '[${unique(blobs)}]' ${where}`);
}

function unique(digests: readonly Digest[]): string {
  return [...new Set(digests)].join(', ');
}

/**
 * An immutable tag is refused even for the same digest.
 * Wording: https://github.com/moby/buildkit/issues/3776, https://github.com/chainguard-forks/kaniko/issues/204
 */
function checkMutable(context: RegistryContext, repository: Repository, tag: string): void {
  if (context.manners === 'plain' || !repository.tags.has(tag)) return;
  const { imageTagMutability, exclusionFilters } = repository.settings;
  const excluded = exclusionFilters.some(({ filter }) => wildcard(filter, tag));
  const immutable =
    imageTagMutability === 'IMMUTABLE' ||
    (imageTagMutability === 'IMMUTABLE_WITH_EXCLUSION' && !excluded) ||
    (imageTagMutability === 'MUTABLE_WITH_EXCLUSION' && excluded);
  if (!immutable) return;
  throw ociError(
    400,
    'TAG_INVALID',
    `The image tag '${tag}' already exists in the '${repository.name}' repository and cannot be overwritten because the ${excluded ? 'tag' : 'repository'} is immutable.`,
  );
}

export const deleteManifest: RepositoryHandler = async (context, _exchange, name, reference) => {
  if (context.manners === 'ecr') throw ociError(405, 'UNSUPPORTED', 'The operation is unsupported.');
  const repository = existingRepository(context, name);
  const stored = findManifest(repository, reference);
  if (stored === undefined) throw unknownManifest(context, reference);
  if (isDigest(reference)) removeManifest(repository, stored.digest);
  else repository.tags.delete(reference);
  context.state.save(repository);
  return { status: 202 };
};

export function removeManifest(repository: Repository, digest: Digest): void {
  repository.manifests.delete(digest);
  for (const [tag, tagged] of repository.tags) if (tagged === digest) repository.tags.delete(tag);
}
