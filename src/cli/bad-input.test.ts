import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ProgramRun, runProgram, type Variables } from '../../test/program.ts';
import { eksArguments, startStandIns, type StandIns } from '../../test/stand-ins.ts';

// What users get wrong: each ends with status 2, before anything was created, and with a text that says what to do.

let world: StandIns;
beforeAll(async () => {
  world = await startStandIns();
});
afterAll(() => world.close());

function eks(changes: Variables, ...args: readonly string[]): Promise<ProgramRun> {
  return runProgram(eksArguments(world, ...args), { ...world.env, ...changes });
}

/** The program refused to begin, and said all this. */
function expectRefused(run: ProgramRun, ...texts: readonly string[]): void {
  for (const text of texts) expect(run.stdout + run.stderr).toContain(text);
  expect(run.status).toBe(2);
  expect(world.ecr.repositories()).toEqual([]);
  expect(world.s3.buckets.size).toBe(0);
}

describe('parameters', () => {
  it('that are missing or wrong are all told at once', async () => {
    const run = await eks({
      SEEDFARMER_PROJECT_NAME: undefined,
      SEEDFARMER_DEPLOYMENT_NAME: '',
      SEEDFARMER_MODULE_NAME: undefined,
      SEEDFARMER_PARAMETER_EKS_VERSION: undefined,
      SEEDFARMER_PARAMETER_PLATFORMS: 'amd64',
      SEEDFARMER_PARAMETER_SCAN_ON_PUSH: 'perhaps',
      SEEDFARMER_PARAMETER_MAX_MINUTES: 'soon',
      AWS_REGION: undefined,
    });
    expectRefused(
      run,
      'FAILED with 8 failures',
      "the project's name is missing",
      'set SEEDFARMER_PROJECT_NAME (Seed-Farmer does), or pass --project',
      "the deployment's name is missing",
      "the module's name is missing",
      'set the parameter EksVersion in the manifest (quoted: "1.34"), or pass --eks-version',
      '"amd64" is not a platform',
      'the parameter ScanOnPush is neither true nor false: perhaps',
      'set it to true or false, or leave it out',
      'the parameter MaxMinutes is "soon"',
      'the AWS region is missing',
    );
  });

  it.each([
    ['My-App', 'no upper-case letters'],
    ['my_app', 'no underscore'],
    ['a'.repeat(40), 'more than 63 characters'],
    ['-app', 'begin and end with a letter or digit'],
  ])('a project name that no repository or bucket may have: %s', async (project, why) => {
    const told = [`project name "${project}" cannot be used`, why, 'choose a project name of at most 25'];
    expectRefused(await eks({ SEEDFARMER_PROJECT_NAME: project }), ...told);
    const destroyed = await runProgram(['destroy', '--out', world.out, '--project', project], world.env);
    expectRefused(destroyed, ...told);
    const deleted = await runProgram(['delete-repos', '--yes', '--out', world.out, '--', project], world.env);
    expectRefused(deleted, ...told);
  });

  it('a retention type that is neither, in a destroy', async () => {
    const run = await runProgram(['destroy', '--out', world.out], {
      ...world.env,
      SEEDFARMER_PARAMETER_RETENTION_TYPE: 'keep',
    });
    expectRefused(run, 'RetentionType "keep" is neither RETAIN nor DESTROY', 'set it to RETAIN or DESTROY');
  });

  it('a retention type, a key and a platform that are none, at the first deploy', async () => {
    const run = await eks({
      SEEDFARMER_PARAMETER_RETENTION_TYPE: 'keep',
      SEEDFARMER_PARAMETER_ENCRYPTION_KEY: 'kms',
      SEEDFARMER_PARAMETER_PLATFORMS: 'linux/amd64 linux/arm64',
    });
    expectRefused(
      run,
      'RetentionType "keep" is neither',
      'write it as KMS',
      '"linux/amd64 linux/arm64" is not a platf',
    );
  });

  it('an UncontrolledImages that is none, and an AllowedRegistries that names no host', async () => {
    const run = await eks(
      { SEEDFARMER_PARAMETER_UNCONTROLLED_IMAGES: 'ignore', SEEDFARMER_PARAMETER_ALLOWED_REGISTRIES: 'a/b' },
      '--eks-version',
      '1.99',
    );
    expectRefused(
      run,
      'UncontrolledImages is "ignore"',
      'set it to WARN, FAIL, PATCH',
      'names "a/b", which is no host',
    );
  });

  it('a target that is none, and a target that nothing can be published from', async () => {
    expectRefused(await eks({}, '--target', 'oci-layout'), '"oci-layout" is no target', 'oci-layout:DIR');
    const run = await eks({}, '--target', `${world.open.host}/x`, '--publish');
    expectRefused(run, '--publish goes with ECR as target only', 'leave out --target or --publish');
  });

  it('an account id that is none', async () => {
    expectRefused(await eks({ AWS_ACCOUNT_ID: '12345' }), '"12345" is no AWS account id', 'twelve digits');
  });

  it('a certificate file that is not there', async () => {
    for (const name of ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE'])
      expectRefused(await eks({ [name]: '/nowhere/ca.pem' }), `/nowhere/ca.pem that ${name} names`, `unset ${name}`);
  });
});

describe('data files', () => {
  it('a --data-dir that is not there, is a file, or has neither data file: never replaced by the shipped ones', async () => {
    const missing = join(world.folder, 'my-dtaa');
    expectRefused(await eks({}, '--data-dir', missing), `there is no folder ${missing}`, '--data-dir');
    const file = join(world.dataDir, 'default.yaml');
    expectRefused(await eks({}, '--data-dir', file), `${file} is no folder`);
    const folder = await mkdtemp(join(world.folder, 'other-version-'));
    await writeFile(join(folder, '1.33.yaml'), 'charts: {}\n');
    expectRefused(
      await eks({}, '--data-dir', folder, '--eks-version', '1.34'),
      `the folder ${folder} holds neither default.yaml nor 1.34.yaml (it holds 1.33.yaml)`,
    );
  });

  it('an EKS version without file: says which there are', async () => {
    const run = await eks({}, '--eks-version', '1.99');
    expectRefused(
      run,
      'no data file for EKS version "1.99"',
      '1.0, 1.1, 1.30, 1.31, 1.32, 1.33, 1.34',
      'add a 1.99.yaml',
    );
  });

  it('1.3 is recognised as an unquoted 1.30', async () => {
    const run = await eks({ SEEDFARMER_PARAMETER_EKS_VERSION: '1.3' });
    expectRefused(run, '"1.3" is almost surely an unquoted 1.30', 'write "1.30" with quotes in the manifest');
  });

  it('a file that is no YAML: names file and line', async () => {
    const path = join(world.dataDir, '2.0.yaml');
    await writeFile(path, 'charts:\n  web:\n    version: [1.2.0\n  worker: {}\n');
    expectRefused(await eks({}, '--eks-version', '2.0'), `${path}:4`, 'is no valid YAML');
  });

  it('wrong keys and types: all of them, each with file, line, key and the nearest known one', async () => {
    const path = join(world.dataDir, '2.1.yaml');
    await writeFile(path, 'ami: latest\ncharts:\n  web:\n    versoin: 1.2.0\n  worker:\n    skip: [1]\n');
    const run = await eks({}, '--eks-version', '2.1');
    expectRefused(run, `${path}:1: ami`, `${path}:4: charts.web.versoin: unknown key (nearest known key: "version")`);
    expectRefused(run, `${path}:6: charts.worker.skip`);
  });

  it('a path that the chart does not have: chart, image, path and the nearest key; all of them', async () => {
    const folder = await mkdtemp(join(world.folder, 'wrong-paths-'));
    const [defaults, version] = await Promise.all(
      ['default.yaml', '1.0.yaml'].map((name) => readFile(join(world.dataDir, name), 'utf8')),
    );
    const wrong = (defaults ?? '').replaceAll('path: init.image.repository', 'path: init.image.repositry');
    await writeFile(join(folder, 'default.yaml'), wrong.replace('path: operand.image', 'path: operant.image'));
    await writeFile(join(folder, '1.0.yaml'), version ?? '');
    const run = await eks({}, '--data-dir', folder);
    expectRefused(run, 'charts.web.images.init', 'init.image.repositry', 'init.image.repository');
    expectRefused(run, 'charts.operator.images.operand', 'operant.image', 'operand.image');
  });
});

describe('secrets', () => {
  const name = 'SEEDFARMER_PARAMETER_HELM_REPO_SECRET_NAME';
  const key = 'SEEDFARMER_PARAMETER_HELM_REPO_SECRET_KEY';

  it('one that does not exist', async () => {
    expectRefused(
      await eks({ [name]: 'team/nothing' }),
      'secret "team/nothing" does not exist in us-east-1',
      'create it',
    );
  });

  it('a key that it does not have: lists the keys', async () => {
    world.secrets.set('two', JSON.stringify({ first: {}, 'quay.io': { username: 'u', password: 'hidden-value-1' } }));
    const run = await eks({ [name]: 'two', [key]: 'frist' });
    expectRefused(run, 'secret "two" has no key "frist"; its keys are: first, quay.io', 'add the key');
    expect(run.stdout).not.toContain('hidden-value-1');
  });

  it('one without username, at the top and under a key', async () => {
    world.secrets.set('half', JSON.stringify({ password: 'hidden-value-2', art: { password: 'hidden-value-3' } }));
    const top = await eks({ [name]: 'half' });
    expectRefused(top, 'secret "half" has no username and password at its top level', 'its keys are: password, art');
    const nested = await eks({ [name]: 'half', [key]: 'art' });
    expectRefused(nested, 'key "art" of secret "half" holds no username and password', 'store both');
    expect(top.stdout + nested.stdout).not.toContain('hidden-value');
  });

  it('one that is no JSON: its text is not shown', async () => {
    world.secrets.set('plain', 'hidden-value-4');
    const run = await eks({ [name]: 'plain' });
    expectRefused(run, 'secret "plain" is no JSON object', 'store {"username": "…", "password": "…"}');
    expect(run.stdout).not.toContain('hidden-value');
  });

  it('a helm secret without a helm address that it could be for', async () => {
    const run = await runProgram(['helm', '--out', world.out], {
      ...world.env,
      SEEDFARMER_PARAMETER_HELM_DISTRO_SECRET_NAME: 'half',
    });
    expectRefused(run, 'HelmDistroSecretName is set, but HelmDistroUrl is not a URL', 'set HelmDistroUrl');
  });
});

describe('a list of images', () => {
  const images = (list: string, ...args: readonly string[]): Promise<ProgramRun> =>
    runProgram(['images', '--out', world.out, '--list', list, ...args], world.env);

  it('that cannot be read', async () => {
    expectRefused(await images('/nowhere/list'), 'cannot read the list /nowhere/list', 'name a readable file');
  });

  it('with wrong lines: all of them, with file and line', async () => {
    const list = join(world.folder, 'wrong');
    await writeFile(list, 'a b c\n\n# a comment\nbusybox:1 x/y:1\nalpine:3 x/y:1\nnginx:!\n');
    const run = await images(list);
    expectRefused(run, `${list}:1: has 3 words`, `${list}:5: "x/y:1" is also the target of "busybox:1" (line 4)`);
    expectRefused(run, `${list}:6`, 'nginx:!', 'source-reference [target-reference]');
  });

  it('whose lines say no target, without --target', async () => {
    const list = join(world.folder, 'no-target');
    await writeFile(list, 'busybox:1\nalpine:3\n');
    expectRefused(await images(list), `${list}:1 names no target`, 'pass --target host/prefix');
  });

  it('two sources that --target leads to one name', async () => {
    const list = join(world.folder, 'one-name');
    await writeFile(list, 'one.example/app:1\ntwo.example/app:1\ntwo.example/app:1\n');
    const run = await images(list, '--target', world.open.host);
    expectRefused(run, `${list}:2: ${world.open.host}/app:1 is also where one.example/app:1 goes (${list}:1)`);
    expect(world.open.count('manifest-put')).toBe(0);
  });
});
