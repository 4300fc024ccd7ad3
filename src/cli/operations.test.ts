import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { type ProgramRun, runProgram, spawnProgram, type Variables } from '../../test/program.ts';
import { bucket, eksArguments, startStandIns, type StandIns, vaultLogin, withCharts } from '../../test/stand-ins.ts';
import { root } from '../../test/tools.ts';
import { Plan } from '../model/plan.ts';
import { buildImage } from '../testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';

function expectStatus(run: ProgramRun, status: number): void {
  expect(run.status, run.stdout + run.stderr).toBe(status);
}

describe('images', () => {
  let world: StandIns;
  let target: RegistryServer;
  let docker: string;
  beforeAll(async () => {
    world = await startStandIns();
    target = await startRegistryServer({ manners: 'plain' });
    docker = join(world.folder, 'docker');
    await mkdir(docker);
  });
  afterAll(async () => {
    await Promise.all([target.close(), world.close()]);
  });

  async function images(
    lines: readonly string[],
    args: readonly string[],
    changes: Variables = {},
  ): Promise<ProgramRun> {
    const list = join(world.folder, 'images.txt');
    await writeFile(list, lines.join('\n'));
    return runProgram(['images', '--out', world.out, '--list', list, ...args], { ...world.env, ...changes });
  }

  const config = (content: object): Promise<void> => writeFile(join(docker, 'config.json'), JSON.stringify(content));

  it('asks docker config.json for credentials of exactly the host', async () => {
    const line = `${world.vault.host}/team/gateway:1.4.2 ${target.host}/from-config:1`;
    await config({ auths: {} });
    const without = await images([line], [], { DOCKER_CONFIG: docker });
    expectStatus(without, 1);
    expect(without.stdout).toContain('unauthorized');
    const auth = Buffer.from(`${vaultLogin.username}:${vaultLogin.password}`).toString('base64');
    await config({ auths: { [world.vault.host]: { auth } } });
    const run = await images([line], ['--verify'], { DOCKER_CONFIG: docker });
    expectStatus(run, 0);
    expect(target.tags('from-config')).toEqual(['1']);
    expect(target.requests.of((entry) => entry.headers.authorization !== undefined)).toEqual([]);
    expect(run.stdout).not.toContain(vaultLogin.password);
  });

  it('asks a credential helper, which gets the host on its standard input', async () => {
    const helper = join(docker, 'docker-credential-test');
    const answer = JSON.stringify({ Username: vaultLogin.username, Secret: vaultLogin.password });
    await writeFile(helper, `#!/bin/sh\ncat >"$0.asked"\necho '${answer}'\n`, { mode: 0o755 });
    await config({ credHelpers: { [world.vault.host]: 'test' } });
    const line = `${world.vault.host}/team/gateway:1.4.2 ${target.host}/from-helper:1`;
    const PATH = `${docker}:${world.env['PATH'] ?? ''}`;
    expectStatus(await images([line], [], { DOCKER_CONFIG: docker, PATH }), 0);
    expect(await readFile(`${helper}.asked`, 'utf8')).toBe(world.vault.host);
    expect(target.tags('from-helper')).toEqual(['1']);
  });

  it('reads one source once for two names, and nothing the second time', async () => {
    const source = `${world.open.host}/team/cache:7.0.9`;
    const lines = [`${source} ${target.host}/cache:a`, `# a comment`, `${source} ${target.host}/other/cache:b`];
    world.open.requests.reset();
    expectStatus(await images(lines, []), 0);
    const blobs = world.open.requests.of('blob-get').map((entry) => entry.reference);
    expect(new Set(blobs).size).toBe(blobs.length);
    expect(target.manifest('cache', 'a')?.descriptor.digest).toBe(
      target.manifest('other/cache', 'b')?.descriptor.digest,
    );
    target.requests.reset();
    const again = await images(lines, []);
    expectStatus(again, 0);
    expect(again.stdout).toContain('nothing to copy');
    expect(target.count('manifest-put') + target.count('upload-start')).toBe(0);
  });

  it('leaves with --plan what would be copied, and which lines ask for it, and copies nothing', async () => {
    const source = `${world.open.host}/team/cache:7.0.9`;
    const lines = ['# first', `${source} ${target.host}/later:a`, `${source} ${target.host}/later:b`];
    const run = await images(lines, ['--plan', '--platforms', 'linux/amd64']);
    expectStatus(run, 0);
    const plan = Plan.parse(JSON.parse(await readFile(join(world.out, 'plan.json'), 'utf8')));
    const list = join(world.folder, 'images.txt');
    expect(plan).toEqual({
      version: 1,
      job: 'images',
      images: [
        {
          kind: 'image',
          source,
          platforms: ['linux/amd64'],
          targets: [`${target.host}/later:a`, `${target.host}/later:b`],
          origins: [2, 3].map((line) => ({ path: `${list}:${line}`, file: list, line })),
        },
      ],
      charts: [],
    });
    expect(run.stdout.slice(run.stdout.lastIndexOf('files:'))).toContain(join(world.out, 'plan.json'));
    expect(target.repositories()).not.toContain('later');
  });

  it('puts lines without target under --target, by the path of their source', async () => {
    const run = await images([`${world.open.host}/team/init:1.0`], ['--target', `${target.host}/mirror`, '--verify']);
    expectStatus(run, 0);
    expect(target.tags('mirror/team/init')).toEqual(['1.0']);
  });

  it('copies a subset of the platforms', async () => {
    const Index = z.object({ manifests: z.array(z.object({ platform: z.object({ architecture: z.string() }) })) });
    const line = `${world.open.host}/team/init:1.0 ${target.host}/subset:1`;
    expectStatus(await images([line], ['--platforms', 'linux/arm64']), 0);
    const bytes = target.manifest('subset', '1')?.bytes ?? new Uint8Array();
    const index = Index.parse(JSON.parse(Buffer.from(bytes).toString()));
    expect(index.manifests.map((each) => each.platform.architecture)).toEqual(['arm64']);
  });

  it('writes an image layout', async () => {
    const folder = join(world.folder, 'bundle');
    const lines = [`${world.open.host}/team/init:1.0`, `${world.open.host}/team/agent:v2.3.4`];
    expectStatus(await images(lines, ['--target', `oci-layout:${folder}`]), 0);
    const index = z
      .object({ manifests: z.array(z.object({ annotations: z.record(z.string(), z.string()).optional() })) })
      .parse(JSON.parse(await readFile(join(folder, 'index.json'), 'utf8')));
    const names = index.manifests.map((each) => each.annotations?.['org.opencontainers.image.ref.name']);
    expect(names).toEqual(expect.arrayContaining(['team/init:1.0', 'team/agent:v2.3.4']));
  });

  it('takes the list from standard input, whichever kind it is', async () => {
    const line = `${world.open.host}/team/init:1.0 ${target.host}/stdin:1\n`;
    const run = await spawnProgram(['images', '--out', world.out, '--list', '-'], world.env, { input: line });
    expectStatus(run, 0);
    const piped = `echo '${line.trim().replace('stdin', 'pipe')}' | "$@"`;
    const wrapper = ['sh', '-c', piped, 'sh'];
    expectStatus(await spawnProgram(['images', '--out', world.out, '--list', '-'], world.env, { wrapper }), 0);
    expect([target.tags('stdin'), target.tags('pipe')]).toEqual([['1'], ['1']]);
  });

  it('says with --plan what would be copied, and copies nothing', async () => {
    const before = target.repositories().length;
    const run = await images([`${world.open.host}/team/init:1.0 ${target.host}/planned:1`], ['--plan']);
    expectStatus(run, 0);
    expect(run.stdout).toContain(`${world.open.host}/team/init:1.0 -> ${target.host}/planned:1`);
    expect(target.repositories()).toHaveLength(before);
  });

  it('says that a list names no image', async () => {
    const run = await images(['# nothing'], ['--target', `${target.host}/mirror`]);
    expectStatus(run, 0);
    expect(run.stdout).toMatch(/warning: .* names no image/);
  });

  it('refuses a target whose prefix no registry takes', async () => {
    const run = await images([`${world.open.host}/team/init:1.0`], ['--target', `${target.host}/Mirror`]);
    expectStatus(run, 2);
    expect(run.stdout).toContain('is no prefix of repositories');
  });

  it('goes on when one of the images fails, and lists the failure', async () => {
    const lines = ['team/nothing:1', 'team/init:1.0'].map(
      (name) => `${world.open.host}/${name} ${target.host}/some/${name}`,
    );
    const run = await images(lines, []);
    expectStatus(run, 1);
    expect(run.stdout).toContain('FAILED with 1 failure');
    expect(run.stdout).toContain(`${world.open.host} answered 404 to manifest team/nothing:1`);
    expect(target.tags('some/team/init')).toEqual(['1.0']);
  });
});

