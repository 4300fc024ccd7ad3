import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { createAuthority } from '../../src/testing/certificates.ts';
import { buildImage } from '../../src/testing/image-builder.ts';
import { type ProxyServer, startProxyServer } from '../../src/testing/proxy-server.ts';
import { type RegistryServer, startRegistryServer } from '../../src/testing/registry-server.ts';
import { runProgram, type Variables } from '../../test/program.ts';
import { templateFile } from './template.ts';
import { lacking, roleGrants, type RoleNeed, unused } from './testing/role-grants.ts';
import { resolver, Template } from './testing/resolve.ts';

const account = '123456789012';
const template = Template.parse(JSON.parse(await readFile(templateFile, 'utf8')));

/** What tasks of the stack may do at registries, against what they do there when they run the stack's own commands. */
describe('rights of tasks at registries', () => {
  let folder: string;
  let env: Variables;
  let proxy: ProxyServer;
  let registries: Readonly<Record<string, RegistryServer>>;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'image-replication-test-'));
    const authority = await createAuthority();
    proxy = await startProxyServer();
    const start = async (region: string) => {
      const hostName = `${account}.dkr.ecr.${region}.amazonaws.com`;
      const storageHostName = `prod-${region}-starport-layer-bucket.s3.${region}.amazonaws.com`;
      const api = `api.ecr.${region}.amazonaws.com`;
      const tls = await authority.issue([hostName, storageHostName, api]);
      const common = {
        manners: 'ecr',
        accountId: account,
        region,
        hostName,
        storageHostName,
        tls,
        mounting: true,
      } as const;
      const server = await startRegistryServer(common);
      for (const name of [hostName, api]) proxy.route(`${name}:443`, server.host);
      proxy.route(`${storageHostName}:443`, server.storageHost);
      return server;
    };
    registries = { 'us-east-1': await start('us-east-1'), 'eu-west-1': await start('eu-west-1') };
    await writeFile(join(folder, 'ca.pem'), authority.certificate);
    env = {
      ...{ PATH: process.env['PATH'], HOME: folder, TMPDIR: folder, HTTPS_PROXY: proxy.url },
      SSL_CERT_FILE: join(folder, 'ca.pem'),
      ...{
        AWS_REGION: 'eu-west-1',
        AWS_ACCOUNT_ID: account,
        AWS_ACCESS_KEY_ID: 'AKIA',
        AWS_SECRET_ACCESS_KEY: 'secret',
      },
      ...{ AWS_EC2_METADATA_DISABLED: 'true', AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' },
    };
  });
  afterEach(async () => {
    await Promise.all([...Object.values(registries), proxy].map((each) => each.close()));
    await rm(folder, { recursive: true, force: true });
  });

  /** Runs the program, and gives what it needed. */
  async function needs(role: string, args: readonly string[], status = 0): Promise<readonly RoleNeed[]> {
    for (const each of Object.values(registries)) each.iam.reset();
    const ended = await runProgram([...args, '--out', join(folder, 'out')], env);
    expect(ended.status, ended.stdout + ended.stderr).toBe(status);
    return Object.values(registries).flatMap((each) => each.iam.used().map((need) => ({ role, ...need })));
  }

  /** The plan's arguments, as the state machine has them; without the tables, which are not there. */
  function planArguments(parameters: Readonly<Record<string, string>>): readonly string[] {
    const resolve = resolver(template, deployment(parameters));
    const definition = z.string().parse(resolve(template.Resources['StateMachine']?.Properties['DefinitionString']));
    const Definition = z.object({
      States: z.looseObject({ Settings: z.object({ Parameters: z.object({ plan: z.array(z.string()) }) }) }),
    });
    const { plan } = Definition.parse(JSON.parse(definition)).States.Settings.Parameters;
    return plan.filter(
      (word, at) => ![word, plan[at - 1]].some((each) => /^--(status-store|budget)$/.test(each ?? '')),
    );
  }
  const deployment = (parameters: Readonly<Record<string, string>>) => ({
    ...{ partition: 'aws', region: 'eu-west-1', account },
    parameters: {
      ...{ ecsClusterName: 'c', ecsVpcId: 'v', ecsSubnetA: 'a', ecsSubnetB: 'b', workerImage: 'ghcr.io/a/b' },
      ...parameters,
    },
  });

  let runs = 0;
  /** Plans and copies, twice where it matters: everything, and then what has changed. */
  async function compare(
    parameters: Readonly<Record<string, string>>,
    input?: string,
    rounds: readonly string[] = ['one', 'two'],
  ): Promise<readonly RoleNeed[]> {
    let plan = planArguments(parameters);
    if (input !== undefined) {
      const file = join(folder, `input-${runs}`);
      await writeFile(file, input);
      plan = plan.map((word) => (word === parameters['jobInput'] ? file : word));
    }
    const all: RoleNeed[] = [];
    for (const name of rounds) {
      await registries['us-east-1']?.putImage('team/app', '1.0', buildImage({ name }));
      await registries['us-east-1']?.putImage('team/app', '1.1', buildImage({ name: `${name}-c` }));
      await registries['us-east-1']?.putImage('team/tool', '2.0', buildImage({ name: 'tool' }));
      if (name === 'one') await registries['us-east-1']?.putImage('team/gone', '1', buildImage({ name: 'gone' }));
      else registries['us-east-1']?.deleteTag('team/gone', '1');
      const location = join(folder, `run-${++runs}`);
      await mkdir(location);
      all.push(...(await needs('PlanRole', [...plan, '--shards', location, '--shard-count', '1'])));
      all.push(...(await needs('WorkerRole', ['worker', '--shards', location, '--index', '0'])));
    }
    expect(lacking(all, roleGrants(template, deployment(parameters)))).toEqual([]);
    return all;
  }

  /** Rights of a role at registries that none of the runs has used. */
  function idle(
    role: 'PlanRole' | 'WorkerRole',
    needs: readonly RoleNeed[],
    parameters: Readonly<Record<string, string>>,
  ): readonly string[] {
    const granted = roleGrants(template, deployment(parameters))[role] ?? [];
    const atRegistries = granted.filter((each) => each.actions.every((action) => action.startsWith('ecr:')));
    return unused(needs, { [role]: atRegistries }, [role]);
  }

  it('are enough for every job, and no more', async () => {
    const host = `${account}.dkr.ecr.us-east-1.amazonaws.com`;
    const all = { srcRegion: 'us-east-1', destPrefix: 'all' };
    const selected = { ...all, srcList: 'SELECTED', srcImageList: 'team/app:ALL_TAGS,team/tool:2.0' };
    const open = {
      sourceType: 'Public',
      srcList: 'SELECTED',
      srcImageList: `${host}/team/app:ALL_TAGS`,
      destPrefix: 'open',
    };
    const images = { job: 'images', jobInput: 's3://lists/images.txt', destPrefix: 'listed' };
    const mirror = { job: 'mirror', jobInput: 's3://lists/config.ini', destPrefix: 'mirrored' };
    const list = ['app:1.0', 'app:1.1', 'tool:2.0'].map((each) => `${host}/team/${each}\n`).join('');
    const section = `[app]\nimage = app\nsemver = ^1.0\nkeep = 2\nsource-repository = ${host}/team\nproject = team\n`;
    const ecr = [...(await compare(all)), ...(await compare({ ...selected, platforms: 'linux/amd64' }))];
    const byName = await compare(open);
    const listed = [...(await compare(images, list)), ...(await compare(mirror, section, ['three']))];
    expect(idle('PlanRole', ecr, all)).toEqual([]);
    expect(idle('PlanRole', byName, open)).toEqual([]);
    expect(idle('PlanRole', listed, images)).toEqual([]);
    expect(idle('WorkerRole', [...ecr, ...byName, ...listed], all)).toEqual([]);
  });
});
