import * as z from 'zod';
import { apiError, operation, type Operation, page, Paging, RepositoryName, repositoryOr404 } from './ecr-operation.ts';
import type { RegistryContext } from './registry-context.ts';
import type { Repository } from './registry-state.ts';
import { repositoryArn } from './registry-uploads.ts';

const Tag = z.object({ Key: z.string().min(1).max(128), Value: z.string().max(256) });
const Mutability = z.enum(['MUTABLE', 'IMMUTABLE', 'IMMUTABLE_WITH_EXCLUSION', 'MUTABLE_WITH_EXCLUSION']);
const Filters = z
  .array(z.object({ filterType: z.literal('WILDCARD'), filter: z.string().regex(/^[0-9a-zA-Z._*-]{1,128}$/) }))
  .max(5);
/** At most so many tags on a repository. */
const maxTags = 50;

const CreateRepository = z.object({
  repositoryName: RepositoryName,
  tags: z.array(Tag).max(maxTags).nullish(),
  imageTagMutability: Mutability.nullish(),
  imageTagMutabilityExclusionFilters: Filters.nullish(),
  imageScanningConfiguration: z.object({ scanOnPush: z.boolean().nullish() }).nullish(),
  encryptionConfiguration: z
    .object({ encryptionType: z.enum(['AES256', 'KMS', 'KMS_DSSE']), kmsKey: z.string().nullish() })
    .nullish(),
});

function create(context: RegistryContext, input: z.infer<typeof CreateRepository>): unknown {
  const name = input.repositoryName;
  if (context.state.get(name) !== undefined) {
    throw apiError(
      'RepositoryAlreadyExistsException',
      `The repository with name '${name}' already exists in the registry with id '${context.account.id}'`,
    );
  }
  const key = input.encryptionConfiguration?.kmsKey ?? undefined;
  if (key !== undefined && input.encryptionConfiguration?.encryptionType === 'AES256') {
    throw apiError('InvalidParameterException', 'kmsKey cannot be given with the encryption type AES256');
  }
  const repository = context.state.create(name, {
    imageTagMutability: input.imageTagMutability ?? 'MUTABLE',
    exclusionFilters: input.imageTagMutabilityExclusionFilters ?? [],
    scanOnPush: input.imageScanningConfiguration?.scanOnPush ?? false,
    encryptionType: input.encryptionConfiguration?.encryptionType ?? 'AES256',
    kmsKey: key,
  });
  for (const { Key, Value } of input.tags ?? []) repository.resourceTags.set(Key, Value);
  context.state.save(repository);
  return { repository: describe(context, repository) };
}

function describe(context: RegistryContext, repository: Repository): Record<string, unknown> {
  const { settings } = repository;
  return {
    repositoryArn: repositoryArn(context, repository.name),
    registryId: context.account.id,
    repositoryName: repository.name,
    repositoryUri: `${context.hostName}/${repository.name}`,
    createdAt: repository.createdAt / 1000,
    imageTagMutability: settings.imageTagMutability,
    ...(settings.exclusionFilters.length === 0
      ? {}
      : { imageTagMutabilityExclusionFilters: settings.exclusionFilters }),
    imageScanningConfiguration: { scanOnPush: settings.scanOnPush },
    encryptionConfiguration: {
      encryptionType: settings.encryptionType,
      ...(settings.kmsKey === undefined ? {} : { kmsKey: settings.kmsKey }),
    },
  };
}

const DescribeRepositories = z.object({ repositoryNames: z.array(z.string()).max(100).nullish(), ...Paging });

function describeAll(context: RegistryContext, input: z.infer<typeof DescribeRepositories>): unknown {
  const names = input.repositoryNames ?? undefined;
  if (names !== undefined) {
    return { repositories: names.map((name) => describe(context, repositoryOr404(context, name))) };
  }
  const { items, nextToken } = page(context.state.names, input);
  const repositories = items.map((name) => describe(context, repositoryOr404(context, name)));
  return { repositories, ...(nextToken === undefined ? {} : { nextToken }) };
}

function remove(
  context: RegistryContext,
  input: { repositoryName: string; force?: boolean | null | undefined },
): unknown {
  const repository = repositoryOr404(context, input.repositoryName);
  if (repository.manifests.size > 0 && input.force !== true) {
    throw apiError(
      'RepositoryNotEmptyException',
      `The repository with name '${repository.name}' in registry with id '${context.account.id}' cannot be deleted because it still contains images`,
    );
  }
  context.state.delete(repository.name);
  return { repository: describe(context, repository) };
}

function byArn(context: RegistryContext, arn: string): Repository {
  const prefix = repositoryArn(context, '');
  if (!arn.startsWith(prefix))
    throw apiError('InvalidParameterException', `Invalid parameter at 'resourceArn': ${arn}`);
  return repositoryOr404(context, arn.slice(prefix.length));
}

