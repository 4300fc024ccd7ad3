import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import * as z from 'zod';
import { lacking, roleGrants, type RoleNeed, unused } from '../../deploy/aws/testing/role-grants.ts';
import { resolver, Template } from '../../deploy/aws/testing/resolve.ts';
import { templateFile } from '../../deploy/aws/template.ts';
import { buildImage } from '../../src/testing/image-builder.ts';
import { startRecorder } from '../iam/recorder.ts';
import { startJsonApiServer } from '../json-api-server.ts';
import { type ProgramRun, spawnProgram } from '../program.ts';
import { withCharts } from '../stand-ins.ts';
import { onceUnlessRetried } from '../story.ts';
import { describeWith } from '../tools.ts';
import { account } from '../world/place.ts';
import { startWorld, type World } from '../world/world.ts';

const lock = 's3://locks/replication.lock.json';
/** ECR of another account and region, which images are taken from. */
const foreign = '210987654321.dkr.ecr.us-west-2.amazonaws.com';
const parameters = {
  ...{ ecsClusterName: 'c', ecsVpcId: 'v', ecsSubnetA: 'a', ecsSubnetB: 'b', workerImage: 'ghcr.io/a/b' },
  ...{ job: 'eks', jobInput: lock, eksProject: 'app', eksDeployment: 'one', eksModule: 'g-images' },
  helmRepoSecretName: 'vault',
};

const Definition = z.object({
  States: z.looseObject({ Settings: z.looseObject({ Parameters: z.looseObject({ finish: z.array(z.string()) }) }) }),
});

describeWith(['helm3'], 'rights of the task that finishes the EKS job, recorded from its runs', () => {
  let world: World;
  let needs: readonly RoleNeed[];
  const grants = async () => {
    const template = Template.parse(JSON.parse(await readFile(templateFile, 'utf8')));
    const deployment = { ...{ partition: 'aws', region: 'eu-west-1', account }, parameters };
    const text = resolver(template, deployment)(template.Resources['StateMachine']?.Properties['DefinitionString']);
    const { finish } = Definition.parse(JSON.parse(z.string().parse(text))).States.Settings.Parameters;
    return { finish, granted: roleGrants(template, deployment) };
  };

  onceUnlessRetried(
    async () => {
      world = await startWorld({ content: 'sample' });
      needs = await recorded();
    },
    () => world.close(),
  );

  /** Finishes a run whose images are there, twice: into a new bucket, and again; and once without its lock. */
  async function recorded(): Promise<readonly RoleNeed[]> {
    const { finish } = await grants();
    const { region, partition } = world.place;
    const states = await startJsonApiServer(() => ({ output: {} }));
    const common = { partition, region, account };
    const [s3, secrets] = await Promise.all([
      startRecorder({ endpoint: world.s3.url, ...common }),
      startRecorder({ endpoint: world.secretsManager.url, ...common }),
    ]);
    const tool = await world.registry(foreign);
    for (const name of ['tool', 'twin', 'lost'])
      await tool.putImage(`platform/${name}`, '1.0', buildImage({ name: name === 'lost' ? name : 'tool' }));
    const run = async (args: readonly string[], asTask = false, status = 0): Promise<ProgramRun> => {
      const recording = { AWS_ENDPOINT_URL_S3: s3.url, AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url };
      const task = { TASK_TOKEN: 'token', TASK_HEARTBEAT_SECONDS: '0.5', AWS_ENDPOINT_URL_SFN: states.url };
      const env = { ...world.env, SEEDFARMER_PARAMETER_HELM_REPO_SECRET_NAME: 'vault' };
      const ended = await spawnProgram([...args, '--out', join(world.folder, 'out')], {
        ...(asTask ? { ...env, ...recording, ...task } : { ...env, AWS_ENDPOINT_URL_S3: world.s3.url }),
      });
      expect(ended.status, `${args.join(' ')}\n${ended.stdout}${ended.stderr}`).toBe(status);
      return ended;
    };
    try {
      await writeVersion();
      await run(['eks', '--eks-version', '1.1', '--data-dir', world.dataDir ?? '']);
      const text = await readFile(join(world.folder, 'out/replication.lock.json'), 'utf8');
      await fetch(`${world.s3.url}/locks`, { method: 'PUT' });
      await run(['delete-repos', 'app', '--yes']);
      for (const server of [world.ecr, tool]) server.iam.reset();
      await run(finish, true, 2);
      await fetch(`${world.s3.url}/locks/replication.lock.json`, { method: 'PUT', body: text });
      const location = join(world.folder, 'run');
      await run([...finish.filter((word) => word !== '--publish'), '--shards', location, '--shard-count', '1']);
      await run(['worker', '--shards', location, '--index', '0']);
      // Somebody has cleaned up meanwhile: it copies these as well, one by a mount.
      for (const name of ['twin', 'lost']) empty(`app-${foreign}/platform/${name}`);
      world.ecr.setMounting(true);
      for (const server of [world.ecr, tool]) server.iam.reset();
      for (let round = 0; round < 2; round += 1) await run(finish, true);
      const told = states.requests.map(({ operation }) => ({ action: `states:${operation}`, resource: '*' }));
      const all = [...world.ecr.iam.used(), ...tool.iam.used(), ...s3.needs(), ...secrets.needs(), ...told];
      return all.map((need) => ({ role: 'FinishRole', ...need }));
    } finally {
      await Promise.all([states, s3, secrets].map((each) => each.close()));
    }
  }

  function empty(name: string): void {
    const { manifests, blobs } = world.ecr.repository(name) ?? {};
    expect(manifests?.size, world.ecr.repositories().join()).toBeGreaterThan(0);
    for (const tag of world.ecr.tags(name)) world.ecr.deleteTag(name, tag);
    for (const digest of [...(manifests?.keys() ?? [])]) world.ecr.deleteManifest(name, digest);
    for (const digest of [...(blobs?.keys() ?? [])]) world.ecr.deleteBlob(name, digest);
  }

  /** Two charts, one with a private image, and images of another account's ECR. */
  async function writeVersion(): Promise<void> {
    const folder = world.dataDir ?? '';
    const text = withCharts(await readFile(join(folder, '1.0.yaml'), 'utf8'), ['worker', 'gateway', 'web']);
    const file = z.looseObject({}).parse(parse(text));
    const names = ['tool', 'twin', 'lost'];
    const images = Object.fromEntries(names.map((name) => [name, `${foreign}/platform/${name}:1.0`]));
    await writeFile(join(folder, '1.1.yaml'), stringify({ ...file, additional_images: images }));
  }

  it('are granted by the template', async () => {
    expect(lacking(needs, (await grants()).granted)).toEqual([]);
  });

  it('are all that the template grants, but for what these runs do not come to', async () => {
    expect(unused(needs, (await grants()).granted, ['FinishRole'])).toEqual([]);
  });
});