describe('destroy', () => {
  let world: StandIns;
  beforeEach(async () => {
    world = await startStandIns();
  });
  afterEach(() => world.close());

  const deploy = async (deployment: string, version = '1.1'): Promise<void> => {
    const args = eksArguments(world, '--eks-version', version, '--deployment', deployment, '--publish');
    expectStatus(await runProgram(args, world.env), 0);
  };
  const destroy = (deployment: string, type: string | undefined): Promise<ProgramRun> =>
    runProgram(['destroy', '--out', world.out, '--deployment', deployment], {
      ...world.env,
      SEEDFARMER_PARAMETER_RETENTION_TYPE: type,
    });
  /** Objects that a reader of the bucket finds; old versions are left out. */
  const keys = (): readonly string[] => {
    const latest = new Map((world.s3.buckets.get(bucket)?.versions ?? []).map(({ key, body }) => [key, body]));
    return [...latest].flatMap(([key, body]) => (body === undefined ? [] : [key])).sort();
  };

  it('with RETAIN, which is the default, keeps everything and asks AWS nothing', async () => {
    await deploy('one');
    const [repositories, objects] = [world.ecr.repositories(), keys()];
    world.s3.requests.length = 0;
    world.ecr.requests.reset();
    for (const type of [undefined, 'retain']) {
      const run = await destroy('one', type);
      expectStatus(run, 0);
      expect(run.stdout).toContain('RetentionType is RETAIN');
    }
    expect(world.ecr.repositories()).toEqual(repositories);
    expect(keys()).toEqual(objects);
    expect(world.s3.requests.length + world.ecr.requests.entries.length).toBe(0);
  });

  it('with DESTROY takes repositories, objects and bucket away; again, and where nothing was deployed, it ends well', async () => {
    world.ecr.createRepository('app-by-hand');
    await deploy('one');
    expectStatus(await destroy('one', 'DESTROY'), 0);
    expect(world.ecr.repositories()).toEqual(['app-by-hand']);
    expect(world.s3.buckets.size).toBe(0);
    for (const deployment of ['one', 'never']) {
      const run = await destroy(deployment, 'destroy');
      expectStatus(run, 0);
      expect(run.stdout).toContain(`there is no bucket ${bucket}`);
    }
  });

  it('of one deployment leaves what another one of the project uses', async () => {
    const all = await readFile(join(world.dataDir, '1.0.yaml'), 'utf8');
    await writeFile(join(world.dataDir, '1.2.yaml'), withCharts(all, ['worker', 'gateway']));
    await deploy('one', '1.2');
    await deploy('two', '1.1');
    expect(world.ecr.repositories()).toContain('app-vault.example.com/team/gateway');
    expectStatus(await destroy('one', 'DESTROY'), 0);
    expect(world.ecr.repositories()).toEqual(['app-sample-charts/worker', 'app-sample/worker']);
    expect(keys()).toEqual(
      ['inventory.json', 'json', 'lock.json', 'proof.json', 'report.html', 'report.json', 'report.md'].map(
        (rest) => `two-platform-replication-metadata.${rest}`,
      ),
    );
    const tags = world.ecr.repository('app-sample/worker')?.resourceTags ?? new Map<string, string>();
    expect([...tags.keys()]).toEqual(['image-replication:two/platform-replication']);
    expectStatus(await destroy('two', 'DESTROY'), 0);
    expect(world.ecr.repositories()).toEqual([]);
    expect(world.s3.buckets.size).toBe(0);
  });

  it('keeps everything while the bucket holds an object that is not ours, and names it', async () => {
    await deploy('one');
    const repositories = world.ecr.repositories();
    world.s3.buckets.get(bucket)?.versions.push({ key: 'old-metadata.json', id: 'x', body: '{"charts": {}}' });
    const run = await destroy('one', 'DESTROY');
    expectStatus(run, 0);
    expect(run.stdout).toContain(`s3://${bucket}/old-metadata.json cannot be read as ours`);
    expect(world.ecr.repositories()).toEqual(repositories);
    expect(keys()).toContain('one-platform-replication-metadata.json');
  });

  it('tells what could not be deleted, with the permission that is missing, and goes on with the rest', async () => {
    await deploy('one');
    const resource = 'arn:aws:ecr:us-east-1:123456789012:repository/app-sample/worker';
    world.ecr.iam.setPolicy([{ effect: 'Deny', actions: ['ecr:DeleteRepository'], resources: [resource] }]);
    const run = await destroy('one', 'DESTROY');
    world.ecr.iam.setPolicy(undefined);
    expectStatus(run, 1);
    expect(run.stdout).toContain(`allow ecr:DeleteRepository on ${resource}`);
    expect(world.ecr.repositories()).toEqual(['app-sample/worker']);
    expect(keys()).toContain('one-platform-replication-metadata.json');
    expectStatus(await destroy('one', 'DESTROY'), 0);
    expect(world.s3.buckets.size).toBe(0);
  });
});

