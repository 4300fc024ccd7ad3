import { readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import * as z from 'zod';
import { type Deployment, Template } from '../../deploy/aws/testing/resolve.ts';
import { lacking, roleGrants } from '../../deploy/aws/testing/role-grants.ts';
import { templateFile } from '../../deploy/aws/template.ts';
import { parseLock } from '../../src/publish/lock.ts';
import { type ChartServer, startChartServer } from '../../src/testing/chart-server.ts';
import { buildImage } from '../../src/testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../../src/testing/registry-server.ts';
import { sampleHosts } from '../../src/testing/sample-charts.ts';
import { pushSampleImages, sampleCharts, sampleDataFiles } from '../../src/testing/samples.ts';
import { runProgram } from '../program.ts';
import { accountId } from '../seedfarmer/account.ts';
import { withCharts } from '../stand-ins.ts';
import { story } from '../story.ts';
import { describeWith } from '../tools.ts';
import { bucket, region, statusTable } from './account.ts';
import { roleNeeds } from './role-needs.ts';
import { deployment, type FleetWorld, sourceHost, startFleetWorld } from './world.ts';

const template = Template.parse(JSON.parse(readFileSync(templateFile, 'utf8')));
const elsewhere = { account: '210987654321', region: 'us-west-2' };
const from = `${elsewhere.account}.dkr.ecr.${elsewhere.region}.amazonaws.com`;
const module = { eksProject: 'demo', eksDeployment: 'dev', eksModule: 'core-replication' };
/** Where the EKS job publishes: the module's own bucket. */
const resultBucket = `demo-dkr-img-rep-md-${region}-${accountId}`;

const { ecsClusterName, ecsVpcId, ecsSubnetA, ecsSubnetB, assignPublicIp, workerImage } = deployment.parameters;
const place = { ecsClusterName, ecsVpcId, ecsSubnetA, ecsSubnetB, assignPublicIp, workerImage };
const stackOf = (job: string, input: string, more: Deployment['parameters'] = {}): Deployment['parameters'] => ({
  ...(place as Deployment['parameters']),
  ...{ job, jobInput: `s3://${bucket}/input/${input}` },
  ...more,
});
const stacks = {
  images: stackOf('images', 'images.txt', { destPrefix: 'listed' }),
  mirror: stackOf('mirror', 'mirror.ini', { destPrefix: 'mirrored' }),
  eks: stackOf('eks', 'replication.lock.json', module),
};

/** The stack's registry is where images go to here, by the tasks' own roles. */
describeWith(['moto_server'], 'the other jobs, as they are deployed', () => {
  let world: FleetWorld;
  let other: RegistryServer;
  let open: RegistryServer;
  let charts: ChartServer;
  let locked: string;
  const part = story(
    async () => {
      world = await startFleetWorld(1);
      [other, open, charts] = await Promise.all([
        world.registry(elsewhere.account, elsewhere.region),
        startRegistryServer({ manners: 'plain' }),
        startChartServer({ charts: sampleCharts(), path: '/sample-charts' }),
      ]);
      for (const tag of ['1.0.0', '1.1.0', '2.0.0'])
        await other.putImage('team/app', tag, buildImage({ name: `app-${tag}` }));
      await other.putImage('team/tool', '1.0.0', buildImage({ name: 'tool' }));
      await pushSampleImages({ open, private: open });
      locked = await lockText();
      empty(world.source, 'demo-');
    },
    async () => {
      await world.close();
      await Promise.all([open, charts].map((each) => each.close()));
    },
  );

  const put = (name: string, Body: string) =>
    world.account.s3.putObject({ Bucket: bucket, Key: `input/${name}`, Body });
  /** Deploys the stack for a job, runs it, and gives its end and the kinds of its tasks. */
  async function run(job: keyof typeof stacks) {
    const { account, tasks } = world;
    await world.deploy(stacks[job]);
    const before = tasks.tasks.length;
    const ended = await account.end(await account.start(job));
    const started = tasks.tasks.slice(before);
    const log = started.map(({ command, output }) => `${command.join(' ')}\n${output}`).join('\n---\n');
    return { ended, log: log.slice(-4000), kinds: started.map(({ kind }) => kind) };
  }
  /** Digests by repository and tag at the target, of what the status table says is there. */
  async function saidToBeThere(prefix: string): Promise<Readonly<Record<string, string | undefined>>> {
    const { Items = [] } = await world.account.dynamodb.scan({ TableName: statusTable });
    const there = Items.filter(({ state }) => state?.S === 'copied').map(({ target, digest }) => {
      const name = target?.S?.slice(sourceHost.length + 1) ?? '';
      const [, repository = '', tag = ''] = /^(.+):(.+)$/.exec(name) ?? [];
      expect(world.source.manifest(repository, tag)?.descriptor.digest, name).toBe(digest?.S);
      return [name, digest?.S] as const;
    });
    return Object.fromEntries(there.filter(([name]) => name.startsWith(prefix)).sort());
  }
  const digest = (repository: string, tag: string) => other.manifest(repository, tag)?.descriptor.digest;

  part('images: a list in S3; what is missing fails alone, by mail', async () => {
    const names = ['app:1.0.0', 'lost:1', 'tool:1.0.0'];
    await put('images.txt', names.map((name) => `${from}/team/${name}\n`).join(''));
    const { ended, log, kinds } = await run('images');
    expect(ended, log).toMatchObject({ status: 'FAILED', error: 'ImagesFailed' });
    expect(ended.cause).toMatch(/^Run images: 1 failed, 2 copied, 0 unchanged;/);
    expect(kinds.filter((kind) => kind !== 'worker')).toEqual(['plan', 'summary']);
    expect(await saidToBeThere('listed/')).toEqual({
      'listed/team/app:1.0.0': digest('team/app', '1.0.0'),
      'listed/team/tool:1.0.0': digest('team/tool', '1.0.0'),
    });
    expect((await world.account.mails()).at(-1)).toContain('/team/lost:1');
  });

  part('mirror: a file in S3, tags found out', async () => {
    const section = ['image = app', 'semver = ^1.0', 'keep = 2', `source-repository = ${from}/team`, 'project = team'];
    await put('mirror.ini', `[app]\n${section.join('\n')}\n`);
    const { ended, log, kinds } = await run('mirror');
    expect(ended.status, `${String(ended.cause)} ${log}`).toBe('SUCCEEDED');
    expect(kinds.filter((kind) => kind !== 'worker')).toEqual(['plan', 'summary']);
    const there = Object.entries(await saidToBeThere('mirrored/'));
    expect(there.map(([name]) => name.split(':')[1])).toEqual(['1.0.0', '1.1.0']);
    expect(there.map(([, said]) => said)).toEqual([digest('team/app', '1.0.0'), digest('team/app', '1.1.0')]);
  });

  part('eks: images of a lock in S3 by workers, then charts and publication by the task that finishes', async () => {
    const { source, account } = world;
    const lock = parseLock(locked, 'the lock');
    await put('replication.lock.json', locked);
    expect(source.repositories().flatMap((name) => (name.startsWith('demo-') ? source.tags(name) : []))).toEqual([]);
    const { ended, log, kinds } = await run('eks');
    expect(ended.status, `${String(ended.cause)} ${log}`).toBe('SUCCEEDED');
    expect(kinds.filter((kind) => kind !== 'worker')).toEqual(['plan', 'summary', 'finish']);
    const said = await saidToBeThere('demo-');
    const wanted = lock.images.flatMap((image) =>
      image.targets.map((target) => [target.slice(sourceHost.length + 1), image.digest] as const),
    );
    expect(wanted.length).toBeGreaterThan(1);
    expect(said).toEqual(Object.fromEntries(wanted));
    for (const { target } of lock.charts) {
      const [, repository = '', tag = ''] = /^[^/]+\/(.+):(.+)$/.exec(target) ?? [];
      expect(source.manifest(repository, tag), target).toBeDefined();
    }
    expect(lock.charts).toHaveLength(2);
    const published = { Bucket: resultBucket, Key: `${module.eksDeployment}-${module.eksModule}-metadata.json` };
    const { Body } = await account.s3.getObject(published);
    const result = z
      .looseObject({ charts: z.looseObject({}) })
      .parse(JSON.parse((await Body?.transformToString()) ?? ''));
    expect(Object.keys(result.charts).sort()).toEqual(lock.charts.map(({ key }) => key));
    expect(await source.damage()).toEqual([]);
  });

  part('need what the template’s roles grant for them', () => {
    const grants = Object.values(stacks).map((parameters) => roleGrants(template, { ...deployment, parameters }));
    const roles = Object.keys(grants.at(-1) ?? {});
    const all = Object.fromEntries(roles.map((role) => [role, grants.flatMap((each) => each[role] ?? [])]));
    const needs = roleNeeds(world, template);
    expect(new Set(needs.map(({ role }) => role))).toContain('FinishRole');
    expect(lacking(needs, all)).toEqual([]);
  });

  /** The lock of a run elsewhere: a chart and its images. */
  async function lockText(): Promise<string> {
    const data = join(world.folder, 'data');
    const out = join(world.folder, 'locked');
    await mkdir(data);
    const files = sampleDataFiles({
      chartRepository: charts.url,
      dockerMappings: { [sampleHosts.open]: open.host, [sampleHosts.private]: open.host, default: open.host },
    });
    await writeFile(join(data, 'default.yaml'), files.defaults);
    await writeFile(join(data, '1.0.yaml'), withCharts(files.version, ['gateway', 'worker']));
    const { eksProject, eksDeployment, eksModule } = module;
    const names = ['--project', eksProject, '--deployment', eksDeployment, '--module', eksModule];
    const made = await runProgram(
      ['eks', '--eks-version', '1.0', '--data-dir', data, '--no-render', ...names, '--out', out],
      world.environment('test'),
    );
    expect(made.status, made.stdout + made.stderr).toBe(0);
    return readFile(join(out, 'replication.lock.json'), 'utf8');
  }
});

function empty(server: RegistryServer, prefix: string): void {
  for (const name of server.repositories().filter((each) => each.startsWith(prefix))) {
    const { manifests, blobs } = server.repository(name) ?? {};
    for (const tag of server.tags(name)) server.deleteTag(name, tag);
    for (const digest of [...(manifests?.keys() ?? [])]) server.deleteManifest(name, digest);
    for (const digest of [...(blobs?.keys() ?? [])]) server.deleteBlob(name, digest);
  }
}
