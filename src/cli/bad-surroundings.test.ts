import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type ProgramRun, runProgram, smallDisk, spawnProgram, type Variables } from '../../test/program.ts';
import { eksArguments, startStandIns, type StandIns } from '../../test/stand-ins.ts';
import { createAuthority } from '../testing/certificates.ts';
import { buildImage } from '../testing/image-builder.ts';
import { tarLayer } from '../testing/image-layers.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';

// What is wrong around the program: hosts, disks, AWS. Status 1, and a text that says where it failed and what to do.

let world: StandIns;
const servers: RegistryServer[] = [];
beforeAll(async () => {
  world = await startStandIns();
});
afterEach(async () => {
  world.ecr.reset();
  world.charts.faults.clear();
  world.ecr.iam.setPolicy(undefined);
  await Promise.all(servers.splice(0).map((server) => server.close()));
});
afterAll(() => world.close());

/** The small main job: one chart, one image. */
function eks(changes: Variables = {}, ...args: readonly string[]): Promise<ProgramRun> {
  return runProgram(eksArguments(world, '--eks-version', '1.1', ...args), { ...world.env, ...changes });
}

/** A project that nothing was copied for before, by this test's first try neither. */
let projects = 0;
const newProject = (): string => `own${(projects += 1)}`;

async function images(lines: readonly string[], changes: Variables = {}): Promise<ProgramRun> {
  const list = join(world.folder, 'list');
  await writeFile(list, lines.join('\n'));
  return runProgram(['images', '--out', world.out, '--list', list], { ...world.env, ...changes });
}

function expectFailed(run: ProgramRun, ...texts: readonly string[]): void {
  for (const text of texts) expect(run.stdout + run.stderr).toContain(text);
  expect(run.status).toBe(1);
}

describe('hosts', () => {
  it('a name that DNS does not know', async () => {
    const run = await images([`registry.invalid/team/app:1 ${world.open.host}/app:1`]);
    expectFailed(run, '(source registry.invalid, unreachable)', 'check the spelling of registry.invalid');
  });

  it('a certificate of an authority that is not trusted; with the authority in NODE_EXTRA_CA_CERTS it works', async () => {
    const authority = await createAuthority();
    const tls = await authority.issue(['127.0.0.1']);
    const server = await startRegistryServer({ manners: 'plain', tls });
    servers.push(server);
    await server.putImage('app', '1', buildImage({ name: 'app' }));
    const line = `${server.host}/app:1 ${world.open.host}/tls/app:1`;
    const run = await images([line]);
    expectFailed(run, `(source ${server.host}, unreachable)`, 'its certificate is not trusted', 'NODE_EXTRA_CA_CERTS');
    const file = join(world.folder, 'ca.pem');
    await writeFile(file, authority.certificate);
    expect((await images([line], { NODE_EXTRA_CA_CERTS: file })).status).toBe(0);
  });

  it.each([
    ['for another name', ['other.example'], undefined],
    ['that has expired', ['127.0.0.1'], new Date(Date.now() - 1000)],
  ])('a certificate %s', async (_what, hosts, notAfter) => {
    const authority = await createAuthority();
    const server = await startRegistryServer({ manners: 'plain', tls: await authority.issue(hosts, { notAfter }) });
    servers.push(server);
    const file = join(world.folder, 'ca.pem');
    await writeFile(file, authority.certificate);
    const run = await images([`${server.host}/app:1 ${world.open.host}/app:1`], { SSL_CERT_FILE: file });
    expectFailed(run, `(source ${server.host}, unreachable)`, 'its certificate is not trusted');
  });

  it('charts and versions that a repository does not have: says which it has; the other charts go on', async () => {
    const wrong = { web: { version: '9.9.9' }, worker: { name: 'wroker' }, pinned: {} };
    await writeVersion('1.2', wrong);
    const run = await eks({ SEEDFARMER_PROJECT_NAME: newProject() }, '--eks-version', '1.2');
    expectFailed(run, 'charts.web', '9.9.9', '1.2.0', 'charts.worker', 'wroker', 'gateway');
    expect(run.stdout).toMatch(/copied +chart pinned 2\.0\.0/);
    expect(run.stdout).toContain('FAILED with 2 failures');
  });

  it('a chart whose archive is gone, and a repository that is gone', async () => {
    world.charts.fail({ class: 'chart', times: 'always', fault: { kind: 'status', status: 404 } });
    const gone = await eks();
    world.charts.faults.clear();
    expectFailed(gone, 'charts.worker', 'worker-5.1.3.tgz (404)', 'check the repository URL in the data file');
    world.charts.fail({ class: 'chart-index', times: 'always', fault: { kind: 'status', status: 404 } });
    const nothing = await eks();
    world.charts.faults.clear();
    expectFailed(nothing, 'charts.worker', `${world.charts.url}/index.yaml`, '404');
  });
});