function tag(context: RegistryContext, input: { resourceArn: string; tags: z.infer<typeof Tag>[] }): unknown {
  const repository = byArn(context, input.resourceArn);
  const after = new Set([...repository.resourceTags.keys(), ...input.tags.map(({ Key }) => Key)]);
  if (after.size > maxTags) {
    throw apiError('TooManyTagsException', `The repository would have ${after.size} tags; the limit is ${maxTags}`);
  }
  for (const { Key, Value } of input.tags) repository.resourceTags.set(Key, Value);
  context.state.save(repository);
  return {};
}

const Named = z.object({ repositoryName: z.string() });
const AccountSetting = z.enum(['BASIC_SCAN_TYPE_VERSION', 'REGISTRY_POLICY_SCOPE', 'BLOB_MOUNTING']);

function accountSetting(context: RegistryContext, name: z.infer<typeof AccountSetting>): unknown {
  if (name === 'BLOB_MOUNTING') return { name, value: context.mounting ? 'ENABLED' : 'DISABLED' };
  return { name, value: name === 'REGISTRY_POLICY_SCOPE' ? 'V2' : 'AWS_NATIVE' };
}

/** Operations on repositories, their settings and the account's. */
export const repositoryOperations: Readonly<Record<string, Operation>> = {
  GetAuthorizationToken: operation(z.object({ registryIds: z.array(z.string()).max(10).nullish() }), (context) => {
    const { token, expiresAt } = context.auth.issueEcrToken();
    return {
      authorizationData: [{ authorizationToken: token, expiresAt: expiresAt / 1000, proxyEndpoint: context.endpoint }],
    };
  }),
  CreateRepository: operation(CreateRepository, create),
  DescribeRepositories: operation(DescribeRepositories, describeAll),
  DeleteRepository: operation(z.object({ repositoryName: z.string(), force: z.boolean().nullish() }), remove),
  TagResource: operation(z.object({ resourceArn: z.string(), tags: z.array(Tag) }), tag),
  UntagResource: operation(z.object({ resourceArn: z.string(), tagKeys: z.array(z.string()) }), (context, input) => {
    const repository = byArn(context, input.resourceArn);
    for (const key of input.tagKeys) repository.resourceTags.delete(key);
    context.state.save(repository);
    return {};
  }),
  ListTagsForResource: operation(z.object({ resourceArn: z.string() }), (context, input) => {
    const { resourceTags } = byArn(context, input.resourceArn);
    return { tags: [...resourceTags].map(([Key, Value]) => ({ Key, Value })) };
  }),
  PutImageTagMutability: operation(
    z.object({
      repositoryName: z.string(),
      imageTagMutability: Mutability,
      imageTagMutabilityExclusionFilters: Filters.nullish(),
    }),
    (context, input) => {
      const repository = repositoryOr404(context, input.repositoryName);
      repository.settings.imageTagMutability = input.imageTagMutability;
      repository.settings.exclusionFilters = input.imageTagMutabilityExclusionFilters ?? [];
      context.state.save(repository);
      return { registryId: context.account.id, ...input };
    },
  ),
  PutImageScanningConfiguration: operation(
    z.object({ repositoryName: z.string(), imageScanningConfiguration: z.object({ scanOnPush: z.boolean() }) }),
    (context, input) => {
      const repository = repositoryOr404(context, input.repositoryName);
      repository.settings.scanOnPush = input.imageScanningConfiguration.scanOnPush;
      context.state.save(repository);
      return { registryId: context.account.id, ...input };
    },
  ),
  PutLifecyclePolicy: operation(
    z.object({ repositoryName: z.string(), lifecyclePolicyText: z.string().min(100).max(30_720) }),
    (context, input) => {
      const repository = repositoryOr404(context, input.repositoryName);
      repository.lifecyclePolicy = input.lifecyclePolicyText;
      context.state.save(repository);
      return { registryId: context.account.id, ...input };
    },
  ),
  GetLifecyclePolicy: operation(Named, (context, { repositoryName }) => {
    const { lifecyclePolicy } = repositoryOr404(context, repositoryName);
    if (lifecyclePolicy === undefined) {
      throw apiError('LifecyclePolicyNotFoundException', `Lifecycle policy does not exist for '${repositoryName}'`);
    }
    return { registryId: context.account.id, repositoryName, lifecyclePolicyText: lifecyclePolicy };
  }),
  GetAccountSetting: operation(z.object({ name: AccountSetting }), (context, { name }) =>
    accountSetting(context, name),
  ),
  PutAccountSetting: operation(z.object({ name: AccountSetting, value: z.string() }), (context, { name, value }) => {
    if (name === 'BLOB_MOUNTING') context.mounting = value === 'ENABLED';
    return { name, value };
  }),
};
