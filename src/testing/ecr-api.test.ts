import {
  BatchCheckLayerAvailabilityCommand,
  BatchDeleteImageCommand,
  BatchGetImageCommand,
  CreateRepositoryCommand,
  DeleteRepositoryCommand,
  DescribeImagesCommand,
  DescribeRepositoriesCommand,
  ECRClient,
  GetAccountSettingCommand,
  GetAuthorizationTokenCommand,
  GetLifecyclePolicyCommand,
  ListImageReferrersCommand,
  ListImagesCommand,
  ListTagsForResourceCommand,
  paginateDescribeRepositories,
  PutAccountSettingCommand,
  PutImageScanningConfigurationCommand,
  PutImageTagMutabilityCommand,
  PutLifecyclePolicyCommand,
  TagResourceCommand,
  UntagResourceCommand,
} from '@aws-sdk/client-ecr';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../model/digest.ts';
import { callerOf } from './ecr-api.ts';
import { buildImage, withReferrer } from './image-builder.ts';
import { type RegistryServer, startRegistryServer } from './registry-server.ts';

let server: RegistryServer;
let ecr: ECRClient;

beforeEach(async () => {
  server = await startRegistryServer({
    manners: 'ecr',
    region: 'us-gov-west-1',
    partition: 'aws-us-gov',
    hostName: '123456789012.dkr.ecr.us-gov-west-1.amazonaws.com',
  });
  ecr = new ECRClient({
    endpoint: server.url,
    region: 'us-gov-west-1',
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' },
    maxAttempts: 1,
  });
});

afterEach(async () => {
  ecr.destroy();
  await server.close();
});

