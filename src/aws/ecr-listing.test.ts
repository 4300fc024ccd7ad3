import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { mediaTypes } from '../model/media-types.ts';
import { buildImage } from '../testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';
import type { Aws } from './clients.ts';
import { awsAt } from './test-support.ts';
import { ecrListing } from './ecr-listing.ts';

// ECR gives 1000 repositories and 1000 images a page: what lies behind the first page is listed, too.

const signal = new AbortController().signal;
let server: RegistryServer;
let aws: Aws;

beforeEach(async () => {
  server = await startRegistryServer({ manners: 'ecr', region: 'eu-central-1' });
  aws = awsAt({ ECR: server.url });
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await aws.close();
  await server.close();
});

const operations = (name: string): number => server.requests.count(({ action }) => action === name);

it('lists every repository, page by page', async () => {
  for (let at = 0; at < 2_001; at += 1) server.createRepository(`many/r${at}`);
  const found = await ecrListing(() => aws.ecr(), undefined).repositories(signal);
  expect(new Set(found.map(({ repositoryName }) => repositoryName)).size).toBe(2_001);
  expect(operations('DescribeRepositories')).toBe(3);
});

it('lists every tag and manifest of a repository, page by page; one that is not there has none', async () => {
  const image = buildImage({ name: 'many', index: false, platforms: ['linux/amd64'] });
  await server.putImage('team/app', 'v0', image);
  const [manifest] = image.manifests;
  for (let at = 1; at < 1_500; at += 1)
    server.putManifest('team/app', `v${at}`, manifest?.bytes ?? new Uint8Array(), mediaTypes.ociManifest);
  await server.putImage(
    'team/app',
    undefined,
    buildImage({ name: 'untagged', index: false, platforms: ['linux/amd64'] }),
  );
  const contents = await ecrListing(() => aws.ecr(), undefined).contents(['team/app', 'team/none'], signal);
  expect(contents.get('team/none')).toBe(undefined);
  expect(contents.get('team/app')?.tags.size).toBe(1_500);
  expect(contents.get('team/app')?.tags.get('v1499')).toBe(image.digest);
  expect(contents.get('team/app')?.digests.size).toBe(2);
  expect(operations('ListImages')).toBe(3);
});
