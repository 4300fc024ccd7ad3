import type { CreateRepositoryRequest, ECR, Repository } from '@aws-sdk/client-ecr';
import { isReplicationError } from '../model/errors.ts';
import { awsErrorName } from './errors.ts';
import { isOwnerTag } from './owner-tag.ts';

type Client = Pick<
  ECR,
  | 'describeRepositories'
  | 'createRepository'
  | 'getLifecyclePolicy'
  | 'putLifecyclePolicy'
  | 'listTagsForResource'
  | 'tagResource'
  | 'putImageTagMutability'
  | 'putImageScanningConfiguration'
>;

/** A registry, for its interface. */
export interface Registry {
  readonly ecr: () => Promise<Client>;
  /** When it is not the account of the credentials. */
  readonly registryId: string | undefined;
}

/** Tags of AWS's own, which nobody can set (https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html). */
const reservedTag = /^aws:/i;

/**
 * Gives a repository at the target the settings of its source: tag immutability, scanning on push, lifecycle policy and
 * tags. One that is missing is created with them. What cannot be carried along (encryption of an existing repository, keys
 * of another account) is left, and told.
 * @returns the differences that were found, each with what became of it
 */
export async function carrySettings(
  from: Registry,
  source: string,
  to: Registry,
  target: string,
  ownTags: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const wanted = await find(from, source, signal);
  if (wanted === undefined) return [];
  const tags = { ...(await carriedTags(from, wanted, signal)), ...ownTags };
  const found = await find(to, target, signal);
  const there = found ?? (await create(to, target, wanted, tags, signal));
  const told = found === undefined ? [] : await mutable(to, target, wanted, found, signal);
  if (found !== undefined) told.push(...(await missingTags(to, found, tags, signal)));
  told.push(...encryption(wanted, there), ...(await lifecycle(from, source, to, target, signal)));
  return told.map((difference) => `${target}: ${difference}`);
}

async function find({ ecr, registryId }: Registry, name: string, signal: AbortSignal): Promise<Repository | undefined> {
  try {
    const client = await ecr();
    const answer = await client.describeRepositories(account(registryId, { repositoryNames: [name] }), {
      abortSignal: signal,
    });
    return answer.repositories?.[0];
  } catch (error) {
    if (isReplicationError(error, 'not-found')) return undefined;
    throw error;
  }
}

