import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { smallDisk } from '../program.ts';
import { describeWith } from '../tools.ts';
import { completedUploads } from '../world/requests.ts';
import { type Containers, images, lastWord, said, startContainers } from './containers.ts';

const filled = 'head -c 1M /dev/zero >"$0/filler" 2>/dev/null || true';
/**
 * Where this user may mount nothing: files that may not grow, which fails as a full disk does, by another name (EFBIG).
 * https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html (ulimit, trap)
 */
const noGrowth = ['sh', '-c', 'trap "" XFSZ; ulimit -f 1; exec "$0" "$@"'];

describeWith(['moto_server'], 'a worker whose disk', () => {
  let containers: Containers;
  beforeAll(async () => {
    containers = await startContainers();
  });
  afterAll(() => containers.close());

  beforeEach(() => containers.calm());

  const folder = (name: string): Promise<string> => mkdtemp(join(containers.fleet.folder, `${name}-`));

  it('is full copies all images with more reads, and its successor, where there is one, moves nothing', async () => {
    const { source, destination } = containers.fleet;
    const disk = await folder('full');
    const name = await containers.plan('full');
    source.requests.reset();
    const wrapper = smallDisk(disk, 'size=64k', filled) ?? noGrowth;
    const more = { wrapper, env: { TMPDIR: disk }, args: ['--out', disk] };
    const first = await containers.worker(name, { token: `token-${name}-1`, ...more }).ended;
    expect(first.status, said(first)).toBe(1);
    expect(first.stdout).toMatch(/cannot keep a blob on disk: (?:ENOSPC|EFBIG)/);
    expect(first.stdout).toContain(`cannot write ${disk}/run.json`);
    // The shard's own result is in the run folder, and nobody reads a container's record: nothing is to be repeated.
    expect(lastWord(containers.reports, `token-${name}-1`)?.operation).toBe('SendTaskSuccess');
    await containers.expectDone(name);
    expect((await containers.result(name))?.counts).toEqual({ copied: images.length, unchanged: 0, failed: 0 });
    const written = completedUploads(destination);
    const second = await containers.worker(name, { token: `token-${name}-2` }).ended;
    expect(second.status, said(second)).toBe(0);
    expect(lastWord(containers.reports, `token-${name}-2`)?.operation).toBe('SendTaskSuccess');
    expect(completedUploads(destination)).toEqual(written);
    expect(containers.movedTwice(name)).toEqual([]);
    await containers.expectDone(name);
  });

  it('has no room to begin says where, and leaves the shard to its successor', async ({ skip }) => {
    const disk = await folder('nothing');
    const wrapper = smallDisk(disk, 'nr_inodes=1');
    if (wrapper === undefined) return skip('mounting a small disk is not possible here');
    const name = await containers.plan('nothing');
    const run = await containers.worker(name, { token: `token-${name}`, wrapper, env: { TMPDIR: disk } }).ended;
    expect(run.status, said(run)).toBe(1);
    expect(lastWord(containers.reports, `token-${name}`), said(run)).toMatchObject({
      operation: 'SendTaskFailure',
      error: 'Failed',
      cause: expect.stringContaining(`cannot make a folder for temporary files in ${disk}: ENOSPC`) as string,
    });
    expect(await containers.statuses(name)).toEqual([]);
    expect(await containers.result(name)).toBeUndefined();
  });

  it('is the run folder’s, and full, ends before it has copied anything; with room it copies all', async ({ skip }) => {
    const [planned, disk] = [await folder('planned'), await folder('volume')];
    const name = await containers.plan('volume', '--shards', planned);
    const wrapper = smallDisk(disk, 'size=256k', `cp -R '${planned}/.' "$0" && { ${filled}; }`);
    if (wrapper === undefined) return skip('mounting a small disk is not possible here');
    const shardIn = (place: string): readonly string[] => ['--shard', join(place, 'shards/0000.json')];
    const full = { token: `token-${name}-1`, wrapper, args: shardIn(disk) };
    const first = await containers.worker(name, full).ended;
    expect(first.status, said(first)).toBe(1);
    expect(lastWord(containers.reports, `token-${name}-1`), said(first)).toMatchObject({
      operation: 'SendTaskFailure',
      error: 'Failed',
      cause: expect.stringContaining(`cannot write ${disk}/progress/0000.json: the disk is full`) as string,
    });
    expect(await containers.statuses(name)).toEqual([]);
    const second = await containers.worker(name, { token: `token-${name}-2`, args: shardIn(planned) }).ended;
    expect(second.status, said(second)).toBe(0);
    await containers.expectDone(name);
  });
});
