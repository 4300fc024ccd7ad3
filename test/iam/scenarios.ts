import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import * as z from 'zod';
import { buildImage } from '../../src/testing/image-builder.ts';
import { withCharts } from '../stand-ins.ts';
import { spawnProgram, type Variables } from '../program.ts';
import { startHelmDistro } from '../world/helm-distro.ts';
import { account } from '../world/place.ts';
import { startWorld, type World } from '../world/world.ts';
import type { Need } from './compare.ts';
import { startRecorder } from './recorder.ts';

/** ECR of another account and region, which images are taken from. */
const foreign = '210987654321.dkr.ecr.us-west-2.amazonaws.com';
const foreignImage = `${foreign}/platform/tool:1.0`;

/** What the runs were given; modulestack.yaml gets the same parameters. */
export const parameters = {
  HelmRepoSecretName: 'vault',
  HelmDistroSecretName: 'team/helm',
  EncryptionKey: `arn:aws:kms:eu-west-1:${account}:key/0f1e2d3c-aaaa-bbbb-cccc-0123456789ab`,
};

/**
 * Runs the module through its life, in an account that notes what each request needs: first deploys of two deployments
 * (one into repositories that are there already), a deploy with a moved tag, with and without blob mounting, helm and a
 * source behind secrets, a source on another account's ECR, a key of the customer's, and the destroy of both.
 */
export async function recordedNeeds(mounting: boolean): Promise<readonly Need[]> {
  const world = await startWorld({ content: 'sample', ecr: { mounting } });
  const { partition, region } = world.place;
  const common = { partition, region, account };
  const [s3, secrets, distro] = await Promise.all([
    startRecorder({ endpoint: world.s3.url, ...common }),
    startRecorder({ endpoint: world.secretsManager.url, ...common }),
    startHelmDistro(world, { username: 'helm', password: 'helm-password' }),
  ]);
  try {
    world.secrets.set(parameters.HelmDistroSecretName, '{"username": "helm", "password": "helm-password"}');
    const tool = await world.registry(foreign);
    await tool.putImage('platform/tool', '1.0', buildImage({ name: 'tool' }));
    const env = {
      AWS_ENDPOINT_URL_S3: s3.url,
      AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url,
      SEEDFARMER_PARAMETER_HELM_DISTRO_URL: distro.url,
      SEEDFARMER_PARAMETER_HELM_DISTRO_SECRET_NAME: parameters.HelmDistroSecretName,
      SEEDFARMER_PARAMETER_ENCRYPTION_KEY: parameters.EncryptionKey,
      SEEDFARMER_PARAMETER_RETENTION_TYPE: 'DESTROY',
    };
    await liveThrough(world, env);
    return [world.ecr, tool].flatMap((server) => [...server.iam.used()]).concat(s3.needs(), secrets.needs());
  } finally {
    await Promise.all([s3, secrets, distro].map((each) => each.close()));
    await world.close();
  }
}

async function liveThrough(world: World, env: Variables): Promise<void> {
  await writeVersion(world);
  // As the original module leaves them: without tags, one with another image under the tag.
  world.ecr.createRepository('app-sample/worker');
  await world.ecr.putImage('app-sample/worker', '5.1', buildImage({ name: 'old' }));
  const run = async (...args: readonly string[]): Promise<void> => {
    const ended = await spawnProgram([...args, '--out', join(world.folder, 'out')], { ...world.env, ...env });
    if (ended.status !== 0)
      throw new Error(`${args.join(' ')} ended with ${ended.status ?? 'a signal'}:\n${ended.stdout}`);
  };
  const deploy = (deployment: string): Promise<void> =>
    run('eks', '--eks-version', '1.1', '--data-dir', world.dataDir ?? '', '--publish', '--deployment', deployment);
  await run('helm');
  await deploy('one');
  const hub = await world.registry('docker.io');
  await hub.putImage('sample/worker', '5.1', buildImage({ name: 'moved' }));
  await deploy('one');
  await deploy('two');
  await run('destroy', '--deployment', 'one');
  await run('destroy', '--deployment', 'two');
}

/** Two charts, one with a private image, and an image of the other account. */
async function writeVersion(world: World): Promise<void> {
  const folder = world.dataDir ?? '';
  const all = await readFile(join(folder, '1.0.yaml'), 'utf8');
  const file = z.looseObject({}).parse(parse(withCharts(all, ['worker', 'gateway', 'web'])));
  await writeFile(join(folder, '1.1.yaml'), stringify({ ...file, additional_images: { tool: foreignImage } }));
}
