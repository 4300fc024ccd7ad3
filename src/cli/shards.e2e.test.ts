import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import * as z from 'zod';
import {
  callersOf,
  destinationAccount,
  destinationHost,
  type EcrWorld,
  sourceHost,
  startEcrWorld,
} from '../../test/ecr-world.ts';
import { type ProgramRun, runProgram } from '../../test/program.ts';
import { describeWith } from '../../test/tools.ts';
import { createAws } from '../aws/clients.ts';
import { ShardList } from '../fleet/shard.ts';
import { directNetwork } from '../model/network.ts';
import { SecretMask } from '../model/secrets.ts';
import { ImageStatus } from '../status/status.ts';
import { buildImage, withReferrer } from '../testing/image-builder.ts';

const chinaSecret = 'china-secret-access-key';
const bucket = 'replication-runs';

describeWith(['moto_server'], 'shards of ECR to ECR, two accounts in two partitions', () => {
  let world: EcrWorld;
  let env: Record<string, string | undefined>;

  beforeEach(async () => {
    world = await startEcrWorld();
    env = {
      ...world.env,
      AWS_ENDPOINT_URL_S3: world.home.endpoint,
      AWS_ACCOUNT_ID: undefined,
    };
    await atHome(async (aws) => {
      const [ssm, s3, dynamodb] = await Promise.all([aws.ssm(), aws.s3(), aws.dynamodb()]);
      const Value = JSON.stringify({ access_key_id: 'AKIACHINA', secret_access_key: chinaSecret });
      await ssm.putParameter({ Name: 'drh-credentials', Value, Type: 'SecureString' });
      await s3.createBucket({ Bucket: bucket, CreateBucketConfiguration: { LocationConstraint: 'eu-west-1' } });
      await dynamodb.createTable({
        TableName: 'coordination',
        AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
        KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
        BillingMode: 'PAY_PER_REQUEST',
      });
    });
    const { source } = world;
    for (const [position, name] of ['team/app', 'team/tool', 'team/web', 'team/job'].entries()) {
      const image = buildImage(position % 2 === 0 ? { name } : { name, index: false, platforms: ['linux/amd64'] });
      await source.putImage(name, '1.0', position === 0 ? withReferrer(image) : image);
    }
  });
  afterEach(() => world.close());

  async function atHome<T>(work: (aws: ReturnType<typeof createAws>) => Promise<T>): Promise<T> {
    const before = { ...process.env };
    Object.assign(process.env, Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined)));
    const aws = createAws({ network: directNetwork, region: 'eu-west-1', mask: new SecretMask(), s3PathStyle: true });
    try {
      return await work(aws);
    } finally {
      await aws.close();
      for (const name of Object.keys(env)) Reflect.deleteProperty(process.env, name);
      Object.assign(process.env, before);
    }
  }

  const run = (...args: readonly string[]): Promise<ProgramRun> =>
    runProgram([...args, '--out', join(world.folder, 'out')], env);
  const ecr = (prefix: string, table: string, ...more: readonly string[]): Promise<ProgramRun> =>
    run(
      ...['ecr', '--src-region', 'eu-west-1', '--dest-region', 'cn-northwest-1', '--dest-account', destinationAccount],
      ...['--dest-prefix', prefix, '--status-store', `dynamodb:${table}`, '--create-table', '--with-settings', ...more],
    );
  const succeeded = (done: ProgramRun): void => {
    expect(done.status, done.stdout + done.stderr).toBe(0);
  };
  const object = (key: string): Promise<unknown> =>
    atHome(async (aws) => {
      const { Body } = await (await aws.s3()).getObject({ Bucket: bucket, Key: key });
      const text = (await Body?.transformToString()) ?? 'null';
      const parsed: unknown = JSON.parse(text);
      return parsed;
    });
  const statuses = async (table: string): Promise<readonly ImageStatus[]> => {
    succeeded(await run('status', '--store', `dynamodb:${table}`));
    return z.array(ImageStatus).parse(JSON.parse(await readFile(join(world.folder, 'out/status.json'), 'utf8')));
  };
  /** Everything about a prefix, without the prefix itself. */
  const held = (prefix: string) =>
    world.destination
      .repositories()
      .filter((name) => name.startsWith(`${prefix}/`))
      .map((name) => {
        const repository = world.destination.repository(name);
        return {
          name: name.slice(prefix.length),
          tags: world.destination.tags(name).map((tag) => [tag, world.destination.manifest(name, tag)?.descriptor]),
          manifests: [...(repository?.manifests.keys() ?? [])].sort(),
          settings: repository?.settings,
          resourceTags: [...(repository?.resourceTags ?? [])].map(([key, value]) => [key, value.replace(prefix, 'P')]),
        };
      });

  it('end as the job itself does: images, referrers, settings and tags of repositories, status', async () => {
    succeeded(await ecr('alone', 'status-alone'));
    world.destination.reset();
    const location = `s3://${bucket}/runs/first`;
    const more = ['--shards', location, '--shard-count', '3', '--budget', 'dynamodb:coordination', '--workers', '2'];
    succeeded(await ecr('spread', 'status-spread', ...more));
    expect(world.destination.count('manifest-put')).toBe(0);
    const items = ShardList.parse(await object('runs/first/shards.json'));
    expect(items.map(({ shard }) => shard)).toEqual([0, 1, 2].map((index) => `${location}/shards/000${index}.json`));
    expect(JSON.stringify(await object('runs/first/shards/0000.json'))).not.toContain(chinaSecret);
    for (const { shard } of items) succeeded(await run('worker', '--shard', shard));
    expect(callersOf(world.destination)).toEqual(['AKIACHINA']);
    succeeded(await run('summary', '--shards', location));
    expect(await object('runs/first/summary.json')).toMatchObject({ copied: 4, unchanged: 0, failed: 0 });
    expect(held('spread')).toEqual(held('alone'));
    expect(held('spread')).toHaveLength(4);
    expect(await world.destination.damage()).toEqual([]);
    const plain = (all: readonly ImageStatus[], prefix: string) =>
      all.map(({ target, source, digest, state, tries, error }) => {
        expect(target.startsWith(`${destinationHost}/${prefix}/`)).toBe(true);
        return { target: target.replace(prefix, 'P'), source, digest, state, tries, error };
      });
    expect(plain(await statuses('status-spread'), 'spread')).toEqual(plain(await statuses('status-alone'), 'alone'));
  });

  it('of a later run hold what is new; the rest is noted as unchanged, and an image that is missing fails alone', async () => {
    succeeded(await ecr('spread', 'status-spread'));
    await world.source.putImage('team/web', '1.0', buildImage({ name: 'web-2' }));
    const list = 'team/app:1.0,team/web:1.0,team/nothing:9';
    const location = `s3://${bucket}/runs/second`;
    const selected = ['--src-list', 'SELECTED', '--src-image-list', list];
    const planned = await ecr('spread', 'status-spread', ...selected, '--shards', location);
    succeeded(planned);
    expect(await object('runs/second/planning.json')).toMatchObject({ images: 2, unchanged: 1, failures: [] });
    const [item] = ShardList.parse(await object('runs/second/shards.json'));
    expect((await run('worker', '--shard', item?.shard ?? '')).status).toBe(1);
    expect((await run('summary', '--shards', location)).status).toBe(1);
    expect(await object('runs/second/summary.json')).toMatchObject({ copied: 1, unchanged: 1, failed: 1 });
    const [missing] = (await statuses('status-spread')).filter(({ state }) => state === 'failed');
    expect(missing).toMatchObject({ source: `${sourceHost}/team/nothing:9` });
    // Once it is there, the same shard copies it.
    await world.source.putImage('team/nothing', '9', buildImage({ name: 'late' }));
    succeeded(await run('worker', '--shard', item?.shard ?? ''));
    succeeded(await run('summary', '--shards', location));
    expect(world.destination.tags('spread/team/nothing')).toEqual(['9']);
    const after = await statuses('status-spread');
    // What the status says is at the target by digest.
    for (const { target, digest } of after) {
      const [, repository = '', tag = ''] = /^[^/]+\/(.+):(.+)$/.exec(target) ?? [];
      expect(world.destination.manifest(repository, tag)?.descriptor.digest).toBe(digest);
    }
    expect(after.filter(({ state }) => state === 'failed')).toEqual([]);
  });

  it('of a list that lies in S3 are written, too', async () => {
    await atHome(async (aws) => {
      const Body = `${sourceHost}/team/app:1.0 ${destinationHost}/listed/app:1\n`;
      await (await aws.s3()).putObject({ Bucket: bucket, Key: 'lists/images.txt', Body });
    });
    const location = join(world.folder, 'listed');
    const args = ['images', '--list', `s3://${bucket}/lists/images.txt`, '--shards', location];
    succeeded(await run(...args));
    expect(ShardList.parse(JSON.parse(await readFile(join(location, 'shards.json'), 'utf8')))).toHaveLength(1);
    const none = await run('images', '--list', `s3://${bucket}/lists/none.txt`, '--shards', location);
    expect(none.status).toBe(2);
    expect(none.stdout).toContain(`there is no s3://${bucket}/lists/none.txt`);
    await writeFile(join(location, 'shards/0000.json'), '{"version":1}');
    const broken = await run('worker', '--shards', location, '--index', '0');
    expect(broken.status).toBe(1);
    expect(broken.stdout).toContain('is not what a run of this version writes');
  });
});
