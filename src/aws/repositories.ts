import type { ECR, Repository } from '@aws-sdk/client-ecr';
import { ReplicationError } from '../model/errors.ts';
import { awsErrorName } from './errors.ts';

/** Default settings of repositories that a run creates; existing ones are left as they are. */
export interface RepositorySettings {
  readonly scanOnPush: boolean;
  readonly immutableTags: boolean;
  /** `AES256`, `KMS` (the key that AWS manages), or a KMS key's id, ARN or alias. */
  readonly encryptionKey: string;
}

export interface RepositoryName {
  readonly name: string;
  readonly arn: string;
}

/** AWS tags: key to value. */
export type Tags = Readonly<Record<string, string>>;

/** A registry's repositories as ECR's API shows them: the few operations that replication and destroy need. */
export interface Repositories {
  /**
   * Repositories of the registry, 1000 a page (ECR has no filter by prefix), at most `maxPages` pages.
   * `complete` says whether that was all.
   */
  list(options: {
    readonly signal: AbortSignal;
    readonly maxPages?: number;
  }): Promise<{ readonly repositories: readonly RepositoryName[]; readonly complete: boolean }>;
  find(name: string, signal: AbortSignal): Promise<RepositoryName | undefined>;
  /** `undefined` when it was there already, perhaps since a moment ago. */
  create(
    name: string,
    settings: RepositorySettings,
    tags: Tags,
    signal: AbortSignal,
  ): Promise<RepositoryName | undefined>;
  /** `undefined` when there is no such repository. */
  tags(repository: RepositoryName, signal: AbortSignal): Promise<ReadonlyMap<string, string> | undefined>;
  tag(repository: RepositoryName, tags: Tags, signal: AbortSignal): Promise<void>;
  untag(repository: RepositoryName, keys: readonly string[], signal: AbortSignal): Promise<void>;
  /** Deletes the repository with everything in it; `absent` when there was none. */
  delete(repository: RepositoryName, signal: AbortSignal): Promise<'deleted' | 'absent'>;
}

type Client = Pick<
  ECR,
  | 'describeRepositories'
  | 'createRepository'
  | 'listTagsForResource'
  | 'tagResource'
  | 'untagResource'
  | 'deleteRepository'
>;

/** @param registryId account of the registry, when it is not the caller's */
export function repositories(ecr: () => Promise<Client>, registryId: string | undefined): Repositories {
  const account = registryId === undefined ? {} : { registryId };
  return {
    list: async (options) => listed(await ecr(), account, options),
    find: async (name, signal) =>
      unless('RepositoryNotFoundException', undefined, async () => {
        const answer = await (
          await ecr()
        ).describeRepositories({ ...account, repositoryNames: [name] }, { abortSignal: signal });
        return answer.repositories?.map(named)[0];
      }),
    create: async (name, settings, tags, signal) =>
      unless('RepositoryAlreadyExistsException', undefined, async () => {
        const request = { ...account, ...creation(name, settings, tags) };
        const answer = await (await ecr()).createRepository(request, { abortSignal: signal });
        return named(answer.repository ?? {});
      }),
    tags: async ({ arn }, signal) =>
      unless('RepositoryNotFoundException', undefined, async () => {
        const answer = await (await ecr()).listTagsForResource({ resourceArn: arn }, { abortSignal: signal });
        return new Map((answer.tags ?? []).map((tag) => [tag.Key ?? '', tag.Value ?? '']));
      }),
    async tag({ name, arn }, tags, signal) {
      try {
        await (await ecr()).tagResource({ resourceArn: arn, tags: tagList(tags) }, { abortSignal: signal });
      } catch (error) {
        throw awsErrorName(error) === 'TooManyTagsException' ? tooManyTags(name, tags, error) : error;
      }
    },
    async untag({ arn }, keys, signal) {
      await (await ecr()).untagResource({ resourceArn: arn, tagKeys: [...keys] }, { abortSignal: signal });
    },
    delete: async ({ name }, signal) =>
      unless('RepositoryNotFoundException', 'absent' as const, async () => {
        await (
          await ecr()
        ).deleteRepository({ ...account, repositoryName: name, force: true }, { abortSignal: signal });
        return 'deleted' as const;
      }),
  };
}

async function listed(
  client: Client,
  account: { readonly registryId?: string },
  { signal, maxPages = Number.POSITIVE_INFINITY }: Parameters<Repositories['list']>[0],
): ReturnType<Repositories['list']> {
  const found: RepositoryName[] = [];
  let nextToken: string | undefined;
  for (let page = 0; page < maxPages; page += 1) {
    const answer = await client.describeRepositories(
      { ...account, maxResults: 1000, nextToken },
      { abortSignal: signal },
    );
    found.push(...(answer.repositories ?? []).map(named));
    nextToken = answer.nextToken;
    if (nextToken === undefined) return { repositories: found, complete: true };
  }
  return { repositories: found, complete: false };
}

function creation(name: string, settings: RepositorySettings, tags: Tags) {
  const { encryptionKey } = settings;
  const keyIsNamed = encryptionKey !== 'AES256' && encryptionKey !== 'KMS';
  return {
    repositoryName: name,
    imageTagMutability: settings.immutableTags ? ('IMMUTABLE' as const) : ('MUTABLE' as const),
    imageScanningConfiguration: { scanOnPush: settings.scanOnPush },
    encryptionConfiguration: {
      encryptionType: encryptionKey === 'AES256' ? ('AES256' as const) : ('KMS' as const),
      ...(keyIsNamed ? { kmsKey: encryptionKey } : {}),
    },
    tags: tagList(tags),
  };
}

function tagList(tags: Tags): { Key: string; Value: string }[] {
  return Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
}

function named(repository: Repository): RepositoryName {
  const { repositoryName, repositoryArn } = repository;
  if (repositoryName === undefined || repositoryArn === undefined)
    throw new ReplicationError('corrupt', 'ecr named a repository without its name or ARN');
  return { name: repositoryName, arn: repositoryArn };
}

function tooManyTags(name: string, tags: Tags, cause: unknown): ReplicationError {
  return new ReplicationError(
    'denied',
    `repository ${name} carries 50 tags, as many as ECR allows; ${Object.keys(tags).join(', ')} cannot be added`,
    { side: 'target', reference: name, remedy: 'remove a tag that is not needed from the repository', cause },
  );
}

async function unless<T, U>(name: string, otherwise: U, work: () => Promise<T>): Promise<T | U> {
  try {
    return await work();
  } catch (error) {
    if (awsErrorName(error) === name) return otherwise;
    throw error;
  }
}