describe('ECR’s own interface, asked by the AWS SDK', () => {
  it('hands out a token that the registry takes, and names the registry', async () => {
    const { authorizationData } = await ecr.send(new GetAuthorizationTokenCommand({}));
    const [data] = authorizationData ?? [];
    expect(data?.proxyEndpoint).toBe('http://123456789012.dkr.ecr.us-gov-west-1.amazonaws.com');
    expect((data?.expiresAt?.getTime() ?? 0) - Date.now()).toBeGreaterThan(11 * 3600 * 1000);
    const headers = { authorization: `Basic ${data?.authorizationToken ?? ''}` };
    expect((await fetch(`${server.url}/v2/`, { headers })).status).toBe(200);
    expect(callerOf(server.requests.entries[0]?.headers.authorization)).toEqual({
      accessKeyId: 'AKIDEXAMPLE',
      region: 'us-gov-west-1',
    });
  });

  it('creates a repository with its settings, once', async () => {
    const create = new CreateRepositoryCommand({
      repositoryName: 'app/web',
      imageTagMutability: 'IMMUTABLE',
      imageScanningConfiguration: { scanOnPush: true },
      encryptionConfiguration: { encryptionType: 'KMS', kmsKey: 'arn:aws-us-gov:kms:us-gov-west-1:1:key/k' },
      tags: [{ Key: 'owner', Value: 'me' }],
    });
    const { repository } = await ecr.send(create);
    expect(repository).toMatchObject({
      repositoryArn: 'arn:aws-us-gov:ecr:us-gov-west-1:123456789012:repository/app/web',
      repositoryUri: '123456789012.dkr.ecr.us-gov-west-1.amazonaws.com/app/web',
      imageTagMutability: 'IMMUTABLE',
      imageScanningConfiguration: { scanOnPush: true },
      encryptionConfiguration: { encryptionType: 'KMS' },
    });
    expect(repository?.createdAt?.getFullYear()).toBeGreaterThan(2020);
    await expect(ecr.send(create)).rejects.toMatchObject({ name: 'RepositoryAlreadyExistsException' });
    expect(server.iam.used().map(({ action }) => action)).toEqual([
      'ecr:CreateRepository',
      'ecr:TagResource',
      'kms:CreateGrant',
      'kms:DescribeKey',
      'kms:RetireGrant',
    ]);
  });

  it.each(['UPPER', 'a', '-a', 'a//b', 'x'.repeat(257)])('refuses the name "%s"', async (repositoryName) => {
    await expect(ecr.send(new CreateRepositoryCommand({ repositoryName }))).rejects.toMatchObject({
      name: 'InvalidParameterException',
    });
  });

  it('lists repositories by pages, and names one that is not there', async () => {
    for (let i = 0; i < 5; i += 1) server.createRepository(`r${i}`);
    const pages: (string | undefined)[][] = [];
    for await (const page of paginateDescribeRepositories({ client: ecr, pageSize: 2 }, {})) {
      pages.push((page.repositories ?? []).map(({ repositoryName }) => repositoryName));
    }
    expect(pages).toEqual([['r0', 'r1'], ['r2', 'r3'], ['r4']]);
    const absent = new DescribeRepositoriesCommand({ repositoryNames: ['r0', 'absent'] });
    await expect(ecr.send(absent)).rejects.toMatchObject({
      name: 'RepositoryNotFoundException',
      message: "The repository with name 'absent' does not exist in the registry with id '123456789012'",
    });
  });

  it('deletes what is empty, and the rest by force only', async () => {
    await server.putImage('full', 'v1', buildImage({ name: 'app' }));
    const full = { repositoryName: 'full' };
    await expect(ecr.send(new DeleteRepositoryCommand(full))).rejects.toMatchObject({
      name: 'RepositoryNotEmptyException',
    });
    await ecr.send(new DeleteRepositoryCommand({ ...full, force: true }));
    expect(server.repositories()).toEqual([]);
  });

  it('tags, untags and changes settings', async () => {
    server.createRepository('app', {}, { first: '1' });
    const resourceArn = 'arn:aws-us-gov:ecr:us-gov-west-1:123456789012:repository/app';
    await ecr.send(new TagResourceCommand({ resourceArn, tags: [{ Key: 'second', Value: '2' }] }));
    await ecr.send(new UntagResourceCommand({ resourceArn, tagKeys: ['first'] }));
    const { tags } = await ecr.send(new ListTagsForResourceCommand({ resourceArn }));
    expect(tags).toEqual([{ Key: 'second', Value: '2' }]);
    const many = Array.from({ length: 50 }, (_, i) => ({ Key: `k${i}`, Value: '' }));
    await expect(ecr.send(new TagResourceCommand({ resourceArn, tags: many }))).rejects.toMatchObject({
      name: 'TooManyTagsException',
    });
    const repositoryName = 'app';
    await ecr.send(new PutImageTagMutabilityCommand({ repositoryName, imageTagMutability: 'IMMUTABLE' }));
    const imageScanningConfiguration = { scanOnPush: true };
    await ecr.send(new PutImageScanningConfigurationCommand({ repositoryName, imageScanningConfiguration }));
    expect(server.repository('app')?.settings).toMatchObject({ imageTagMutability: 'IMMUTABLE', scanOnPush: true });
    await expect(ecr.send(new GetLifecyclePolicyCommand({ repositoryName }))).rejects.toMatchObject({
      name: 'LifecyclePolicyNotFoundException',
    });
    const lifecyclePolicyText = JSON.stringify({ rules: [{ description: 'x'.repeat(100) }] });
    await ecr.send(new PutLifecyclePolicyCommand({ repositoryName, lifecyclePolicyText }));
    expect(await ecr.send(new GetLifecyclePolicyCommand({ repositoryName }))).toMatchObject({ lifecyclePolicyText });
  });

  it('tells which layers are there', async () => {
    const image = buildImage({ name: 'app' });
    await server.putImage('app', 'v1', image);
    const [present = ''] = image.blobs.keys();
    const absent = digestOf('absent');
    const { layers, failures } = await ecr.send(
      new BatchCheckLayerAvailabilityCommand({ repositoryName: 'app', layerDigests: [present, absent, 'sha256:zz'] }),
    );
    expect(layers?.map(({ layerAvailability }) => layerAvailability)).toEqual(['AVAILABLE', 'UNAVAILABLE']);
    expect(failures).toMatchObject([{ layerDigest: 'sha256:zz', failureCode: 'InvalidLayerDigest' }]);
    const tooMany = Array.from({ length: 101 }, (_, i) => digestOf(String(i)));
    await expect(
      ecr.send(new BatchCheckLayerAvailabilityCommand({ repositoryName: 'app', layerDigests: tooMany })),
    ).rejects.toMatchObject({ name: 'InvalidParameterException' });
  });

  it('lists, describes and gets images', async () => {
    const image = withReferrer(buildImage({ name: 'app' }));
    await server.putImage('app', 'v1', image);
    const repositoryName = 'app';
    const tagged = await ecr.send(new ListImagesCommand({ repositoryName, filter: { tagStatus: 'TAGGED' } }));
    expect(tagged.imageIds).toEqual([{ imageDigest: image.digest, imageTag: 'v1' }]);
    const all = await ecr.send(new ListImagesCommand({ repositoryName, maxResults: 2 }));
    expect([all.imageIds?.length, all.nextToken]).toEqual([2, expect.any(String)]);
    const described = await ecr.send(new DescribeImagesCommand({ repositoryName, imageIds: [{ imageTag: 'v1' }] }));
    expect(described.imageDetails).toMatchObject([{ imageDigest: image.digest, imageTags: ['v1'] }]);
    await expect(
      ecr.send(new DescribeImagesCommand({ repositoryName, imageIds: [{ imageTag: 'v2' }] })),
    ).rejects.toMatchObject({ name: 'ImageNotFoundException' });
    const got = await ecr.send(
      new BatchGetImageCommand({ repositoryName, imageIds: [{ imageTag: 'v1' }, { imageTag: 'v2' }] }),
    );
    expect(digestOf(got.images?.[0]?.imageManifest ?? '')).toBe(image.digest);
    expect(got.failures).toMatchObject([{ failureCode: 'ImageNotFound', imageId: { imageTag: 'v2' } }]);
    const subjectId = { imageDigest: image.digest };
    const { referrers } = await ecr.send(new ListImageReferrersCommand({ repositoryName, subjectId }));
    expect(referrers).toMatchObject([{ artifactType: 'application/vnd.example.sbom.v1+json' }]);
  });

  it('deletes images, but no child of an index', async () => {
    const image = buildImage({ name: 'app' });
    await server.putImage('app', 'v1', image);
    const child = image.manifests[0]?.descriptor.digest ?? '';
    const repositoryName = 'app';
    const imageIds = [{ imageDigest: child }];
    const refused = await ecr.send(new BatchDeleteImageCommand({ repositoryName, imageIds }));
    expect(refused.failures).toMatchObject([{ failureCode: 'ImageReferencedByManifestList' }]);
    await ecr.send(new BatchDeleteImageCommand({ repositoryName, imageIds: [{ imageTag: 'v1' }] }));
    await ecr.send(new BatchDeleteImageCommand({ repositoryName, imageIds }));
    expect(server.manifest('app', child)).toBeUndefined();
    expect(server.tags('app')).toEqual([]);
  });

  it('keeps the account setting that mounting depends on', async () => {
    const name = 'BLOB_MOUNTING';
    expect(await ecr.send(new GetAccountSettingCommand({ name }))).toMatchObject({ name, value: 'DISABLED' });
    await ecr.send(new PutAccountSettingCommand({ name, value: 'ENABLED' }));
    expect(await ecr.send(new GetAccountSettingCommand({ name }))).toMatchObject({ value: 'ENABLED' });
  });
});