async function create(
  { ecr, registryId }: Registry,
  name: string,
  wanted: Repository,
  tags: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Repository> {
  const request: CreateRepositoryRequest = account(registryId, {
    repositoryName: name,
    ...mutability(wanted),
    imageScanningConfiguration: { scanOnPush: wanted.imageScanningConfiguration?.scanOnPush ?? false },
    // A key belongs to its account and region; the target's own takes its place.
    encryptionConfiguration: { encryptionType: wanted.encryptionConfiguration?.encryptionType ?? 'AES256' },
    tags: tagList(tags),
  });
  const client = await ecr();
  return (await client.createRepository(request, { abortSignal: signal })).repository ?? {};
}

async function mutable(
  { ecr, registryId }: Registry,
  repositoryName: string,
  wanted: Repository,
  found: Repository,
  signal: AbortSignal,
): Promise<string[]> {
  const client = await ecr();
  const told: string[] = [];
  const [before, after] = [mutabilityText(found), mutabilityText(wanted)];
  if (before !== after) {
    await client.putImageTagMutability(account(registryId, { repositoryName, ...mutability(wanted) }), {
      abortSignal: signal,
    });
    told.push(`tag mutability was ${before}, is ${after} now`);
  }
  const scan = wanted.imageScanningConfiguration?.scanOnPush ?? false;
  if (scan !== (found.imageScanningConfiguration?.scanOnPush ?? false)) {
    await client.putImageScanningConfiguration(
      account(registryId, { repositoryName, imageScanningConfiguration: { scanOnPush: scan } }),
      { abortSignal: signal },
    );
    told.push(`scanning on push is ${scan ? 'on' : 'off'} now`);
  }
  return told;
}

function mutability(repository: Repository): Pick<
  CreateRepositoryRequest,
  'imageTagMutability' | 'imageTagMutabilityExclusionFilters'
> & {
  readonly imageTagMutability: NonNullable<CreateRepositoryRequest['imageTagMutability']>;
} {
  const filters = repository.imageTagMutabilityExclusionFilters ?? [];
  return {
    imageTagMutability: repository.imageTagMutability ?? 'MUTABLE',
    ...(filters.length === 0 ? {} : { imageTagMutabilityExclusionFilters: filters }),
  };
}

function mutabilityText(repository: Repository): string {
  const filters = (repository.imageTagMutabilityExclusionFilters ?? []).map(({ filter }) => filter ?? '').sort();
  return [
    repository.imageTagMutability ?? 'MUTABLE',
    ...(filters.length === 0 ? [] : [`but ${filters.join(', ')}`]),
  ].join(' ');
}

function encryption(wanted: Repository, found: Repository): readonly string[] {
  const { encryptionType: type = 'AES256', kmsKey } = wanted.encryptionConfiguration ?? {};
  const now = found.encryptionConfiguration?.encryptionType ?? 'AES256';
  if (now !== type)
    return [`encryption is ${now}, at the source ${type}; that of an existing repository cannot be changed`];
  const key = found.encryptionConfiguration?.kmsKey;
  return kmsKey === undefined || kmsKey === key
    ? []
    : [`the key is ${key ?? 'the one that AWS manages'}, at the source ${kmsKey}`];
}

async function lifecycle(
  from: Registry,
  source: string,
  to: Registry,
  target: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const wanted = await policyOf(from, source, signal);
  if (wanted === undefined || wanted === (await policyOf(to, target, signal))) return [];
  const client = await to.ecr();
  await client.putLifecyclePolicy(account(to.registryId, { repositoryName: target, lifecyclePolicyText: wanted }), {
    abortSignal: signal,
  });
  return ['has the lifecycle policy of the source now'];
}

async function policyOf({ ecr, registryId }: Registry, name: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const client = await ecr();
    const answer = await client.getLifecyclePolicy(account(registryId, { repositoryName: name }), {
      abortSignal: signal,
    });
    return answer.lifecyclePolicyText;
  } catch (error) {
    if (awsErrorName(error) === 'LifecyclePolicyNotFoundException') return undefined;
    throw error;
  }
}

async function tagsOf({ ecr }: Registry, { repositoryArn }: Repository, signal: AbortSignal) {
  const client = await ecr();
  const answer = await client.listTagsForResource({ resourceArn: repositoryArn }, { abortSignal: signal });
  return new Map((answer.tags ?? []).map(({ Key = '', Value = '' }) => [Key, Value]));
}

/** Owners of a repository are owners of that one, and not of its copy. */
async function carriedTags(
  from: Registry,
  repository: Repository,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const tags = await tagsOf(from, repository, signal);
  return Object.fromEntries([...tags].filter(([key]) => !reservedTag.test(key) && !isOwnerTag(key)));
}

async function missingTags(
  to: Registry,
  found: Repository,
  tags: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const present = await tagsOf(to, found, signal);
  const missing = Object.fromEntries(Object.entries(tags).filter(([key, value]) => present.get(key) !== value));
  if (Object.keys(missing).length === 0) return [];
  const client = await to.ecr();
  await client.tagResource({ resourceArn: found.repositoryArn, tags: tagList(missing) }, { abortSignal: signal });
  return [`tags ${Object.keys(missing).join(', ')} are those of the source now`];
}

function tagList(tags: Readonly<Record<string, string>>): { Key: string; Value: string }[] {
  return Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
}

function account<T extends object>(registryId: string | undefined, request: T): T & { registryId?: string } {
  return registryId === undefined ? request : { ...request, registryId };
}
