import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ECRClient, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr';
import { expect } from 'vitest';
import { parse, stringify } from 'yaml';
import { buildImage } from '../src/testing/image-builder.ts';
import { pushImage } from '../src/testing/samples.ts';
import { type Need, notGranted } from './iam/compare.ts';
import { statementsOf } from './iam/template.ts';
import { accountId, clientSettings } from './seedfarmer/account.ts';
import type { SeedFarmerRun } from './seedfarmer/harness.ts';
import type { ProjectSpec } from './seedfarmer/project.ts';
import { region, secret, startWorld, type World } from './seedfarmer/world.ts';
import { story } from './story.ts';
import { describeWith, requireTool, root } from './tools.ts';

const versions = 'data/eks_dockerimage-replication/versions';
const bucket = `app-dkr-img-rep-md-${region}-${accountId}`;
const objectOf = (deployment: string): string => `${deployment}-platform-replication-metadata.json`;

// One story in order: each step starts from what the step before left in the account.
describeWith(['seedfarmer', 'moto_server', 'helm3', 'skopeo'], 'the module in Seed-Farmer', () => {
  let world: World;
  let needs: Need[];
  const part = story(
    async () => {
      world = await startWorld();
      needs = [];
    },
    () => world.close(),
  );

  function specOf(
    deployment: string,
    parameters: Readonly<Record<string, unknown>> = {},
    edit: (version: VersionFile) => unknown = (version) => version,
  ): ProjectSpec {
    return {
      project: 'app',
      deployment,
      group: 'platform',
      module: 'replication',
      region,
      dataFiles: {
        [`${versions}/default.yaml`]: world.dataFiles.defaults,
        [`${versions}/1.33.yaml`]: stringify(edit(parse(world.dataFiles.version) as VersionFile)),
      },
      parameters: {
        'eks-version': '1.33',
        HelmRepoSecretName: secret.name,
        HelmDistroUrl: world.helmDistroUrl,
        HelmDistroSecretName: secret.name,
        ...parameters,
      },
    };
  }

  /** Runs the CLI, and notes what the module needed of ECR meanwhile. */
  async function noting(run: Promise<SeedFarmerRun>): Promise<SeedFarmerRun> {
    world.ecr.reset();
    const result = await run;
    needs.push(...world.ecr.iam.used());
    for (const password of [secret.password, Buffer.from(`${secret.username}:${secret.password}`).toString('base64')])
      expect(result.log).not.toContain(password);
    return result;
  }
  const apply = (spec: ProjectSpec): Promise<SeedFarmerRun> => noting(world.seedfarmer.apply(spec));
  const destroy = (spec: ProjectSpec): Promise<SeedFarmerRun> => noting(world.seedfarmer.destroy(spec));
  const result = async (deployment: string): Promise<Result> =>
    JSON.parse(await world.seedfarmer.object(bucket, objectOf(deployment))) as Result;

  part('replicates, publishes the result, and hands over the metadata', async () => {
    const run = await apply(specOf('one'));
    expect(run.status, run.log).toBe(0);
    expect(await world.seedfarmer.metadata(specOf('one'))).toMatchObject({
      S3Bucket: bucket,
      S3Object: objectOf('one'),
      S3FullPath: `${bucket}/${objectOf('one')}`,
      s3_bucket: bucket,
      s3_object: objectOf('one'),
      s3_full_path: `${bucket}/${objectOf('one')}`,
    });
    const { charts, ami } = await result('one');
    expect(ami.version).toBe('1.0.0-sample');
    expect(charts['web']).toMatchObject({
      helm: { name: 'web', version: '1.2.0', srcRepository: world.charts.url },
      values: {
        image: { registry: `${world.ecr.host}/app-registry.example.com`, repository: 'team/web', tag: '1.2.0' },
      },
    });
  });

  part('leaves charts and images that helm and skopeo read', async () => {
    const login = await ecrLogin(world);
    const { charts } = await result('one');
    const folder = mkdtempSync(join(tmpdir(), 'pulled-'));
    const credentials = ['--username', 'AWS', '--password', login, '--plain-http', '--destination', folder];
    for (const helm of ['helm3', 'helm4']) {
      const web = charts['web']?.helm;
      const env = { HOME: folder, PATH: process.env['PATH'] ?? '' };
      await run(requireTool(helm), ['pull', web?.repository ?? '', '--version', web?.version ?? '', ...credentials], {
        env,
      });
      expect(readdirSync(folder).filter((name) => name.endsWith('.tgz'))).toEqual(['web-1.2.0.tgz']);
      rmSync(join(folder, 'web-1.2.0.tgz'));
    }
    rmSync(folder, { recursive: true });
    const copied = 'app-registry.example.com/team/web';
    expect(await inspect(`${world.ecr.host}/${copied}:1.2.0`, login)).toBe(
      await inspect(`${world.open.host}/team/web:1.2.0`),
    );
    expect(world.ecr.repository('app-vault.example.com/team/gateway')?.tags.has('1.4.2')).toBe(true);
  });

  part('follows a moved tag and a new data file once ConfigVersion says so, and not before', async () => {
    const moved = buildImage({ name: 'web, built again' });
    await pushImage(world.open, 'team/web', '1.2.0', moved);
    const edit = (version: VersionFile): unknown => ({ ...version, ami: { version: '2.0.0-sample' } });
    expect(await apply(specOf('one', {}, edit))).toMatchObject({ status: 0, built: false });
    const run = await apply(specOf('one', { ConfigVersion: '2', RetentionType: 'Destroy' }, edit));
    expect(run.status, run.log).toBe(0);
    expect((await result('one')).ami.version).toBe('2.0.0-sample');
    expect(world.ecr.manifest('app-registry.example.com/team/web', '1.2.0')?.descriptor.digest).toBe(moved.digest);
  });

  part('publishes nothing when an image fails: object and metadata stay as they were', async () => {
    const before = await world.seedfarmer.object(bucket, objectOf('one'));
    const metadata = await world.seedfarmer.metadata(specOf('one'));
    const broken = (version: VersionFile): unknown => ({
      ...version,
      additional_images: { ...version.additional_images, gone: 'registry.example.com/team/no-such:1' },
    });
    const run = await apply(specOf('one', { ConfigVersion: '3', RetentionType: 'Destroy' }, broken));
    expect(run).toMatchObject({ status: 1, built: true });
    expect(run.log).toContain('team/no-such:1');
    expect(await world.seedfarmer.object(bucket, objectOf('one'))).toBe(before);
    expect(await world.seedfarmer.metadata(specOf('one'))).toEqual(metadata);
  });

  part('moves nothing for a second deployment of the project, and RETAIN keeps all of it', async () => {
    const run = await apply(specOf('two'));
    expect(run.status, run.log).toBe(0);
    expect(world.ecr.count('upload-put')).toBe(0);
    const repositories = world.ecr.repositories();
    expect(await destroy(specOf('two'))).toMatchObject({ status: 0, built: true });
    expect(world.ecr.repositories()).toEqual(repositories);
    expect((await result('two')).charts['web']?.helm.version).toBe('1.2.0');
  });

  part('keeps what another deployment owns when one is destroyed with DESTROY', async () => {
    const repositories = world.ecr.repositories();
    const run = await destroy(specOf('one'));
    expect(run.status, run.log).toBe(0);
    // Only the failed redeployment of "one" ever used this one.
    const kept = repositories.filter((name) => name !== 'app-registry.example.com/team/no-such');
    expect(world.ecr.repositories()).toEqual(kept);
    expect((await world.seedfarmer.keys(bucket)).filter((key) => key.startsWith('one-'))).toEqual([]);
    expect(await world.seedfarmer.keys(bucket)).toContain(objectOf('two'));
  });

  part(
    'deletes repositories, objects and the bucket with the last deployment, and nothing of a project of a like name',
    async () => {
      world.ecr.createRepository('app2-team/web');
      world.ecr.createRepository('app-prod-team/web', {}, { 'image-replication:one/platform-replication': 'app-prod' });
      expect((await apply(specOf('two', { RetentionType: 'DESTROY' }))).status).toBe(0);
      const run = await destroy(specOf('two'));
      expect(run.status, run.log).toBe(0);
      expect([...world.ecr.repositories()].sort()).toEqual(['app-prod-team/web', 'app2-team/web']);
      await expect(world.seedfarmer.keys(bucket)).rejects.toThrow(/bucket does not exist/);
    },
  );

  part('ends a destroy well where no deployment ever succeeded', async () => {
    const spec = specOf('never', { 'eks-version': '9.99' });
    const failed = await apply(spec);
    expect(failed).toMatchObject({ status: 1, built: true });
    expect(failed.log).toMatch(/9\.99[^]*1\.33/);
    expect(await world.seedfarmer.metadata(spec)).toBeUndefined();
    expect(await destroy(spec)).toMatchObject({ status: 0 });
  });

  // That nothing is granted in vain is shown by the recorded scenarios of iam.e2e.test.ts.
  part('needed no permission that modulestack.yaml does not grant', () => {
    const parameters = {
      ProjectName: 'app',
      RoleName: 'role',
      HelmRepoSecretName: secret.name,
      HelmDistroSecretName: secret.name,
    };
    const text = readFileSync(join(root, 'modulestack.yaml'), 'utf8');
    const statements = statementsOf(text, { partition: 'aws', region, account: accountId, parameters });
    const all = [...needs, ...world.recorder.needs()];
    expect(notGranted(all, statements)).toEqual([]);
  });
});

interface VersionFile {
  readonly additional_images: Readonly<Record<string, string>>;
}

interface Result {
  readonly ami: { readonly version: string };
  readonly charts: Readonly<
    Record<
      string,
      { readonly helm: { readonly repository: string; readonly version: string }; readonly values: unknown }
    >
  >;
}

async function ecrLogin({ account, ecr }: World): Promise<string> {
  const client = new ECRClient({ ...clientSettings(account), endpoint: ecr.url });
  const { authorizationData } = await client.send(new GetAuthorizationTokenCommand({}));
  client.destroy();
  const token = Buffer.from(authorizationData?.[0]?.authorizationToken ?? '', 'base64').toString('utf8');
  return token.slice('AWS:'.length);
}

/** Not synchronous: the registry that is asked answers in this very process. */
const run = promisify(execFile);

/** The manifest under a reference as skopeo reads it, byte for byte. */
async function inspect(reference: string, password?: string): Promise<string> {
  const login = password === undefined ? [] : ['--creds', `AWS:${password}`];
  const argv = ['inspect', '--raw', '--tls-verify=false', ...login, `docker://${reference}`];
  return (await run(requireTool('skopeo'), argv)).stdout;
}
