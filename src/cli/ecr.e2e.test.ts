import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import * as z from 'zod';
import {
  callersOf,
  destinationAccount,
  destinationHost,
  type EcrWorld,
  sourceAccount,
  sourceHost,
  startEcrWorld,
} from '../../test/ecr-world.ts';
import { type ProgramRun, runProgram } from '../../test/program.ts';
import { story } from '../../test/story.ts';
import { describeWith } from '../../test/tools.ts';
import { createAws } from '../aws/clients.ts';
import { directNetwork } from '../model/network.ts';
import { SecretMask } from '../model/secrets.ts';
import { parseLock } from '../publish/lock.ts';
import { ImageStatus } from '../status/status.ts';
import { buildImage, withReferrer } from '../testing/image-builder.ts';
import type { RegistryServer } from '../testing/registry-server.ts';

const Statuses = z.array(ImageStatus);
const chinaSecret = 'china-secret-access-key';

describeWith(['moto_server'], 'ECR to ECR, two accounts in two partitions', () => {
  let world: EcrWorld;
  let runs = 0;
  let out = '';

  // Each part begins with what the ones before have copied, in which only what the servers were asked is forgotten.
  const tell = story(begin, () => world.close());
  const part = (name: string, work: () => Promise<void>): void => {
    tell(name, async () => {
      out = join(world.folder, `out-${++runs}`);
      world.source.reset();
      world.destination.reset();
      await work();
    });
  };
  async function begin(): Promise<void> {
    world = await startEcrWorld();
    await inHome(async (aws) => {
      const ssm = await aws.ssm();
      const put = (Name: string, Value: string) => ssm.putParameter({ Name, Value, Type: 'SecureString' });
      await put('drh-credentials', JSON.stringify({ access_key_id: 'AKIACHINA', secret_access_key: chinaSecret }));
      await put('images', 'team/app:1.0,\n team/tools:ALL_TAGS, team/nothing');
    });
    const { source } = world;
    await source.putImage('team/app', '1.0', withReferrer(buildImage({ name: 'app-1' })));
    await source.putImage('team/app', 'latest', buildImage({ name: 'app-2' }));
    await source.putImage('team/tools', 'a', buildImage({ name: 'tools-a', index: false, platforms: ['linux/amd64'] }));
    await source.putImage('team/tools', 'b', buildImage({ name: 'tools-b', index: false, platforms: ['linux/amd64'] }));
  }

  /** The account that the program runs in. */
  async function inHome<T>(work: (aws: ReturnType<typeof createAws>) => Promise<T>): Promise<T> {
    const before = { ...process.env };
    Object.assign(process.env, world.env);
    const aws = createAws({ network: directNetwork, region: 'eu-west-1', mask: new SecretMask() });
    try {
      return await work(aws);
    } finally {
      await aws.close();
      for (const name of Object.keys(world.env)) Reflect.deleteProperty(process.env, name);
      Object.assign(process.env, before);
    }
  }

  const ecr = (...args: readonly string[]): Promise<ProgramRun> =>
    runProgram(
      [
        'ecr',
        ...['--out', out, '--src-region', 'eu-west-1', '--dest-region', 'cn-northwest-1'],
        ...['--dest-account', destinationAccount, ...args],
      ],
      world.env,
    );
  const statuses = async (...args: readonly string[]): Promise<readonly ImageStatus[]> => {
    const run = await runProgram(['status', '--out', out, ...args], world.env);
    expect(run.status, run.stdout).toBe(0);
    return Statuses.parse(JSON.parse(await readFile(join(out, 'status.json'), 'utf8')));
  };
  const succeeded = (run: ProgramRun): void => {
    expect(run.status, run.stdout + run.stderr).toBe(0);
  };
  const callsTo = (server: RegistryServer): number => server.requests.entries.length;

  part('says with --plan what would be copied, and changes nothing', async () => {
    const run = await ecr('--plan', '--dest-prefix', 'mirror');
    succeeded(run);
    expect(run.stdout).toContain(`${sourceHost}/team/app:1.0 -> ${destinationHost}/mirror/team/app:1.0`);
    expect(run.stdout).toMatch(/to read: \d/);
    expect(world.destination.repositories()).toEqual([]);
  });

  part(
    'refuses to copy a registry onto itself: under a prefix each run would copy the copies of the one before',
    async () => {
      const here = ['--dest-region', 'eu-west-1', '--dest-account', sourceAccount, '--plan'];
      const selected = ['--src-list', 'SELECTED', '--src-image-list', 'team/app:1.0'];
      for (const args of [[], ['--dest-prefix', 'copies'], selected]) {
        const run = await ecr(...here, ...args);
        expect(run.status, run.stdout).toBe(2);
        expect(run.stdout).toContain(`source and destination are one registry, ${sourceHost}`);
      }
      const beside = await ecr(...here, ...selected, '--dest-prefix', 'copies');
      succeeded(beside);
      expect(beside.stdout).toContain(`${sourceHost}/team/app:1.0 -> ${sourceHost}/copies/team/app:1.0`);
    },
  );

  part('copies everything with the keys of the parameter, and proves it with --once', async () => {
    const run = await ecr('--once');
    succeeded(run);
    expect(world.destination.repositories()).toEqual(['team/app', 'team/tools']);
    expect(world.destination.tags('team/tools')).toEqual(['a', 'b']);
    expect(world.destination.manifest('team/app', '1.0')).toEqual(world.source.manifest('team/app', '1.0'));
    const all = (server: RegistryServer) => [...(server.repository('team/app')?.manifests.keys() ?? [])].sort();
    expect(all(world.destination)).toEqual(all(world.source));
    expect(await world.destination.damage()).toEqual([]);
    expect(callersOf(world.source)).toEqual(['AKIAHOME']);
    expect(callersOf(world.destination)).toEqual(['AKIACHINA']);
    expect(run.stdout + run.stderr).not.toContain(chinaSecret);
    expect((await statuses()).map(({ target, state, tries }) => [target, state, tries])).toEqual(
      ['team/app:1.0', 'team/app:latest', 'team/tools:a', 'team/tools:b'].map((name) => [
        `${destinationHost}/${name}`,
        'copied',
        1,
      ]),
    );
  });

  part('asks for each repository once, and not for each image, when nothing has changed', async () => {
    succeeded(await ecr());
    const requests = callsTo(world.source) + callsTo(world.destination);
    for (const tag of ['c', 'd', 'h']) {
      const image = buildImage({ name: `tools-${tag}`, index: false, platforms: ['linux/amd64'] });
      await world.source.putImage('team/tools', tag, image);
      await world.destination.putImage('team/tools', tag, image);
    }
    world.source.reset();
    world.destination.reset();
    const again = await ecr();
    succeeded(again);
    expect(again.stdout).toContain('7 images the same on both sides');
    expect(callsTo(world.source) + callsTo(world.destination)).toBe(requests);
    // A token, the repositories, and one list each.
    expect(callsTo(world.source)).toBe(4);
    expect(world.destination.count('manifest-put') + world.destination.count('upload-start')).toBe(0);
  });

  part('copies what is new or moved, and a signature that came later', async () => {
    const moved = buildImage({ name: 'app-3' });
    await world.source.putImage('team/app', 'latest', moved);
    const signed = withReferrer(buildImage({ name: 'app-1' }), { artifactType: 'application/vnd.example.late' });
    await world.source.putImage('team/app', '1.0', signed);
    succeeded(await ecr());
    expect(world.destination.manifest('team/app', 'latest')?.descriptor.digest).toBe(moved.digest);
    const held = world.destination.repository('team/app')?.manifests;
    for (const { descriptor } of signed.manifests) expect([...(held?.keys() ?? [])]).toContain(descriptor.digest);
    const blobs = world.source.requests.of('blob-get').map(({ reference }) => reference);
    expect(new Set(blobs).size).toBe(blobs.length);
  });

  part('tries three times, alarms once, and goes on with the others; the next run ends it', async () => {
    const topic = await inHome(async (aws) => (await (await aws.sns()).createTopic({ Name: 'drh' })).TopicArn ?? '');
    const broken = buildImage({ name: 'broken', index: false, platforms: ['linux/amd64'] });
    await world.source.putImage('team/broken', '1', broken);
    await world.source.putImage('team/fine', '1', buildImage({ name: 'fine' }));
    const damaged = { class: 'manifest-get', repository: 'team/broken', times: 'always' } as const;
    world.source.fail({ ...damaged, fault: { kind: 'corrupt' } });
    const run = await ecr('--alarm-topic', topic, '--alarm-email', 'ops@example.com');
    expect(run.status).toBe(1);
    expect(run.stdout).toContain('ops@example.com gets no alarm before its subscription');
    expect(run.stdout).toContain(`${sourceHost}/team/broken:1: try 2 of 3 failed`);
    expect(run.stdout).toContain('FAILED with 1 failure');
    expect(world.destination.tags('team/fine')).toEqual(['1']);
    const failed = await statuses('--state', 'failed');
    expect(failed).toMatchObject([{ target: `${destinationHost}/team/broken:1`, state: 'failed', tries: 3 }]);
    expect(failed[0]?.error).toContain('expected sha256');
    const sent = await snsMessages(world.home.endpoint);
    expect(sent.filter((text) => text.includes('team/broken'))).toHaveLength(1);
    const subscribed = () =>
      inHome(async (aws) => (await (await aws.sns()).listSubscriptionsByTopic({ TopicArn: topic })).Subscriptions);
    expect(await subscribed()).toHaveLength(1);
    world.source.reset();
    succeeded(await ecr('--alarm-topic', topic, '--alarm-email', 'ops@example.com'));
    expect(await subscribed()).toHaveLength(1);
    expect(await statuses('--state', 'failed')).toEqual([]);
    expect(world.destination.tags('team/broken')).toEqual(['1']);
  });

  part('tries again what may pass', async () => {
    await world.source.putImage('team/flaky', '1', buildImage({ name: 'flaky' }));
    world.source.fail({
      class: 'blob-get',
      repository: 'team/flaky',
      times: 6,
      fault: { kind: 'status', status: 500 },
    });
    const held = { kind: 'status', status: 429, headers: { 'retry-after': '1' } } as const;
    world.source.fail({ class: 'manifest-get', repository: 'team/flaky', times: 2, fault: held });
    world.destination.fail({ class: 'manifest-put', repository: 'team/flaky', times: 2, fault: held });
    const run = await ecr('--tries', '3');
    succeeded(run);
    expect(world.destination.tags('team/flaky')).toEqual(['1']);
    expect(world.destination.requests.count(({ status }) => status === 429)).toBe(2);
  });

  part('takes a list from a parameter, and names what the source does not have', async () => {
    const args = ['--src-list', 'selected', '--src-image-parameter', 'images', '--dest-prefix', 'chosen'];
    const run = await ecr(...args, '--alarm-email', 'ops@example.com');
    expect(run.status).toBe(1);
    // The topic is made for the address, and told.
    const made = await inHome(async (aws) => (await (await aws.sns()).listTopics({})).Topics ?? []);
    const [topic] = made.flatMap(({ TopicArn: arn = '' }) => (arn.endsWith(':image-replication-alarm') ? [arn] : []));
    expect(run.stdout).toContain(`ops@example.com gets no alarm before its subscription to ${topic ?? 'it'}`);
    expect((await snsMessages(world.home.endpoint)).filter((text) => text.includes('team/nothing'))).toHaveLength(1); // prettier-ignore
    expect(run.stdout).toContain(`${sourceHost}/team/nothing:latest is not at the source`);
    expect(world.destination.tags('chosen/team/app')).toEqual(['1.0']);
    expect(world.destination.tags('chosen/team/tools')).toHaveLength(5);
    expect(await statuses('--state', 'failed')).toMatchObject([
      { target: `${destinationHost}/chosen/team/nothing:latest`, tries: 1 },
    ]);
    const ignored = await ecr('--src-image-list', 'a,b', '--plan');
    succeeded(ignored);
    expect(ignored.stdout).toContain('--src-image-list is ignored: --src-list is ALL');
  });

  part('keeps and reports what was deleted at the source; --prune deletes it, and nobody else’s', async () => {
    world.source.deleteTag('team/tools', 'h');
    world.destination.createRepository('other/tool');
    await world.destination.putImage('other/tool', '1', buildImage({ name: 'other' }));
    const kept = await ecr();
    succeeded(kept);
    expect(kept.stdout).toContain('team/tools:h');
    expect(kept.stdout).not.toContain('other/tool');
    expect(world.destination.tags('team/tools')).toContain('h');
    expect(await statuses('--state', 'deleted-at-source')).toMatchObject([
      { target: `${destinationHost}/team/tools:h` },
    ]);
    expect((await ecr('--prune')).status).toBe(2);
    const pruned = await ecr('--prune', '--yes');
    succeeded(pruned);
    expect(world.destination.tags('team/tools')).not.toContain('h');
    expect(world.destination.tags('other/tool')).toEqual(['1']);
    expect(await statuses('--state', 'pruned')).toHaveLength(1);
  });

  part('carries settings along, and tells what it found different', async () => {
    const lifecycle = JSON.stringify({
      rules: [
        { rulePriority: 1, selection: { tagStatus: 'untagged', countType: 'imageCountMoreThan', countNumber: 9 } },
      ],
    });
    const settings = { imageTagMutability: 'IMMUTABLE', encryptionType: 'KMS' } as const;
    world.source.createRepository('team/set', settings, { cost: 'a', 'image-replication:dev/m': 'app' });
    await world.source.putImage('team/set', '1', buildImage({ name: 'set' }));
    const set = world.source.repository('team/set');
    if (set !== undefined) Object.assign(set, { lifecyclePolicy: lifecycle });
    world.destination.createRepository('team/set', { scanOnPush: true });
    const run = await ecr('--with-settings');
    succeeded(run);
    const got = world.destination.repository('team/set');
    expect(got?.settings).toMatchObject({ imageTagMutability: 'IMMUTABLE', scanOnPush: false });
    expect(got?.lifecyclePolicy).toBe(lifecycle);
    expect([...(got?.resourceTags ?? [])].sort()).toEqual([
      ['cost', 'a'],
      ['image-replication-source', sourceHost],
    ]);
    expect(run.stdout).toContain('team/set: encryption is AES256, at the source KMS');
    expect((await ecr('--with-settings')).stdout).not.toContain('tag mutability was');
  });

  part('keeps its status in a DynamoDB table that it creates on request, and takes up an interrupted run', async () => {
    await world.source.putImage('team/late', '1', buildImage({ name: 'late-1' }));
    await world.source.putImage('team/late', '2', buildImage({ name: 'late-2' }));
    const store = ['--status-store', 'dynamodb:drh-status'];
    expect((await ecr(...store)).stdout).toContain('pass --create-table to have it created');
    // A run that was killed between two images.
    const [two] = world.source.tags('team/late').slice(-1);
    await world.destination.putImage('team/late', two, buildImage({ name: 'late-2' }));
    const run = await ecr(...store, '--create-table');
    succeeded(run);
    const all = await statuses('--store', 'dynamodb:drh-status');
    const late = all.filter(({ target }) => target.includes('team/late'));
    expect(late.map(({ state }) => state)).toEqual(['copied', 'unchanged']);
    expect(world.destination.tags('team/late')).toEqual(['1', '2']);
  });

  part('leaves a lock on request, and replicates exactly what it says', async () => {
    const to = ['--dest-prefix', 'locked'];
    const kept = join(world.folder, 'kept.lock.json');
    const lockOf = (): Promise<string> => readFile(join(out, 'replication.lock.json'), 'utf8');
    succeeded(await ecr(...to, '--write-lock'));
    const text = await lockOf();
    await writeFile(kept, text);
    const lock = parseLock(text, kept);
    expect(lock).toMatchObject({ job: 'ecr', target: `${destinationHost}/` });
    const digestOf = (): unknown => world.destination.manifest('locked/team/app', 'latest')?.descriptor.digest;
    const before = digestOf();
    const app = lock.images.find(({ source }) => source === `${sourceHost}/team/app:latest`);
    expect(app).toMatchObject({ digest: before, targets: [`${destinationHost}/locked/team/app:latest`] });
    expect(lock.images.find(({ source }) => source === `${sourceHost}/team/app:1.0`)?.referrers).not.toEqual([]);
    succeeded(await ecr(...to, '--write-lock'));
    expect(await lockOf()).toBe(text);

    await world.source.putImage('team/app', 'latest', buildImage({ name: 'app-after-the-lock' }));
    succeeded(await ecr(...to));
    expect(digestOf()).not.toBe(before);
    world.source.reset();
    succeeded(await ecr('--lock', kept));
    expect(digestOf()).toBe(before);
    // By digest, whatever tags name; and nothing is listed.
    expect(world.source.requests.of(({ reference, class: kind }) => kind === 'manifest-get' && reference === 'latest')).toEqual([]); // prettier-ignore
    expect(world.source.requests.count(({ action }) => action === 'ListImages')).toBe(0);
    expect(await statuses('--state', 'failed')).toEqual([]);
    expect((await statuses()).find(({ target }) => target.endsWith('/locked/team/app:latest'))?.digest).toBe(before);
    expect(await world.destination.damage()).toEqual([]);

    for (const [args, message] of [
      [['--lock', kept, ...to, '--prune'], 'leave out --dest-prefix, --prune, or --lock'],
      [['--lock', join(out, 'run.json')], 'it is no lock'],
    ] as const) {
      const refused = await ecr(...args);
      expect(refused.status).toBe(2);
      expect(refused.stdout).toContain(message);
    }
    await writeFile(kept, text.replaceAll(sourceHost, sourceHost.replace('eu-west-1', 'eu-west-3')));
    const elsewhere = await ecr('--lock', kept);
    expect(elsewhere.status).toBe(2);
    expect(elsewhere.stdout).toContain('pass --src-region and --src-account of the registry that the lock was written');
  });

  part('assumes a role for a side', async () => {
    const role = `arn:aws:iam::${sourceAccount}:role/reader`;
    succeeded(await ecr('--src-account', sourceAccount, '--src-role', role));
    const [caller = ''] = callersOf(world.source);
    expect(caller).toMatch(/^ASIA/);
  });
});

/** moto keeps what was published, as its own data shows. */
async function snsMessages(endpoint: string): Promise<readonly string[]> {
  const Data = z.looseObject({ sns: z.looseObject({ Topic: z.array(z.unknown()).optional() }).optional() });
  const data = Data.parse(await (await fetch(`${endpoint}/moto-api/data.json`)).json());
  return (data.sns?.Topic ?? []).map((topic) => JSON.stringify(topic));
}
