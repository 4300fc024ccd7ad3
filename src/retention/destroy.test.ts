import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { refusal } from '../../test/refusal.ts';
import { type S3Server, startS3Server } from '../../test/s3-server.ts';
import type { Aws } from '../aws/clients.ts';
import { awsAt } from '../aws/test-support.ts';
import { ownerTagKey } from '../aws/owner-tag.ts';
import { repositories } from '../aws/repositories.ts';
import { type ObjectStore, objectStore } from '../aws/s3.ts';
import { ReplicationErrors } from '../model/errors.ts';
import { type Inventory, inventoryOf, objectName, sideObjectName } from '../model/inventory.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';
import { deleteRepos, type DeleteReposRequest } from './delete-repos.ts';
import { destroyDeployment, type DestroyRequest, parseRetentionType } from './destroy.ts';

const account = '123456789012';
const bucket = `app-dkr-img-rep-md-eu-central-1-${account}`;
const signal = new AbortController().signal;
const module = 'group-replication';
const dev = ownerTagKey('dev', module);
const prod = ownerTagKey('prod', module);

describe('taking a deployment away', () => {
  let ecr: RegistryServer;
  let s3Server: S3Server;
  let aws: Aws;
  let s3: ObjectStore;
  let printed: string[];

  beforeEach(async () => {
    [ecr, s3Server] = await Promise.all([startRegistryServer({ manners: 'ecr' }), startS3Server(account)]);
    aws = awsAt({ ECR: ecr.url, S3: s3Server.url });
    s3 = objectStore(aws, account);
    printed = [];
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await aws.close();
    await Promise.all([ecr.close(), s3Server.close()]);
  });

  const destroy = (request: Partial<DestroyRequest> = {}): Promise<void> =>
    destroyDeployment({
      repositories: repositories(() => aws.ecr(), undefined),
      s3,
      bucket,
      project: 'app',
      deployment: 'dev',
      module,
      retentionType: 'DESTROY',
      print: (line) => printed.push(line),
      signal,
      ...request,
    });
  const deleteAll = (request: Partial<DeleteReposRequest> = {}): Promise<readonly string[]> =>
    deleteRepos({
      repositories: repositories(() => aws.ecr(), undefined),
      project: 'app',
      includeUntagged: false,
      confirm: () => Promise.resolve(true),
      print: (line) => printed.push(line),
      signal,
      ...request,
    });

  /** A deployment's objects in the bucket, as a successful run leaves them. */
  async function published(
    deployment: string,
    using: readonly string[],
    change: Partial<Inventory> = {},
  ): Promise<void> {
    if (!(await s3.bucketExists(bucket, signal))) {
      await s3.createBucket(bucket, signal);
      await s3.secureBucket(bucket, signal);
    }
    const object = objectName(deployment, module);
    const inventory = { ...inventoryOf({ project: 'app', deployment, module, repositories: [...using] }), ...change };
    const contentType = 'application/json';
    await s3.put(bucket, sideObjectName(object, 'inventory'), { body: JSON.stringify(inventory), contentType }, signal);
    await s3.put(bucket, sideObjectName(object, 'lock'), { body: '{}', contentType }, signal);
    await s3.put(bucket, object, { body: '{"charts":{}}', contentType }, signal);
  }
  const writes = (): string[] => [
    ...ecr.requests
      .of((entry) => /^(?:Tag|Untag|Delete|Create)/.test(entry.action ?? ''))
      .map((entry) => entry.action ?? ''),
    ...s3Server.requests.filter((line) => !/^(?:GET|HEAD)/.test(line)),
  ];

  it('RETAIN asks nothing and changes nothing', async () => {
    ecr.createRepository('app-a', {}, { [dev]: 'app' });
    await destroy({ retentionType: parseRetentionType('retain') });
    expect(ecr.repositories()).toEqual(['app-a']);
    expect(s3Server.requests).toEqual([]);
  });

  it('is told by a word in any case, and refuses others', async () => {
    expect([parseRetentionType('Destroy'), parseRetentionType(''), parseRetentionType(undefined)]).toEqual([
      'DESTROY',
      'RETAIN',
      'RETAIN',
    ]);
    expect((await refusal(() => parseRetentionType('delete'))).code).toBe('configuration');
  });

  it('DESTROY removes what only this deployment uses, its objects, and the bucket with its last deployment', async () => {
    ecr.createRepository('app-own', {}, { [dev]: 'app' });
    ecr.createRepository('app-shared', {}, { [dev]: 'app', [prod]: 'app' });
    ecr.createRepository('app-original', {}, {});
    ecr.createRepository('app2-x', {}, { [dev]: 'app2' });
    ecr.createRepository('app-prod-x', {}, { [dev]: 'app-prod' });
    await published('dev', ['app-own', 'app-shared']);
    await published('dev', ['app-own', 'app-shared']);
    await published('prod', ['app-shared']);

    await destroy();
    expect(ecr.repositories()).toEqual(['app-original', 'app-prod-x', 'app-shared', 'app2-x']);
    expect([...(ecr.repository('app-shared')?.resourceTags.keys() ?? [])]).toEqual([prod]);
    expect(await s3.keys(bucket, signal)).toEqual([
      'prod-group-replication-metadata.inventory.json',
      'prod-group-replication-metadata.json',
      'prod-group-replication-metadata.lock.json',
    ]);
    expect(printed).toContain('kept repository app-shared: still used by prod/group-replication of project app');

    // The old result can still be restored: it is behind a delete marker.
    expect(
      s3Server.buckets.get(bucket)?.versions.filter((each) => each.key.startsWith('dev-') && each.body !== undefined),
    ).toHaveLength(6);

    await destroy({ deployment: 'prod' });
    expect(ecr.repositories()).toEqual(['app-original', 'app-prod-x', 'app2-x']);
    expect(s3Server.buckets.size).toBe(0);
  });

  it('DESTROY may be repeated, and ends well where nothing was ever deployed', async () => {
    await destroy();
    expect(writes()).toEqual([]);
    ecr.createRepository('app-own', {}, { [dev]: 'app' });
    await published('dev', ['app-own']);
    await destroy();
    ecr.requests.reset();
    s3Server.requests.length = 0;
    await destroy();
    expect(writes()).toEqual([]);
    expect(printed.at(-1)).toBe(`there is no bucket ${bucket}`);
  });

  it('DESTROY of a deployment that pushed and never published removes what it pushed', async () => {
    ecr.createRepository('app-own', {}, { [dev]: 'app' });
    await destroy();
    expect(ecr.repositories()).toEqual([]);
  });

  it.each([
    ['a result of the original module', 'old-group-replication-metadata.json', '{"ami":{},"charts":{}}'],
    ['a foreign object', 'notes.txt', 'hello'],
    ['a result of ours that is no JSON', 'dev-group-replication-metadata.json', 'hello'],
    ['an inventory that cannot be read', 'prod-group-replication-metadata.inventory.json', '{"kind":"other"}'],
  ])('DESTROY deletes nothing at all beside %s', async (_, key, body) => {
    ecr.createRepository('app-own', {}, { [dev]: 'app' });
    await published('prod', []);
    await s3.put(bucket, key, { body, contentType: 'text/plain' }, signal);
    ecr.requests.reset();
    s3Server.requests.length = 0;
    await destroy();
    expect(writes()).toEqual([]);
    expect(printed.join('\n')).toContain('everything is kept');
    expect(printed.join('\n')).toContain(key.startsWith('prod-') ? 'prod-group-replication-metadata.json' : key);
  });

  it('DESTROY deletes nothing when another deployment’s object has the same name', async () => {
    ecr.createRepository('app-own', {}, { [dev]: 'app' });
    await published('dev', ['app-own'], { deployment: 'dev-group', module: 'replication' });
    ecr.requests.reset();
    await destroy();
    expect(ecr.repositories()).toEqual(['app-own']);
    expect(printed[0]).toContain('it belongs to dev-group/replication, whose object has the same name');
  });

  it('DESTROY of a deployment of the original module removes its object', async () => {
    await s3.createBucket(bucket, signal);
    await s3.put(
      bucket,
      objectName('dev', module),
      { body: '{"ami":{},"charts":{}}', contentType: 'application/json' },
      signal,
    );
    await destroy();
    expect(s3Server.buckets.size).toBe(0);
  });

  it('DESTROY spares a repository that another deployment takes while it works', async () => {
    ecr.createRepository('app-own', {}, { [dev]: 'app' });
    ecr.fail({
      action: 'ListTagsForResource',
      skip: 1,
      fault: {
        kind: 'call',
        run: () => {
          ecr.createRepository('app-own', {}, { [dev]: 'app', [prod]: 'app' });
        },
      },
    });
    await destroy();
    expect(ecr.repositories()).toEqual(['app-own']);
    expect([...(ecr.repository('app-own')?.resourceTags.keys() ?? [])]).toEqual([prod]);
  });

  it('DESTROY lists every failure, keeps its objects then, and goes on next time', async () => {
    for (const name of ['app-a', 'app-b', 'app-c']) ecr.createRepository(name, {}, { [dev]: 'app' });
    await published('dev', ['app-a', 'app-b', 'app-c']);
    ecr.iam.setPolicy([{ effect: 'Deny', actions: ['ecr:DeleteRepository'], resources: ['*app-a', '*app-c'] }]);
    const error: unknown = await destroy().catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ReplicationErrors);
    expect(error instanceof ReplicationErrors && error.errors.map((each) => each.code)).toEqual(['denied', 'denied']);
    expect(ecr.repositories()).toEqual(['app-a', 'app-c']);
    expect(await s3.keys(bucket, signal)).toHaveLength(3);
    ecr.iam.setPolicy(undefined);
    await destroy();
    expect(ecr.repositories()).toEqual([]);
    expect(s3Server.buckets.size).toBe(0);
  });

  it('DESTROY keeps a bucket in which old versions are not ours', async () => {
    await published('dev', []);
    await s3.put(bucket, 'notes.txt', { body: 'x', contentType: 'text/plain' }, signal);
    await s3.delete(bucket, [{ key: 'notes.txt' }], signal);
    await destroy();
    expect(s3Server.buckets.size).toBe(1);
    expect(printed.at(-1)).toContain('notes.txt');
  });

  describe('delete-repos', () => {
    beforeEach(() => {
      ecr.createRepository('app-a', {}, { [dev]: 'app', [prod]: 'app' });
      ecr.createRepository('app-b', {}, {});
      ecr.createRepository('app-prod-x', {}, { [dev]: 'app-prod' });
      ecr.createRepository('app2-x', {}, { [dev]: 'app2' });
    });

    it('lists, asks, and deletes nothing on a no', async () => {
      const asked: (readonly string[])[] = [];
      const confirm = (names: readonly string[]): Promise<boolean> => {
        expect(printed.join('\n')).toContain('delete  app-a');
        asked.push(names);
        return Promise.resolve(false);
      };
      expect(await deleteAll({ confirm })).toEqual([]);
      expect(asked).toEqual([['app-a']]);
      expect(ecr.repositories()).toHaveLength(4);
    });

    it('deletes what is tagged for the project, and untagged ones on request', async () => {
      expect(await deleteAll()).toEqual(['app-a']);
      expect(await deleteAll({ includeUntagged: true })).toEqual(['app-b']);
      expect(ecr.repositories()).toEqual(['app-prod-x', 'app2-x']);
    });

    it('spares what another project took while the question was open', async () => {
      const confirm = (): Promise<boolean> => {
        ecr.createRepository('app-a', {}, { [dev]: 'app-prod' });
        return Promise.resolve(true);
      };
      expect(await deleteAll({ confirm })).toEqual([]);
      expect(ecr.repositories()).toContain('app-a');
    });
  });
});
