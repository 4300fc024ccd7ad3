import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { type ProgramRun, runProgram, startProgram, type Variables } from '../../test/program.ts';
import { signalOfTry } from '../../test/try-signal.ts';
import { Plan } from '../model/plan.ts';
import { parseLock } from '../publish/lock.ts';
import { ImageStatus } from '../status/status.ts';
import { buildImage } from '../testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';

const account = '123456789012';
const region = 'eu-central-1';
const login = { username: 'robot', password: 'mirror-Pa55/word' };

function expectStatus(run: ProgramRun, status: number): void {
  expect(run.status, run.stdout + run.stderr).toBe(status);
}

describe('mirror', () => {
  const trySignal = signalOfTry();
  let hub: RegistryServer;
  let vault: RegistryServer;
  let ecr: RegistryServer;
  let folder: string;
  let config: string;
  let env: Variables;
  beforeEach(async () => {
    [hub, vault, ecr] = await Promise.all([
      startRegistryServer({ manners: 'plain' }),
      startRegistryServer({ manners: 'plain', auth: { kind: 'bearer', ...login } }),
      startRegistryServer({ manners: 'ecr', accountId: account, region }),
    ]);
    for (const tag of ['1.7.0', '1.7.1', '1.8.0', '2.0.0-rc.1'])
      await hub.putImage('istio/proxyv2', tag, buildImage({ name: `proxyv2-${tag}` }));
    await hub.putImage('istio/mixer', '1.7.0', buildImage({ name: 'mixer' }));
    await hub.putImage('tools', 'latest', buildImage({ name: 'tools' }));
    await vault.putImage('team/app', '3', buildImage({ name: 'app' }));
  });
  afterEach(() => Promise.all([hub, vault, ecr].map((server) => server.close())));
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'image-replication-test-'));
    config = join(folder, 'config.ini');
    for (const name of ['home/.docker', 'tmp']) await mkdir(join(folder, name), { recursive: true });
    const auth = Buffer.from(`${login.username}:${login.password}`).toString('base64');
    await writeFile(join(folder, 'home/.docker/config.json'), JSON.stringify({ auths: { [vault.host]: { auth } } }));
    env = {
      PATH: process.env['PATH'],
      HOME: join(folder, 'home'),
      TMPDIR: join(folder, 'tmp'),
      AWS_DEFAULT_REGION: region,
      AWS_ACCOUNT: account,
      AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
      AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_ENDPOINT_URL_ECR: ecr.url,
      CLOUD: 'AWS',
      DB_PATH: join(folder, 'db/repository.db'),
    };
    return () => rm(folder, { recursive: true, force: true });
  });

  /** The document's file, with this machine's registry instead of Docker Hub. */
  const documented = (more = ''): string => `[DEFAULT]
refresh = 1w

[aws/proxyv2]
image = proxyv2
tag = 1.7.0
source-repository = ${hub.host}/istio
project = istio

[aws/mixer]
image = mixer
tag = 1.7.0
source-repository = ${hub.host}/istio
project = istio
${more}`;

  /** None, too, where there is no such repository yet. */
  const tagsOf = (name: string): readonly string[] => (ecr.repository(name) === undefined ? [] : ecr.tags(name));
  const mirror = (args: readonly string[], changes: Variables = {}): Promise<ProgramRun> =>
    runProgram(['mirror', '--config', config, '--out', join(folder, 'out'), ...args], { ...env, ...changes });

  it("does what the document's file says: project/image in the account's ECR, once until the week is over", async () => {
    await writeFile(config, documented());
    const first = await mirror(['--once']);
    expectStatus(first, 0);
    expect(first.stdout).toContain('2 of 2 sections are due');
    expect([ecr.tags('istio/proxyv2'), ecr.tags('istio/mixer')]).toEqual([['1.7.0'], ['1.7.0']]);
    expect(await ecr.damage()).toEqual([]);
    for (const server of [hub, ecr]) server.requests.reset();
    const second = await mirror(['--once']);
    expectStatus(second, 0);
    expect(second.stdout).toContain('none of 2 sections is due before 20');
    expect([hub.requests.entries.length, ecr.requests.entries.length]).toEqual([0, 0]);

    const table = await mirror(['--status']);
    expectStatus(table, 0);
    expect(table.stdout).toMatch(/^TARGET +SOURCE +DIGEST +MIRRORED +CHECKED +NEXT +STATE\n/);
    expect(table.stdout).toContain(`${ecr.hostName}/istio/mixer:1.7.0`);
    const lines = (await mirror(['--status', '--json'])).stdout.trim().split('\n');
    expect(lines.map((line): unknown => JSON.parse(line))).toMatchObject([
      { section: 'aws/mixer', source: `${hub.host}/istio/mixer:1.7.0`, failures: 0 },
      { digest: hub.manifest('istio/proxyv2', '1.7.0')?.descriptor.digest },
    ]);
    expect([hub.requests.entries.length, ecr.requests.entries.length]).toEqual([0, 0]);
  });

  it('follows what is due: a moved tag, a new section, what failed before', async () => {
    await writeFile(config, documented(`[none]\nimage = none\nregistry = ${hub.host}\n`).replace('1w', '1s'));
    const first = await mirror(['--once']);
    expectStatus(first, 1);
    expect(first.stdout).toContain('none:latest');
    expect(ecr.tags('istio/mixer')).toContain('1.7.0');
    await hub.putImage('none', 'latest', buildImage({ name: 'now-there' }));
    await hub.putImage('istio/mixer', '1.7.0', buildImage({ name: 'mixer-again' }));
    await writeFile(config, documented(`[none]\nimage = none\nregistry = ${hub.host}\n`).replace('1w', '0'));
    // Their interval was one second, and is never now: only what failed is due.
    const second = await mirror(['--once']);
    expectStatus(second, 0);
    expect(second.stdout).toContain('1 of 3 sections are due');
    expect(ecr.tags('none')).toEqual(['latest']);
    await sleep(1_200);
    await writeFile(config, documented().replace('1w', '1s'));
    expectStatus(await mirror(['--once']), 0);
    expect(ecr.manifest('istio/mixer', '1.7.0')?.descriptor.digest).toBe(
      hub.manifest('istio/mixer', '1.7.0')?.descriptor.digest,
    );
    expect((await mirror(['--status'])).stdout).not.toContain('none:latest');
  });

  it('has its database shown by `status`, in the words of the other jobs', async () => {
    const lost = `[lost]\nimage = lost\nregistry = ${hub.host}\nsemver = ^1\n`;
    await writeFile(config, documented(`[gone]\nimage = gone\nregistry = ${hub.host}\n${lost}`).replace('1w', '1s'));
    expectStatus(await mirror(['--once']), 1);
    await sleep(1_200);
    expectStatus(await mirror(['--once']), 1);
    const store = ['--store', `sqlite:${env['DB_PATH'] ?? ''}`, '--out', join(folder, 'out')];
    const shown = await runProgram(['status', ...store], env);
    expectStatus(shown, 0);
    expect(shown.stdout).toMatch(/unchanged +0 {2}\S+Z {2}\S+\/istio\/mixer:1\.7\.0/);
    expect(shown.stdout).toContain('4 images: 2 unchanged, 2 failed');
    expectStatus(await runProgram(['status', ...store, '--state', 'failed'], env), 0);
    const file = await readFile(join(folder, 'out/status.json'), 'utf8');
    expect(z.array(ImageStatus).parse(JSON.parse(file))).toMatchObject([
      { target: `${ecr.hostName}/gone:latest`, state: 'failed', tries: 2, digest: null },
      { target: '[lost]', state: 'failed', tries: 2 },
    ]);
  });

  it('takes newest versions, platforms, a source that wants a login, and any registry as target', async () => {
    const target = await startRegistryServer({ manners: 'plain', auth: { kind: 'basic', ...login } });
    try {
      const auth = Buffer.from(`${login.username}:${login.password}`).toString('base64');
      const auths = { [vault.host]: { auth }, [target.host]: { auth } };
      await writeFile(join(folder, 'home/.docker/config.json'), JSON.stringify({ auths }));
      await writeFile(
        config.replace('.ini', '.yaml'),
        `mesh/proxy: {image: proxyv2, source-repository: istio, registry: '${hub.host}', semver: ^1.7, keep: 2}
team/app: {image: app, source-repository: ${vault.host}/team, tag: 3, platforms: [linux/arm64]}
tools: {image: tools, registry: '${hub.host}'}
`,
      );
      config = config.replace('.ini', '.yaml');
      const noRegion = { CLOUD: 'GKE', AWS_DEFAULT_REGION: undefined, AWS_ACCOUNT: undefined };
      const run = await mirror(['--once', '--target', `${target.host}/cache`], noRegion);
      expectStatus(run, 0);
      expect([...target.tags('cache/mesh/proxy')].sort()).toEqual(['1.7.1', '1.8.0']);
      expect([target.tags('cache/team/app'), target.tags('cache/tools')]).toEqual([['3'], ['latest']]);
      expect(await target.damage()).toEqual([]);
      expect(target.manifest('cache/team/app', '3')?.descriptor.digest).not.toBe(
        vault.manifest('team/app', '3')?.descriptor.digest,
      );
      expect(run.stdout).not.toContain(login.password);
      const database = await readFile(env['DB_PATH'] ?? '');
      expect(database.includes(login.password)).toBe(false);
      // Elsewhere everything is to be done anew.
      const layout = join(folder, 'layout');
      expect((await mirror(['--once', '--target', `oci-layout:${layout}`])).stdout).toContain(
        '3 of 3 sections are due',
      );
      expect(await readFile(join(layout, 'index.json'), 'utf8')).toContain('mesh/proxy:1.8.0');
    } finally {
      await target.close();
    }
  });

  it('leaves a lock of all that the file asks for, and brings back exactly that', async () => {
    const more = `[range]\nimage = proxyv2\nregistry = ${hub.host}\nsource-repository = istio\nsemver = ^1.7\nkeep = 2\nplatforms = linux/arm64\n`;
    await writeFile(config, documented(more).replace('1w', '1s'));
    const kept = join(folder, 'kept.lock.json');
    const lockOf = (): Promise<string> => readFile(join(folder, 'out/replication.lock.json'), 'utf8');
    expectStatus(await mirror(['--once', '--write-lock']), 0);
    const text = await lockOf();
    await writeFile(kept, text);
    expect(text).not.toContain(folder);
    const { images, target } = parseLock(text, kept);
    expect(target).toBe(`${ecr.hostName}/`);
    expect(images.flatMap(({ targets }) => targets)).toEqual(
      ['istio/mixer:1.7.0', 'istio/proxyv2:1.7.0', 'range:1.7.1', 'range:1.8.0'].map((name) => `${ecr.hostName}/${name}`), // prettier-ignore
    );
    expect(images[3]).toMatchObject({ platforms: ['linux/arm64'], contains: ['linux/arm64'], digest: hub.manifest('istio/proxyv2', '1.8.0')?.descriptor.digest }); // prettier-ignore

    const digest = (): unknown => ecr.manifest('istio/mixer', '1.7.0')?.descriptor.digest;
    const [before, cut] = [digest(), ecr.manifest('range', '1.8.0')?.descriptor.digest];
    await hub.putImage('istio/mixer', '1.7.0', buildImage({ name: 'mixer-locked-out' }));
    await hub.putImage('istio/proxyv2', '1.9.0', buildImage({ name: 'proxyv2-1.9.0' }));
    await sleep(1_200);
    expectStatus(await mirror(['--once', '--write-lock']), 0);
    expect(digest()).not.toBe(before);
    expect(parseLock(await lockOf(), kept).images.map(({ source }) => source.split(':').at(-1))).toEqual(['1.7.0', '1.7.0', '1.8.0', '1.9.0']); // prettier-ignore
    const state = await readFile(env['DB_PATH'] ?? '');
    const planned = await mirror(['--lock', kept, '--plan', '--config', config]);
    expectStatus(planned, 2);
    expect(planned.stdout).toContain('leave out --config, or --lock');
    const locked = (...args: readonly string[]): Promise<ProgramRun> =>
      runProgram(['mirror', '--lock', kept, '--out', join(folder, 'out'), ...args], env);
    hub.requests.reset();
    expectStatus(await locked(), 0);
    expect(digest()).toBe(before);
    // No tag is asked: the lock has the digests.
    expect(hub.requests.of(({ path }) => /\/manifests\/\d/.test(path))).toEqual([]);
    expect(await readFile(env['DB_PATH'] ?? '')).toEqual(state);

    const layout = join(folder, 'bundle');
    expectStatus(await locked('--target', `oci-layout:${layout}`), 0);
    const index = await readFile(join(layout, 'index.json'), 'utf8');
    expect(index).toContain(String(before));
    expect(index).toContain(String(cut));
    await hub.putImage('istio/mixer', '1.7.0', buildImage({ name: 'mixer' }));
    const served = await mirror(['--write-lock']);
    expectStatus(served, 2);
    expect(served.stderr).toContain('--write-lock goes with --once');
    const spread = await locked('--shards', join(folder, 'shards'));
    expectStatus(spread, 2);
    expect(spread.stdout).toContain('leave out --shards, or --lock');
  });

  it('leaves the same lock when nothing was due, and of a layout', async () => {
    await writeFile(config, documented());
    const layout = `oci-layout:${join(folder, 'bundle')}`;
    const lockOf = (): Promise<string> => readFile(join(folder, 'out/replication.lock.json'), 'utf8');
    expectStatus(await mirror(['--once', '--target', layout, '--write-lock']), 0);
    const first = await lockOf();
    expect(first).not.toContain(folder);
    await rm(join(folder, 'out/replication.lock.json'));
    const again = await mirror(['--once', '--target', layout, '--write-lock']);
    expectStatus(again, 0);
    expect(again.stdout).toContain('none of 2 sections is due');
    expect(await lockOf()).toBe(first);
  });

  it('plans without copying', async () => {
    await writeFile(
      config,
      documented('[p]\nimage=proxyv2\nproject=p\ntag=2.0.0-rc.1\nsource-repository=' + `${hub.host}/istio`),
    );
    const run = await mirror(['--plan']);
    expectStatus(run, 0);
    expect(run.stdout).toContain(`${hub.host}/istio/mixer:1.7.0 -> ${ecr.hostName}/istio/mixer:1.7.0, due`);
    const plan = Plan.parse(JSON.parse(await readFile(join(folder, 'out/plan.json'), 'utf8')));
    expect(plan.images.map(({ targets }) => targets)).toEqual([
      [`${ecr.hostName}/istio/mixer:1.7.0`],
      [`${ecr.hostName}/istio/proxyv2:1.7.0`],
      [`${ecr.hostName}/p/proxyv2:2.0.0-rc.1`],
    ]);
    expect(ecr.count('manifest-put') + ecr.count('upload-start')).toBe(0);
  });

  it('tells what is wrong with file, environment and target before it asks anybody', async () => {
    await writeFile(config, '[DEFAULT]\nrefresh = 1y\n[ab]\nimagee = x\n');
    const bad = await mirror(['--once']);
    expectStatus(bad, 2);
    expect(bad.stdout).toContain(`${config}:2: "refresh" of [DEFAULT] "1y" is no interval`);
    expect(bad.stdout).toContain(`${config}:4: unknown key "imagee" in [ab]`);
    const served = await mirror(['--port', '0']);
    expectStatus(served, 2);
    expect(served.stderr).toContain('unknown key "imagee"');
    await writeFile(config, documented());
    const cases: readonly (readonly [Variables, string])[] = [
      [{ CLOUD: 'IBM' }, 'CLOUD is "IBM"'],
      [{ CLOUD: 'AZURE' }, 'pass --target NAME.azurecr.io'],
      [{ AWS_DEFAULT_REGION: undefined }, 'the AWS region is not known'],
      [{ AWS_ACCOUNT: 'me' }, 'AWS_ACCOUNT is "me"'],
    ];
    for (const [changes, text] of cases) {
      const run = await mirror(['--once'], changes);
      expectStatus(run, 2);
      expect(run.stdout).toContain(text);
    }
    expectStatus(await mirror(['--once', '--port', 'x']), 2);
    expect(hub.requests.entries.length + ecr.requests.entries.length).toBe(0);
  });

  it("moves the original's database aside", async () => {
    await writeFile(config, documented());
    await mkdir(join(folder, 'db'));
    await writeFile(join(folder, 'db/repository.db'), 'istio/proxyv2:1.7.0\n');
    const run = await mirror(['--once']);
    expectStatus(run, 0);
    expect(run.stdout).toContain('repository.db.before now');
    expect((await mirror(['--status'])).stdout).toContain('istio/proxyv2:1.7.0');
  });

  it('serves: mirrors on its own, answers probes, takes a changed file, ends on SIGTERM', async () => {
    const signal = trySignal();
    await writeFile(config, documented().replace('1w', '1s'));
    const args = ['mirror', '--config', config, '--out', join(folder, 'out'), '--port', '0', '--json'];
    const program = startProgram(args, env);
    let told = '';
    program.process.stdout?.on('data', (text: string) => (told += text));
    const port = (): string | undefined => /are answered on port (\d+)/.exec(told)?.[1];
    try {
      await until(() => port() !== undefined, signal);
      await until(() => tagsOf('istio/mixer').includes('1.7.0'), signal);
      await hub.putImage('istio/mixer', '1.7.0', buildImage({ name: 'mixer-moved' }));
      const moved = hub.manifest('istio/mixer', '1.7.0')?.descriptor.digest;
      await until(() => ecr.manifest('istio/mixer', '1.7.0')?.descriptor.digest === moved, signal);
      const health = await fetch(`http://127.0.0.1:${port() ?? 'none'}/healthz`);
      expect(health.status).toBe(200);
      const metrics = async () => (await fetch(`http://127.0.0.1:${port() ?? 'none'}/metrics`)).text();
      await until(
        async () => /image_replication_mirror_passes_total\{result="ok"\} [1-9]/.test(await metrics()),
        signal,
      );
      await writeFile(
        `${config}.new`,
        documented(`[tools]\nimage = tools\nregistry = ${hub.host}\n`).replace('1w', '1s'),
      );
      await rename(`${config}.new`, config);
      await until(() => ecr.repositories().includes('tools'), signal);
    } finally {
      program.process.kill('SIGTERM');
    }
    const run = await program.ended;
    expectStatus(run, 0);
    const messages = run.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { message?: string });
    expect(messages.at(-1)?.message).toBe('stopped in good order');
    expect(messages.map(({ message }) => message)).toContain(`${config}: 3 sections`);
  });

  it('is interrupted in the middle of a pass, held back by the registry, and goes on where it was', async () => {
    const signal = trySignal();
    const names = ['one', 'two', 'three', 'four', 'five'];
    for (const name of names) await hub.putImage(`many/${name}`, '1', buildImage({ name: `many-${name}` }));
    const section = (name: string): string => `[${name}]\nimage = ${name}\ntag = 1\nproject = many\n`;
    const head = `[DEFAULT]\nrefresh = 1w\nsource-repository = ${hub.host}/many\n`;
    await writeFile(config, head + names.map(section).join(''));
    hub.fail({
      class: 'manifest-head',
      times: 2,
      fault: { kind: 'status', status: 429, headers: { 'retry-after': '1' } },
    });
    hub.fail({ class: 'blob-get', times: 'always', fault: { kind: 'stall', milliseconds: 300 } });
    const args = ['mirror', '--config', config, '--out', join(folder, 'out'), '--port', '0', '--concurrency', '1'];
    const program = startProgram(args, env);
    try {
      await until(() => ecr.count('upload-put') > 0, signal);
    } finally {
      program.process.kill('SIGTERM');
    }
    const run = await program.ended;
    expectStatus(run, 0);
    expect(run.stdout).toContain('stopped in good order');
    const there = (): readonly string[] => names.filter((name) => tagsOf(`many/${name}`).includes('1'));
    expect(there().length).toBeLessThan(names.length);
    const status = await mirror(['--status']);
    expect(status.stdout).not.toContain('failed');

    const uploads = (): readonly string[] =>
      ecr.requests
        .of(({ class: kind, status: answered }) => kind === 'upload-put' && answered === 201)
        .map(
          ({ repository, path }) =>
            `${repository ?? ''} ${/digest=(?:sha256%3A|sha256:)(\w+)/.exec(path)?.[1] ?? path}`,
        );
    const sent = uploads();
    expect(sent[0]).toMatch(/^many\/\w+ [0-9a-f]{64}$/);
    hub.reset();
    ecr.requests.reset();
    expectStatus(await mirror(['--once']), 0);
    expect(there()).toEqual(names);
    expect(uploads().filter((upload) => sent.includes(upload))).toEqual([]);
    expect(await ecr.damage()).toEqual([]);
  });
});

/** @param signal of the try: one that has timed out must not go on in the world of the next */
async function until(holds: () => boolean | Promise<boolean>, signal: AbortSignal): Promise<void> {
  while (!(await holds())) await sleep(50, undefined, { signal });
}
