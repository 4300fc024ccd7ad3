import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ProgramRun, runProgram } from '../../test/program.ts';
import { digestHex } from '../model/digest.ts';
import type { Lock, LockFinding } from '../model/lock.ts';
import { parseLock } from '../publish/lock.ts';
import { buildImage, withCosignTag, withReferrer } from '../testing/image-builder.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';

const web = withReferrer(withCosignTag(buildImage({ name: 'web', attestations: true })), { fallbackTag: true });
const single = buildImage({ name: 'single', platforms: ['linux/arm/v7'], index: false, format: 'docker' });
const tool = buildImage({ name: 'tool' });
const newer = buildImage({ name: 'newer' });

function expectStatus(run: ProgramRun, status: number): void {
  expect(run.status, run.stdout + run.stderr).toBe(status);
}

describe('a lock of images', () => {
  let source: RegistryServer;
  let target: RegistryServer;
  let folder: string;
  const env = { PATH: '', HOME: '/nonexistent' };
  const file = (name: string): string => join(folder, name);
  const run = (...args: readonly string[]): Promise<ProgramRun> =>
    runProgram([...args, '--out', file('out')], { ...env, TMPDIR: folder });

  beforeEach(async () => {
    [source, target, folder] = await Promise.all([
      startRegistryServer({ manners: 'plain' }),
      startRegistryServer({ manners: 'plain' }),
      mkdtemp(join(tmpdir(), 'lock-test-')),
    ]);
    await source.putImage('team/web', '1', web);
    await source.putImage('team/single', '1', single);
    await source.putImage('team/tool', '1', tool);
  });
  afterEach(async () => {
    await Promise.all([source.close(), target.close(), rm(folder, { recursive: true, force: true })]);
  });

  const sources = (): readonly string[] => ['web', 'single', 'tool'].map((name) => `${source.host}/team/${name}:1`);

  /** Copies the list and leaves its lock. */
  async function replicate(lines: readonly string[] = sources(), ...more: readonly string[]): Promise<string> {
    await writeFile(file('list.txt'), lines.join('\n'));
    const to = more.includes('--target') ? [] : ['--target', `${target.host}/mirror`];
    expectStatus(await run('images', '--list', file('list.txt'), '--write-lock', ...to, ...more), 0);
    return readFile(file('out/replication.lock.json'), 'utf8');
  }

  /** The lock as it was left, kept apart from the next run. */
  async function locked(...more: readonly string[]): Promise<{ readonly path: string; readonly lock: Lock }> {
    const text = await replicate(sources(), ...more);
    await writeFile(file('kept.lock.json'), text);
    return { path: file('kept.lock.json'), lock: parseLock(text, 'kept') };
  }

  async function verify(path: string, ...more: readonly string[]): Promise<readonly LockFinding[]> {
    const done = await run('verify', '--lock', path, ...more);
    const { findings } = JSON.parse(await readFile(file('out/verification.json'), 'utf8')) as {
      readonly findings: readonly LockFinding[];
    };
    expectStatus(done, findings.length === 0 ? 0 : 1);
    for (const { state, at, artifact, reference } of findings) {
      const name = (at === 'target' ? reference : artifact).replace(/([0-9a-f]{12})[0-9a-f]{52}/, '$1');
      expect(done.stdout).toMatch(new RegExp(`^${state} +${at} +${name.slice(0, 79)}`, 'm'));
    }
    return findings;
  }

  it('names digests, platforms, sizes and referrers, and nothing of this machine or time', async () => {
    const text = await replicate();
    const { images, target: root } = parseLock(text, 'lock');
    expect(root).toBe(`${target.host}/mirror/`);
    expect(images.map((image) => image.source)).toEqual([...sources()].sort());
    const found = images.find((image) => image.source.includes('/web'));
    expect(found).toMatchObject({
      digest: web.digest,
      platforms: 'all',
      contains: ['linux/amd64', 'linux/arm64'],
      mediaType: 'application/vnd.oci.image.index.v1+json',
      targets: [`${target.host}/mirror/team/web:1`],
    });
    expect(found?.referrers.map(({ reference }) => reference)).toContain(`sha256-${digestHex(web.digest)}.sig`);
    expect(found?.referrers.map(({ artifactType }) => artifactType)).toContain('application/vnd.example.sbom.v1+json');
    const sizes = single.manifests[0]?.descriptor.size ?? 0;
    const blobs = [...single.blobs.values()].map((blob) => ('length' in blob ? blob.length : blob.size));
    expect(images.find((image) => image.source.includes('/single'))).toMatchObject({
      contains: ['linux/arm/v7'],
      size: blobs.reduce((sum, each) => sum + each, sizes),
      referrers: [],
    });
    expect(text).not.toContain(folder);
    expect(text.endsWith('}\n')).toBe(true);
  });

  it('has the same bytes after a second run, for a shuffled list, and when it is replicated itself', async () => {
    const first = await replicate();
    expect(await replicate()).toBe(first);
    expect(await replicate([...sources()].reverse())).toBe(first);
    await writeFile(file('first.lock.json'), first);
    expectStatus(await run('images', '--lock', file('first.lock.json'), '--write-lock'), 0);
    expect(await readFile(file('out/replication.lock.json'), 'utf8')).toBe(first);
  });

  it('does not take what only the target has for a referrer of the source', async () => {
    const before = await replicate();
    await target.putImage(
      'mirror/team/web',
      undefined,
      withReferrer(web, { artifactType: 'application/vnd.own.sign' }),
    );
    const signed = withCosignTag(tool);
    await target.putImage('mirror/team/tool', '1', signed);
    expect(await replicate()).toBe(before);
  });

  it('is found kept, by reading only', async () => {
    const { path } = await locked();
    for (const server of [source, target]) server.reset();
    expect(await verify(path)).toEqual([]);
    const methods = [source, target].flatMap((server) => server.requests.entries.map((entry) => entry.method));
    expect([...new Set(methods)].sort()).toEqual(['GET', 'HEAD']);
    expect(source.count('blob-get') + target.count('blob-get')).toBe(0);
  });

  it('tells tags that moved and images that are gone at the source', async () => {
    const { path } = await locked();
    await source.putImage('team/tool', '1', newer);
    source.deleteTag('team/web', '1');
    const findings = await verify(path);
    expect(findings).toMatchObject([
      {
        artifact: `${source.host}/team/tool:1`,
        at: 'source',
        state: 'moved',
        locked: tool.digest,
        found: newer.digest,
      },
      { artifact: `${source.host}/team/web:1`, at: 'source', state: 'gone', locked: web.digest },
    ]);
    expect(findings[1]?.why).toContain('can still be had');
    expect(await verify(path, '--no-sources')).toEqual([]);
  });

  it('tells the same as JSON', async () => {
    const { path } = await locked();
    target.deleteTag('mirror/team/tool', '1');
    const done = await run('verify', '--lock', path, '--json');
    expectStatus(done, 1);
    const events = done.stdout
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    expect(events).toContainEqual(
      expect.objectContaining({
        type: 'checked',
        ...{ lock: path, images: 3, charts: 0 },
        findings: [expect.objectContaining({ state: 'missing', at: 'target', locked: tool.digest })],
      }),
    );
  });

  it('tells what the target lacks, holds otherwise, or holds in part', async () => {
    const { path } = await locked();
    target.deleteTag('mirror/team/single', '1');
    await target.putImage('mirror/team/tool', '1', newer);
    target.deleteTag('mirror/team/web', `sha256-${digestHex(web.digest)}.sig`);
    target.deleteManifest('mirror/team/web', web.manifests[0]?.descriptor.digest ?? '');
    const findings = await verify(path);
    expect(findings.map(({ artifact, at, state }) => [artifact, at, state])).toEqual([
      [`${source.host}/team/single:1`, 'target', 'missing'],
      [`${source.host}/team/tool:1`, 'target', 'changed'],
      [`${source.host}/team/web:1`, 'target', 'damaged'],
      [`${source.host}/team/web:1 (sha256-${digestHex(web.digest)}.sig)`, 'target', 'missing'],
    ]);
  });

  it('tells blobs that are missing, and mends them when it is replicated', async () => {
    const { path } = await locked();
    const [blob] = [...tool.blobs.keys()];
    target.deleteBlob('mirror/team/tool', blob ?? '');
    const [finding, ...others] = await verify(path);
    expect(others).toEqual([]);
    expect(finding).toMatchObject({ state: 'damaged', found: tool.digest });
    expect(finding?.why).toContain(blob);
    expectStatus(await run('images', '--lock', path, '--verify'), 0);
    expect(await verify(path)).toEqual([]);
  });

  it('does not say that all is well when it could not ask', async () => {
    const { path } = await locked();
    target.fail({
      class: 'manifest-get',
      repository: 'mirror/team/tool',
      fault: { kind: 'status', status: 403 },
    });
    const findings = await verify(path, '--no-sources');
    expect(findings).toMatchObject([{ artifact: `${source.host}/team/tool:1`, state: 'unknown' }]);
  });

  it('is replicated by digest though tags have moved, with the signatures that it names, and no tag is asked', async () => {
    const { path } = await locked();
    const before = [...target.tags('mirror/team/web')];
    for (const name of ['web', 'single', 'tool']) await source.putImage(`team/${name}`, '1', newer);
    await source.putImage('team/tool', undefined, withCosignTag(tool));
    const other = await startRegistryServer({ manners: 'plain' });
    try {
      source.reset();
      expectStatus(await run('images', '--lock', path, '--target', `${other.host}/elsewhere`, '--verify'), 0);
      const asked = source.requests.of((entry) => entry.class.startsWith('manifest') || entry.class === 'tags');
      expect(asked.filter(({ reference }) => reference?.startsWith('sha256:') !== true)).toEqual([]);
      expect(other.manifest('elsewhere/team/tool', '1')?.descriptor.digest).toBe(tool.digest);
      expect(other.manifest('elsewhere/team/single', '1')?.descriptor.digest).toBe(single.digest);
      expect(other.tags('elsewhere/team/web')).toEqual(before);
      expect(other.tags('elsewhere/team/tool')).toEqual(['1']);
      expect(await verify(path, '--target', `${other.host}/elsewhere`, '--no-sources')).toEqual([]);
    } finally {
      await other.close();
    }
  });

  it('keeps both digests where platforms were cut out', async () => {
    const { path, lock } = await locked('--platforms', 'linux/arm64,linux/arm/v7');
    const found = lock.images.find((image) => image.source.includes('/tool'));
    expect(found).toMatchObject({ digest: tool.digest, contains: ['linux/arm64'] });
    expect(found?.platforms).toEqual(['linux/arm/v7', 'linux/arm64']);
    expect(found?.cut).toBe(target.manifest('mirror/team/tool', '1')?.descriptor.digest);
    await source.putImage('team/tool', '1', newer);
    target.deleteTag('mirror/team/tool', '1');
    expectStatus(await run('images', '--lock', path), 0);
    expect(target.manifest('mirror/team/tool', '1')?.descriptor.digest).toBe(found?.cut);
    await source.putImage('team/tool', '1', tool);
    expect(await verify(path)).toEqual([]);
  });

  it('of a bundle on disk is kept there, and is for any folder', async () => {
    const { path, lock } = await locked('--target', `oci-layout:${file('bundle')}`);
    expect(JSON.stringify(lock)).not.toContain(folder);
    expect(await verify(path, '--target', `oci-layout:${file('bundle')}`)).toEqual([]);
    expectStatus(await run('verify', '--lock', path), 2);
    const absent = await run('verify', '--lock', path, '--target', `oci-layout:${file('absent')}`);
    expectStatus(absent, 1);
    expect(absent.stdout).toContain('there is no OCI image layout');
    expectStatus(await run('images', '--lock', path, '--target', `${target.host}/loaded`), 0);
    expect(await verify(path, '--target', `${target.host}/loaded`)).toEqual([]);
  });

  it.each([
    ['both', ['--list', 'x', '--lock', 'y'], 'a lock says which images'],
    ['a file that is not there', ['--lock', 'nowhere.json'], 'cannot read the lock nowhere.json'],
  ])('%s is wrong usage', async (_, args, text) => {
    const done = await run('images', ...args);
    expectStatus(done, 2);
    expect(done.stdout).toContain(text);
  });

  it('of another job is refused', async () => {
    const { path, lock } = await locked();
    await writeFile(path, JSON.stringify({ ...lock, job: 'eks' }));
    const done = await run('images', '--lock', path);
    expectStatus(done, 2);
    expect(done.stdout).toContain('is the lock of a run of "eks"');
  });
});