describe('delete-repos', () => {
  let world: StandIns;
  afterEach(() => world.close());
  beforeEach(async () => {
    world = await startStandIns();
    const owned = (project: string) => ({ 'image-replication:dev/platform-replication': project });
    world.ecr.createRepository('app-web', {}, owned('app'));
    world.ecr.createRepository('app-prod-web', {}, owned('app-prod'));
    world.ecr.createRepository('app-prod-untagged');
    world.ecr.createRepository('app2-web', {}, owned('app2'));
    world.ecr.createRepository('app-untagged');
    await world.ecr.putImage('app-web', '1', buildImage({ name: 'web' }));
  });
  const others = ['app-prod-untagged', 'app-prod-web', 'app2-web'];

  it('deletes what is tagged for exactly this project, with the images in it', async () => {
    const run = await runProgram(['delete-repos', 'app', '--yes', '--out', world.out], world.env);
    expectStatus(run, 0);
    expect(run.stdout).toContain('keep    app-untagged (has no owner tag (--include-untagged takes it too))');
    expect(world.ecr.repositories()).toEqual([...others, 'app-untagged'].sort());
  });

  it('takes untagged ones too when told, but not those of a project with a longer name', async () => {
    const run = await runProgram(['delete-repos', 'app', '--yes', '--include-untagged', '--out', world.out], world.env);
    expectStatus(run, 0);
    expect(run.stdout).toContain('keep    app-prod-untagged (has no owner tag, and may belong to project app-prod)');
    expect(world.ecr.repositories()).toEqual(others);
  });

  it('asks; without a terminal to ask at it shows the list and deletes nothing', async () => {
    const before = world.ecr.repositories();
    const run = await spawnProgram(['delete-repos', 'app', '--out', world.out], world.env, { input: 'yes\n' });
    expectStatus(run, 2);
    expect(run.stdout).toContain('delete  app-web');
    expect(run.stdout).toContain('there is no terminal to ask at');
    expect(run.stdout).toContain('pass --yes');
    expect(world.ecr.repositories()).toEqual(before);
  });

  // script(1) of util-linux gives the program a terminal.
  it.skipIf(spawnSync('script', ['-qec', 'true', '/dev/null']).status !== 0).each([
    ['yes', []],
    ['y', ['app-web']],
  ])('asks at a terminal; the answer there is "%s"', async (answer, left) => {
    const command = `'${process.execPath}' '${join(root, 'scripts/image-replication.js')}' delete-repos app --out '${world.out}'`;
    const child = spawn('script', ['-qec', command, '/dev/null'], {
      env: world.env,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let seen = '';
    child.stdout.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      if (!child.stdin.writableEnded && seen.includes('Type "yes":')) child.stdin.end(`${answer}\n`);
    });
    await once(child, 'close');
    expect(seen).toContain('Delete these 1 repositories with all their images?');
    expect(world.ecr.repositories().filter((name) => name === 'app-web')).toEqual(left);
  });
});