/** A version file that has these charts only. */
async function writeVersion(name: string, charts: Readonly<Record<string, object>>): Promise<void> {
  const text = await readFile(join(world.dataDir, '1.1.yaml'), 'utf8');
  const all = ['agent', 'gateway', 'installer', 'operator', 'pinned', 'platform', 'web', 'worker'];
  const entries = Object.fromEntries(all.map((key) => [key, charts[key] ?? { skip: true }]));
  const mappings = text.slice(text.indexOf('docker_mappings:'));
  await writeFile(join(world.dataDir, `${name}.yaml`), `${stringify({ charts: entries })}${mappings}`);
}

describe('AWS', () => {
  const refusal = (type: string, message: string) =>
    ({
      kind: 'status',
      status: 400,
      headers: { 'x-amzn-errortype': type, 'content-type': 'application/x-amz-json-1.1' },
      body: JSON.stringify({ __type: type, message }),
    }) as const;

  it('credentials that have expired', async () => {
    const fault = refusal('ExpiredTokenException', 'The security token included in the request is expired');
    world.ecr.fail({ class: 'api', times: 'always', fault });
    const run = await eks();
    expectFailed(
      run,
      '1. eks (',
      'ecr:GetAuthorizationToken',
      'the AWS credentials have expired',
      'renew the AWS session',
    );
    expect(run.stdout).toContain('ExpiredTokenException');
  });

  it('credentials that AWS does not know', async () => {
    const fault = refusal('UnrecognizedClientException', 'The security token included in the request is invalid.');
    world.ecr.fail({ class: 'api', times: 'always', fault });
    expectFailed(await eks(), 'the AWS credentials are not valid', 'for which account and partition they are');
  });

  it('no credentials', async () => {
    const run = await eks({ AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined });
    expectFailed(run, 'unable to locate AWS credentials', 'AWS_PROFILE', 'or run with a role');
  });

  const repository = (name: string): string => `arn:aws:ecr:us-east-1:123456789012:repository/${name}`;

  it('a call to ECR that is denied: which action on which resource', async () => {
    const project = newProject();
    const resources = [`*/${project}-sample/*`];
    world.ecr.iam.setPolicy([{ effect: 'Deny', actions: ['ecr:CreateRepository'], resources }]);
    const run = await eks({ SEEDFARMER_PROJECT_NAME: project });
    const denied = repository(`${project}-sample/worker`);
    expectFailed(run, `allow ecr:CreateRepository on ${denied} for arn:aws:sts::123456789012`);
    expect(run.stdout).toMatch(/copied +chart worker/);
  });

  it('a push that is denied: which action on which resource', async () => {
    const project = newProject();
    world.ecr.iam.setPolicy([{ effect: 'Deny', actions: ['ecr:PutImage'], resources: [`*/${project}-sample/*`] }]);
    const run = await eks({ SEEDFARMER_PROJECT_NAME: project });
    expectFailed(run, `what to do: allow ecr:PutImage on ${repository(`${project}-sample/worker`)}\n`);
  });

  it('a secret that may not be read', async () => {
    world.secrets.set('sealed', 'denied');
    const run = await eks({ SEEDFARMER_PARAMETER_HELM_REPO_SECRET_NAME: 'sealed' });
    expectFailed(run, 'allow secretsmanager:GetSecretValue on');
    expect(run.stdout).toContain('sealed');
  });

  it('S3 that denies the object: nothing is published, no metadata is left', async () => {
    world.s3.fail(/^PUT .*metadata\.json$/, 403, 'AccessDenied', 10);
    const run = await eks({ SEEDFARMER_PROJECT_NAME: 'ns' }, '--publish', '--out', join(world.folder, 'denied'));
    const object = 's3://ns-dkr-img-rep-md-us-east-1-123456789012/dev-platform-replication-metadata.json';
    expectFailed(run, `allow s3:PutObject on ${object}`);
    await expect(readFile(join(world.folder, 'denied/metadata.json'))).rejects.toThrow('ENOENT');
  });

  it('a bucket of that name that belongs to somebody else', async () => {
    const name = 'nb-dkr-img-rep-md-us-east-1-123456789012';
    const settings = { location: '', publicAccessBlock: undefined, encryption: undefined, versioning: undefined };
    world.s3.buckets.set(name, { owner: '999999999999', ...settings, versions: [] });
    const run = await eks({ SEEDFARMER_PROJECT_NAME: 'nb' }, '--publish');
    expectFailed(run, `bucket ${name} does not belong to account 123456789012`, 'choose another project name');
  });

  it('a region that has no ECR, and one that cannot be', async () => {
    const own = { AWS_ENDPOINT_URL_ECR: undefined, SEEDFARMER_PARAMETER_HELM_REPO_SECRET_NAME: undefined };
    const run = await eks({ ...own, AWS_REGION: 'xx-nowhere-1' });
    expectFailed(
      run,
      'api.ecr.xx-nowhere-1',
      'region "xx-nowhere-1" has no ECR',
      'check AWS_REGION (now xx-nowhere-1)',
    );
    const wrong = await eks({ ...own, AWS_REGION: 'Frankfurt (Main)' });
    expect(wrong.stdout).toContain('"Frankfurt (Main)" is no AWS region');
    expect(wrong.status).toBe(2);
  });
});

