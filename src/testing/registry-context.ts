import type { Answer } from './answer.ts';
import type { BlobStorage, StagedUpload } from './blob-storage.ts';
import type { Iam } from './ecr-iam.ts';
import type { Exchange } from './http-host.ts';
import { ociError } from './oci-error.ts';
import type { Authenticator } from './registry-auth.ts';
import type { RegistryState, Repository } from './registry-state.ts';

/** `plain` behaves like CNCF distribution, `ecr` like Amazon ECR; every difference says where it is known from. */
export type Manners = 'plain' | 'ecr';

export interface UploadSession {
  readonly id: string;
  readonly repository: string;
  readonly staged: StagedUpload;
  patches: number;
}

/** Account and place of an ECR-like registry. */
export interface AccountInfo {
  readonly id: string;
  readonly region: string;
  /** `aws`, `aws-cn`, `aws-us-gov`, … */
  readonly partition: string;
}

/** What all handlers of one registry share. */
export interface RegistryContext {
  readonly manners: Manners;
  readonly account: AccountInfo;
  readonly state: RegistryState;
  readonly storage: BlobStorage;
  readonly uploads: Map<string, UploadSession>;
  readonly auth: Authenticator;
  readonly iam: Iam;
  /** ECR's account setting BLOB_MOUNTING; on a plain registry whether it mounts at all. */
  mounting: boolean;
  readonly referrersApi: boolean;
  /** Where blob downloads are sent to; `undefined` when the registry serves them itself. */
  readonly presign: ((repository: string, digest: string) => string) | undefined;
  /** `https://HOST` as clients know it. */
  readonly endpoint: string;
  /** HOST as clients know it: what references and repositoryUri start with. */
  readonly hostName: string;
}

/**
 * The repository, or 404. ECR has no create-on-push unless a template asks for it, and says NAME_UNKNOWN on the upload
 * POST already: https://github.com/aws/containers-roadmap/issues/853
 * @param unknown what distribution answers instead: it knows a repository only by its content
 */
export function existingRepository(
  context: RegistryContext,
  name: string,
  unknown = (): Error => ociError(404, 'NAME_UNKNOWN', 'repository name not known to registry', { name }),
): Repository {
  const repository = context.state.get(name);
  if (repository !== undefined) return repository;
  if (context.manners === 'plain') throw unknown();
  throw ociError(
    404,
    'NAME_UNKNOWN',
    `The repository with name '${name}' does not exist in the registry with id '${context.account.id}'`,
  );
}

/** The repository to push to: on a plain registry it springs into being. */
export function repositoryForPush(context: RegistryContext, name: string): Repository {
  return context.manners === 'ecr' ? existingRepository(context, name) : context.state.getOrCreate(name);
}

/** A handler of one class of requests on one repository. */
export type RepositoryHandler = (
  context: RegistryContext,
  exchange: Exchange,
  repository: string,
  reference: string,
) => Promise<Answer>;
