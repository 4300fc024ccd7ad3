import { randomUUID } from 'node:crypto';
import type { Answer } from './answer.ts';
import type { Exchange } from './http-host.ts';
import { type Digest, digestAlgorithm, isDigest } from '../model/digest.ts';
import { ociError } from './oci-error.ts';
import {
  existingRepository,
  type RegistryContext,
  type RepositoryHandler,
  repositoryForPush,
  type UploadSession,
} from './registry-context.ts';
import { requiredBlobs, type Repository } from './registry-state.ts';

/** POST: starts an upload, or mounts; OCI distribution-spec v1.1 "Pushing Blobs". */
export const startUpload: RepositoryHandler = async (context, exchange, name) => {
  const repository = repositoryForPush(context, name);
  const { searchParams } = exchange.url;
  const mount = searchParams.get('mount');
  const from = searchParams.get('from');
  if (mount !== null && isDigest(mount) && from !== null && mayMount(context, mount, from)) {
    repository.blobs.add(mount);
    context.state.save(repository);
    return created(name, mount);
  }
  const session: UploadSession = { id: randomUUID(), repository: name, staged: context.storage.stage(), patches: 0 };
  context.uploads.set(session.id, session);
  const digest = searchParams.get('digest');
  if (digest !== null && context.manners === 'plain') return finish(context, session, exchange, digest);
  return progress(202, session);
};

/**
 * ECR mounts only when the account setting BLOB_MOUNTING is on
 * (https://docs.aws.amazon.com/AmazonECR/latest/userguide/blob-mounting.html), the caller may download from the source,
 * and a committed manifest there refers to the blob (https://github.com/aws/containers-roadmap/issues/2860); else it
 * answers 202 and expects an upload.
 */
function mayMount(context: RegistryContext, digest: Digest, from: string): boolean {
  const source = context.state.get(from);
  if (!context.mounting || source === undefined || !source.blobs.has(digest)) return false;
  if (context.manners === 'plain') return true;
  const denied = context.iam.check('ecr:GetDownloadUrlForLayer', repositoryArn(context, from));
  return denied === undefined && isReferenced(source, digest);
}

function isReferenced(repository: Repository, digest: Digest): boolean {
  return [...repository.manifests.values()].some(({ view }) =>
    requiredBlobs(view).some((descriptor) => descriptor.digest === digest),
  );
}

export function repositoryArn(context: RegistryContext, name: string): string {
  const { partition, region, id } = context.account;
  return `arn:${partition}:ecr:${region}:${id}:repository/${name}`;
}

/** PATCH: a piece of a blob. */
export const patchUpload: RepositoryHandler = async (context, exchange, name, id) => {
  const session = openSession(context, name, id);
  const contentRange = /^(?:bytes )?(\d+)-(\d+)/.exec(exchange.headers['content-range'] ?? '');
  if (contentRange !== null && Number(contentRange[1]) !== session.staged.size) {
    throw wrongStart(context, Number(contentRange[1]), session.staged.size);
  }
  session.patches += 1;
  if (context.manners === 'plain') {
    const type = exchange.headers['content-type'];
    // distribution takes nothing else (registry/handlers/blobupload.go, PatchBlobData) and answers 500.
    if (type !== undefined && type !== 'application/octet-stream') throw ociError(500, 'UNKNOWN', 'bad Content-Type');
    await session.staged.append(exchange.body);
    return progress(202, session);
  }
  // ECR answers 201 where the specification wants 202, and drops the bytes of every PATCH after the first:
  // https://github.com/aws/containers-roadmap/issues/2831
  if (session.patches === 1) await session.staged.append(exchange.body);
  return progress(201, session);
};

/** PUT: the rest of the blob (or all of it) and its digest. */
export const putUpload: RepositoryHandler = async (context, exchange, name, id) => {
  const session = openSession(context, name, id);
  return finish(context, session, exchange, exchange.url.searchParams.get('digest') ?? '');
};

async function finish(
  context: RegistryContext,
  session: UploadSession,
  exchange: Exchange,
  digest: string,
): Promise<Answer> {
  const repository = existingRepository(context, session.repository);
  if (!isDigest(digest)) throw ociError(400, 'DIGEST_INVALID', 'provided digest did not match uploaded content');
  if (context.manners === 'ecr') refuseForEcr(session, exchange, digest);
  await session.staged.append(exchange.body);
  context.uploads.delete(session.id);
  if (!(await session.staged.commit(digest))) {
    throw ociError(400, 'DIGEST_INVALID', 'provided digest did not match uploaded content', { digest });
  }
  repository.blobs.add(digest);
  context.state.save(repository);
  return created(session.repository, digest);
}

function refuseForEcr(session: UploadSession, exchange: Exchange, digest: Digest): void {
  // Only sha256 fits ECR's LayerDigest: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_Layer.html
  if (digestAlgorithm(digest) !== 'sha256') throw ociError(400, 'DIGEST_INVALID', 'unsupported digest algorithm');
  // An upload cannot be taken up again in the same session: https://github.com/apple/containerization/issues/790
  const brings = exchange.headers['transfer-encoding'] !== undefined || Number(exchange.headers['content-length']) > 0;
  if (brings && session.staged.size > 0) {
    throw ociError(416, 'BLOB_UPLOAD_INVALID', `First byte of the layer part is 0 instead of ${session.staged.size}`);
  }
}

function wrongStart(context: RegistryContext, start: number, expected: number): Error {
  if (context.manners === 'ecr') {
    return ociError(416, 'BLOB_UPLOAD_INVALID', `First byte of the layer part is ${start} instead of ${expected}`);
  }
  return ociError(416, 'RANGE_INVALID', 'invalid content range');
}

/** GET of a session: how far it is. ECR does not tell (same issue as above). */
export const uploadStatus: RepositoryHandler = async (context, _exchange, name, id) => {
  const session = openSession(context, name, id);
  if (context.manners === 'ecr') throw unknownUpload();
  return progress(204, session);
};

export const cancelUpload: RepositoryHandler = async (context, _exchange, name, id) => {
  const session = openSession(context, name, id);
  context.uploads.delete(session.id);
  await session.staged.discard();
  return { status: 204 };
};

function openSession(context: RegistryContext, name: string, id: string): UploadSession {
  const session = context.uploads.get(id);
  if (session?.repository !== name) throw unknownUpload();
  return session;
}

function unknownUpload(): Error {
  return ociError(404, 'BLOB_UPLOAD_UNKNOWN', 'blob upload unknown to registry');
}

function progress(status: number, session: UploadSession): Answer {
  return {
    status,
    headers: {
      location: `/v2/${session.repository}/blobs/uploads/${session.id}`,
      'docker-upload-uuid': session.id,
      range: `0-${Math.max(0, session.staged.size - 1)}`,
      'docker-distribution-api-version': 'registry/2.0',
    },
  };
}

function created(repository: string, digest: Digest): Answer {
  return {
    status: 201,
    headers: {
      location: `/v2/${repository}/blobs/${digest}`,
      'docker-content-digest': digest,
      'docker-distribution-api-version': 'registry/2.0',
    },
  };
}
