import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ProgramRun, runProgram, type Variables } from '../../test/program.ts';
import { Shard } from '../fleet/shard.ts';
import { buildImage } from '../testing/image-builder.ts';
import { syntheticLayer } from '../testing/image-layers.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';

// How often a layer for two repositories is read says whether there was room for it: the target does not mount.

const layerBytes = 1.5 * 2 ** 20;

describe('--spool-bytes', () => {
  let source: RegistryServer;
  let target: RegistryServer;
  let folder: string;
  let layer: Awaited<ReturnType<typeof syntheticLayer>>;
  let images: readonly string[];
  const file = (name: string): string => join(folder, name);
  const run = (args: readonly string[], more: Variables = {}): Promise<ProgramRun> =>
    runProgram([...args, '--out', file('out')], { PATH: '', HOME: folder, TMPDIR: folder, ...more });
  /** How often it leaves its source. */
  const reads = async (args: readonly string[], more: Variables = {}): Promise<number> => {
    const { status, stdout, stderr } = await run(args, more);
    expect(status, stdout + stderr).toBe(0);
    return source.requests.of('blob-get').filter(({ reference }) => reference === layer.descriptor.digest).length;
  };
  const variable = (value: string): Variables => ({ IMAGE_REPLICATION_SPOOL_BYTES: value });

  beforeAll(async () => {
    [source, folder, layer] = await Promise.all([
      startRegistryServer({ manners: 'plain' }),
      mkdtemp(join(tmpdir(), 'spool-test-')),
      syntheticLayer('shared', layerBytes),
    ]);
    for (const name of ['one', 'two'])
      await source.putImage(
        name,
        '1',
        buildImage({ name, index: false, platforms: ['linux/amd64'], layers: () => [layer] }),
      );
  });
  afterAll(() => Promise.all([source.close(), target.close(), rm(folder, { recursive: true, force: true })]));
  /** Each run has a target of its own that is empty, whatever a run before it has left. */
  beforeEach(async () => {
    await (target as RegistryServer | undefined)?.close();
    target = await startRegistryServer({ manners: 'plain', mounting: false });
    source.requests.reset();
    await writeFile(file('list.txt'), ['one', 'two'].map((name) => `${source.host}/${name}:1`).join('\n'));
    images = ['images', '--list', file('list.txt'), '--target', target.host];
  });

  it('is large enough for a layer by default', async () => {
    expect(await reads(images)).toBe(1);
  });

  it.each([['0'], ['1MB']])('of %s has no room for it: each repository gets a read of its own', async (size) => {
    expect(await reads([...images, '--spool-bytes', size])).toBe(2);
  });

  it('of 2MiB has', async () => {
    expect(await reads([...images, '--spool-bytes', '2MiB'])).toBe(1);
  });

  it('is said by the surroundings, too, as those know the disk', async () => {
    expect(await reads(images, variable('1M'))).toBe(2);
  });

  it('counts more than the surroundings where it is given', async () => {
    expect(await reads([...images, '--spool-bytes', '2MB'], variable('0'))).toBe(1);
  });

  it('is handed on to workers, who may be told otherwise', async () => {
    const shards = ['--shards', file('run'), '--shard-count', '1'];
    await rm(file('run'), { recursive: true, force: true });
    expect((await run([...images, ...shards, '--spool-bytes', '1MB'])).status).toBe(0);
    const shard = Shard.parse(JSON.parse(await readFile(join(file('run'), 'shards/0000.json'), 'utf8')));
    expect(shard.spoolBytes).toBe(1e6);
    const worker = ['worker', '--shards', file('run'), '--index', '0'];
    expect(await reads([...worker, '--spool-bytes', '2MB'])).toBe(1);
  });

  it('that a shard names counts in its worker', async () => {
    const shards = ['--shards', file('small'), '--shard-count', '1'];
    await rm(file('small'), { recursive: true, force: true });
    expect((await run([...images, ...shards, '--spool-bytes', '1MB'])).status).toBe(0);
    expect(await reads(['worker', '--shards', file('small'), '--index', '0'], variable('4GiB'))).toBe(2);
  });

  it('is refused where it is no size, wherever it comes from', async () => {
    const option = await run([...images, '--spool-bytes', 'lots']);
    expect([option.status, option.stderr]).toEqual([2, expect.stringContaining("argument 'lots' is invalid")]);
    const said = await run(images, variable('4XB'));
    expect(said.status).toBe(2);
    expect(said.stderr).toContain('IMAGE_REPLICATION_SPOOL_BYTES is "4XB", which is no size');
  });
});
