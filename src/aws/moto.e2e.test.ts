import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { type Account, startAccount } from '../../test/seedfarmer/account.ts';
import { describeWith } from '../../test/tools.ts';
import { inventoryOf } from '../model/inventory.ts';
import { directNetwork } from '../model/network.ts';
import { SecretMask } from '../model/secrets.ts';
import { bucketName, objectName, sideObjectName } from '../publish/names.ts';
import { publishResult } from '../publish/s3.ts';
import { silentReporter } from '../report/events.ts';
import { destroyDeployment } from '../retention/destroy.ts';
import { type Aws, createAws } from './clients.ts';
import { ecrRegistry } from './ecr.ts';
import { accountId } from './identity.ts';
import { ownerTagKey } from './owner-tag.ts';
import { repositories } from './repositories.ts';
import { objectStore } from './s3.ts';
import { readSecret } from './secrets.ts';

const region = 'eu-central-1';
const signal = new AbortController().signal;
const module = 'group-replication';

// An implementation of AWS's interfaces that is not ours: what it takes and answers is an independent opinion.
describeWith(['moto_server'], 'against moto', () => {
  let account: Account;
  let aws: Aws;

  beforeAll(async () => {
    account = await startAccount(region);
    for (const [name, value] of Object.entries(account.environment)) vi.stubEnv(name, value);
    aws = createAws({ network: directNetwork, region, mask: new SecretMask() });
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await aws.close();
    await account.stop();
  });

  it('asks STS for the account', async () => {
    expect(await accountId(aws, undefined, signal)).toBe('123456789012');
  });

  it('reads a secret, and says when there is none', async () => {
    const client = await aws.secretsManager();
    // Another name for each try: the account outlives them.
    const name = `repo-${randomUUID()}`;
    await client.createSecret({
      Name: name,
      SecretString: JSON.stringify({ nexus: { username: 'u', password: 'hidden' } }),
    });
    expect(await readSecret(aws, name, 'nexus')).toMatchObject({ username: 'u', password: 'hidden' });
    await expect(readSecret(aws, 'none')).rejects.toThrow('secret "none" does not exist in eu-central-1');
  });

  it('publishes two deployments of a project, and takes them away one after the other', async () => {
    const registryOf = (deployment: string) =>
      ecrRegistry(aws, {
        settings: { scanOnPush: true, immutableTags: false, encryptionKey: 'AES256' },
        tags: { [ownerTagKey(deployment, module)]: 'app' },
        reporter: silentReporter,
      });
    const [dev, prod] = [await registryOf('dev'), await registryOf('prod')];
    expect(dev).toMatchObject({
      host: '123456789012.dkr.ecr.eu-central-1.amazonaws.com',
      baseUrl: 'https://123456789012.dkr.ecr.eu-central-1.amazonaws.com',
      accountId: '123456789012',
    });
    expect(await dev.control.ensureRepository('app-own', signal)).toBe('created');
    expect(await dev.control.ensureRepository('app-shared', signal)).toBe('created');
    expect(await prod.control.ensureRepository('app-shared', signal)).toBe('existing');
    expect(await dev.control.tagDigests('app-own', ['1.0'], signal)).toEqual(new Map());
    expect(await dev.control.tagDigests('app-none', ['1.0'], signal)).toEqual(new Map());

    const s3 = objectStore(aws, dev.accountId);
    const bucket = bucketName('app', region, dev.accountId);
    for (const [deployment, used] of [
      ['dev', ['app-own', 'app-shared']],
      ['prod', ['app-shared']],
    ] as const) {
      const key = objectName(deployment, module);
      const inventory = inventoryOf({ project: 'app', deployment, module, repositories: [...used] });
      const extra = [{ key: sideObjectName(key, 'inventory'), body: JSON.stringify(inventory) }];
      await publishResult({ s3, bucket, key, body: '{"charts":{}}', extra, signal });
    }
    const client = await aws.s3();
    expect((await client.getBucketVersioning({ Bucket: bucket })).Status).toBe('Enabled');
    expect((await client.getPublicAccessBlock({ Bucket: bucket })).PublicAccessBlockConfiguration).toMatchObject({
      BlockPublicPolicy: true,
    });

    const repositoriesNow = async (): Promise<readonly string[]> =>
      (await repositories(() => aws.ecr(), undefined).list({ signal })).repositories.map(({ name }) => name);
    const destroy = (deployment: string): Promise<void> =>
      destroyDeployment({
        repositories: repositories(() => aws.ecr(), undefined),
        s3,
        bucket,
        project: 'app',
        deployment,
        module,
        retentionType: 'DESTROY',
        print: () => undefined,
        signal,
      });
    await destroy('dev');
    expect(await repositoriesNow()).toEqual(['app-shared']);
    expect(await s3.keys(bucket, signal)).toHaveLength(2);
    await destroy('prod');
    expect(await repositoriesNow()).toEqual([]);
    expect(await s3.bucketExists(bucket, signal)).toBe(false);
    await destroy('prod');
  });
});