describe('permissions', () => {
  it('denies in AWS’s words, on both interfaces', async () => {
    server.createRepository('app-web');
    server.iam.setPolicy([
      { effect: 'Allow', actions: ['ecr:GetAuthorizationToken'], resources: ['*'] },
      { effect: 'Allow', actions: ['ecr:*'], resources: ['arn:*:repository/app-*'] },
      { effect: 'Deny', actions: ['ecr:PutImage'], resources: ['*'] },
    ]);
    const why =
      'User: arn:aws-us-gov:sts::123456789012:assumed-role/module-role/session is not authorized to perform: ecr:CreateRepository on resource: arn:aws-us-gov:ecr:us-gov-west-1:123456789012:repository/other because no identity-based policy allows the ecr:CreateRepository action';
    await expect(ecr.send(new CreateRepositoryCommand({ repositoryName: 'other' }))).rejects.toMatchObject({
      name: 'AccessDeniedException',
      message: why,
    });
    await ecr.send(new CreateRepositoryCommand({ repositoryName: 'app-worker' }));
    const { authorizationData } = await ecr.send(new GetAuthorizationTokenCommand({}));
    const headers = { authorization: `Basic ${authorizationData?.[0]?.authorizationToken ?? ''}` };
    const put = await fetch(`${server.url}/v2/app-web/manifests/v1`, { method: 'PUT', headers, body: '{}' });
    const { errors } = (await put.json()) as { errors: { code: string; message: string }[] };
    expect([put.status, errors[0]?.code]).toEqual([403, 'DENIED']);
    expect(errors[0]?.message).toContain('is not authorized to perform: ecr:PutImage on resource: ');
  });

  it('records what requests to the registry need', async () => {
    server.createRepository('app');
    const { authorizationData } = await ecr.send(new GetAuthorizationTokenCommand({}));
    const headers = { authorization: `Basic ${authorizationData?.[0]?.authorizationToken ?? ''}` };
    server.iam.reset();
    const started = await fetch(`${server.url}/v2/app/blobs/uploads/`, { method: 'POST', headers });
    const location = `${server.url}${started.headers.get('location') ?? ''}?digest=${digestOf('x')}`;
    await fetch(location, { method: 'PUT', body: 'x', headers });
    const resource = 'arn:aws-us-gov:ecr:us-gov-west-1:123456789012:repository/app';
    expect(server.iam.used()).toEqual([
      { action: 'ecr:CompleteLayerUpload', resource },
      { action: 'ecr:InitiateLayerUpload', resource },
      { action: 'ecr:UploadLayerPart', resource },
    ]);
  });
});