describe('disks', () => {
  it('a folder that is a file', async () => {
    const run = await eks({}, '--out', '/dev/null/out');
    expectFailed(run, 'cannot write /dev/null/out: a part of the path is a file', 'give another folder with --out');
    expect(run.stdout).not.toContain('run.json');
    const list = await images([`${world.open.host}/team/web:1.2.0 ${world.open.host}/disks/web:1`]);
    expect(list.status).toBe(0);
  });

  it('a TMPDIR that is not there', async () => {
    const run = await eks({ TMPDIR: '/nowhere/tmp' });
    expectFailed(run, 'cannot make a folder for temporary files in /nowhere/tmp', 'name another folder with TMPDIR');
  });

  it('an --out that may not be written to', async ({ skip }) => {
    const folder = await mkdtemp(join(world.folder, 'read-only-'));
    await chmod(folder, 0o500);
    // Root may write anywhere, but not to a file system that is mounted read-only.
    const wrapper = process.getuid?.() === 0 ? smallDisk(folder, 'ro') : [];
    if (wrapper === undefined) return skip('mounting a read-only file system is not possible here');
    const args = eksArguments(world, '--eks-version', '1.1', '--out', join(folder, 'out'));
    const run = await spawnProgram(args, world.env, { wrapper });
    expectFailed(run, `cannot write ${join(folder, 'out')}`, 'give a folder that can be written to with --out');
  });

  it('an --out on a disk that is full', async ({ skip }) => {
    const folder = await mkdtemp(join(world.folder, 'full-'));
    const wrapper = smallDisk(folder, 'size=64k', 'head -c 1M /dev/zero >"$0/filler" 2>/dev/null || true');
    if (wrapper === undefined) return skip('mounting a small disk is not possible here');
    const args = eksArguments(world, '--eks-version', '1.1', '--out', folder);
    const run = await spawnProgram(args, world.env, { wrapper });
    expectFailed(run, `cannot write ${folder}/`, 'the disk is full', 'free space, or give another folder with --out');
  });

  it('a TMPDIR that is too small for a blob that two targets need', async ({ skip }) => {
    const folder = await mkdtemp(join(world.folder, 'small-'));
    const wrapper = smallDisk(folder, 'size=64k');
    if (wrapper === undefined) return skip('mounting a small disk is not possible here');
    const layers = [tarLayer([{ path: 'noise', content: randomBytes(6_000_000).toString('latin1') }])];
    await world.open.putImage('team/large', '1', buildImage({ name: 'large', layers: () => layers }));
    const target = await startRegistryServer({ manners: 'plain', mounting: false });
    servers.push(target);
    const source = `${world.open.host}/team/large:1`;
    const list = [`${source} ${target.host}/one:1`, `${source} ${target.host}/two:1`].join('\n');
    const run = await spawnProgram(
      ['images', '--list', '-', '--out', world.out],
      { ...world.env, TMPDIR: folder },
      {
        input: list,
        wrapper,
      },
    );
    // Each repository gets its own read instead.
    expect(run.status, run.stdout).toBe(0);
    expect(run.stdout).toContain('cannot keep a blob on disk: ENOSPC');
    for (const name of ['one', 'two']) expect(target.tags(name)).toEqual(['1']);
  });
});
