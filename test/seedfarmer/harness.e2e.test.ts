import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { story } from '../story.ts';
import { describeWith, root } from '../tools.ts';
import { type Account, startAccount } from './account.ts';
import { openSeedFarmer, type SeedFarmer } from './harness.ts';
import { filesOf, type ProjectSpec } from './project.ts';

const spec: ProjectSpec = {
  project: 'Stub',
  deployment: 'first',
  group: 'platform',
  module: 'replication',
  region: 'eu-central-1',
  dataFiles: { 'data/versions/1.33.yaml': 'charts: {}\n' },
  parameters: { 'eks-version': '1.33', HelmRepoSecretName: 'repo-secret', Outcome: 'true' },
};

const deployspec = `
publishGenericEnvVariables: true
deploy:
  phases:
    build:
      commands:
        - test -f data/versions/1.33.yaml
        - $SEEDFARMER_PARAMETER_OUTCOME
        - seedfarmer metadata add -j '{"Version":"'$SEEDFARMER_PARAMETER_EKS_VERSION'","Name":"'$SEEDFARMER_PROJECT_NAME-$SEEDFARMER_DEPLOYMENT_NAME-$SEEDFARMER_MODULE_NAME'"}'
destroy:
  phases:
    build:
      commands:
        - echo "destroyed with $SEEDFARMER_MODULE_METADATA"
build_type: BUILD_GENERAL1_SMALL
`;

// The tests of the module itself rest on this: the stand-ins do what the real ones do, tried on a module of three lines.
describeWith(['seedfarmer', 'moto_server'], 'Seed-Farmer harness', () => {
  let account: Account;
  let seedfarmer: SeedFarmer;

  const part = story(begin, end);
  async function begin(): Promise<void> {
    account = await startAccount(spec.region);
    seedfarmer = openSeedFarmer({
      account,
      module: filesOf({
        'deployspec.yaml': deployspec,
        'modulestack.yaml': readFileSync(join(root, 'modulestack.yaml'), 'utf8'),
        'README.md': '# stub\n',
      }),
    });
  }
  async function end(): Promise<void> {
    seedfarmer.close();
    await account.stop();
  }

  part('stores no metadata when the first build fails', async () => {
    const run = await seedfarmer.apply({ ...spec, parameters: { ...spec.parameters, Outcome: 'false' } });
    expect(run).toMatchObject({ status: 1, built: true });
    expect(await seedfarmer.metadata(spec)).toBeUndefined();
  });

  part('runs the build with data files and parameters, and stores its metadata', async () => {
    const run = await seedfarmer.apply(spec);
    expect(run.log).toContain('Phase complete: POST_BUILD State: SUCCEEDED');
    expect(run.status).toBe(0);
    expect(await seedfarmer.metadata(spec)).toMatchObject({
      Version: '1.33',
      Name: 'stub-first-platform-replication',
      SeedFarmerDeployed: '8.0.9',
    });
  });

  part('builds nothing when nothing changed, and keeps the metadata of before when a later build fails', async () => {
    expect(await seedfarmer.apply(spec)).toMatchObject({ status: 0, built: false });
    const failing = { ...spec, parameters: { ...spec.parameters, 'eks-version': '1.34', Outcome: 'false' } };
    expect(await seedfarmer.apply(failing)).toMatchObject({ status: 1, built: true });
    expect(await seedfarmer.metadata(spec)).toMatchObject({ Version: '1.33' });
  });

  part('gives destroy the metadata and removes it', async () => {
    const run = await seedfarmer.destroy(spec);
    expect(run.log).toMatch(/destroyed with \{.*"Version": ?"1\.33"/);
    expect(run.status).toBe(0);
    expect(await seedfarmer.metadata(spec)).toBeUndefined();
  });
});
