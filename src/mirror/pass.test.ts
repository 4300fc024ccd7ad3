import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ReplicationError } from '../model/errors.ts';
import { type ImageResult, mirrorPass, type PassPorts, resolveWanted, sourceText } from './pass.ts';
import { section } from './test-support.ts';
import { openTracking, setAsideTextDatabase, type Tracking } from './tracking.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'image-replication-test-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('resolveWanted', () => {
  it('asks for tags only where a range or pattern needs them', async () => {
    const asked: string[] = [];
    const sections = [
      section('a', { tags: { kind: 'listed', tags: ['1', '2'] } }),
      section('b', { tags: { kind: 'semver', range: '^1', keep: 2 } }),
    ];
    const { images, unresolved } = await resolveWanted(sections, ({ repository }) => {
      asked.push(repository);
      return Promise.resolve(['1.0.0', '1.1.0', '2.0.0', '1.2.0']);
    });
    expect(images.map(sourceText)).toEqual(['quay.io/a:1', 'quay.io/a:2', 'quay.io/b:1.2.0', 'quay.io/b:1.1.0']);
    expect([asked, unresolved]).toEqual([['b'], []]);
  });

  it('keeps a section that cannot be found out, or clashes, from the others', async () => {
    const range = { kind: 'semver', range: '^1', keep: 1 } as const;
    const sections = [
      section('down', { tags: range }),
      section('none', { tags: { kind: 'pattern', pattern: 'v*', keep: 1 } }),
      section('one', { tags: range, target: 'same' }),
      section('two', { target: 'same', tags: { kind: 'listed', tags: ['1.0.0'] } }),
      section('good'),
    ];
    const { images, unresolved } = await resolveWanted(sections, ({ repository }) =>
      repository === 'down'
        ? Promise.reject(new ReplicationError('unavailable', 'quay.io is down'))
        : Promise.resolve(['1.0.0']),
    );
    expect(images.map(sourceText)).toEqual(['quay.io/good:1']);
    expect(unresolved.map(({ section: name, error }) => `${name}: ${error.message}`)).toEqual([
      'down: quay.io is down',
      'none: no tag of quay.io/none fits the pattern v* of [none]',
      'two: same:1.0.0 is the name of quay.io/two:1.0.0 and of quay.io/one:1.0.0 ([one])',
      'one: same:1.0.0 is the name of quay.io/one:1.0.0 and of quay.io/two:1.0.0 ([two])',
    ]);
  });
});

describe('mirrorPass', () => {
  let tracking: Tracking;
  let now = 1_700_000_000_000;
  beforeEach(async () => {
    tracking = await openTracking(join(folder, 'repository.db'));
  });
  afterEach(() => tracking.close());

  const ports = (...results: readonly ImageResult[]): PassPorts => ({
    tracking,
    target: 'ecr',
    root: 'target.example/',
    listTags: () => Promise.resolve([]),
    copy: () => Promise.resolve(results),
    now: () => now,
    random: () => 0,
  });

  it('remembers digests and times over restarts, and errors beside them', async () => {
    const sections = [section('a'), section('b')];
    await mirrorPass(sections, ports({ kind: 'copied', digest: 'sha256:1' }, { kind: 'failed', error: 'refused' }));
    const first = now;
    tracking.close();
    tracking = await openTracking(join(folder, 'repository.db'));
    expect(tracking.images()).toEqual([
      {
        target: 'target.example/mirror/a:1',
        section: 'a',
        source: 'quay.io/a:1',
        digest: 'sha256:1',
        mirrored: first,
        checked: first,
      },
      { target: 'target.example/mirror/b:1', section: 'b', source: 'quay.io/b:1', checked: first, error: 'refused' },
    ]);
    expect(tracking.sections().get('a')).toMatchObject({ failures: 0, next: first + 3_600_000 });
    expect(tracking.sections().get('b')).toMatchObject({ failures: 1, error: 'refused', next: first + 30_000 });
    now += 1000;
    await mirrorPass(
      sections,
      ports({ kind: 'unchanged', digest: 'sha256:1' }, { kind: 'copied', digest: 'sha256:2' }),
    );
    expect(tracking.images()).toMatchObject([
      { mirrored: first, checked: now, error: undefined },
      { digest: 'sha256:2', mirrored: now, error: undefined },
    ]);
    await mirrorPass([section('a')], ports({ kind: 'failed', error: 'gone' }));
    expect(tracking.images()[0]).toMatchObject({ digest: 'sha256:1', mirrored: first, error: 'gone' });
  });

  it('leaves due what a stop kept from being found out', async () => {
    const range = section('a', { tags: { kind: 'semver', range: '^1', keep: 1 } });
    const stopped = new ReplicationError('cancelled', 'stopped by SIGTERM');
    const result = await mirrorPass([range], { ...ports(), listTags: () => Promise.reject(stopped) });
    expect([result.sections, result.unresolved.length, tracking.sections().size]).toEqual([[], 1, 0]);
  });

  it('leaves due what was not begun, and forgets what the file has no more', async () => {
    const two = section('a', { tags: { kind: 'listed', tags: ['1', '2'] } });
    const { sections } = await mirrorPass(
      [two, section('b')],
      ports({ kind: 'copied', digest: 'sha256:1' }, { kind: 'not-begun' }, { kind: 'copied', digest: 'sha256:2' }),
    );
    expect(sections.map((state) => state.section)).toEqual(['b']);
    expect([...tracking.sections().keys()]).toEqual(['b']);
    expect(tracking.images().map(({ target }) => target)).toEqual([
      'target.example/mirror/a:1',
      'target.example/mirror/b:1',
    ]);
    tracking.keepOnly(['a']);
    expect([tracking.sections().size, tracking.images().length]).toEqual([0, 1]);
  });
});

describe('setAsideTextDatabase', () => {
  it("moves the original's list away, and nothing else", async () => {
    const path = join(folder, 'old.db');
    expect(await setAsideTextDatabase(path)).toBeUndefined();
    await writeFile(path, 'istio/proxyv2:1.7.0\n123456789012.dkr.ecr.eu-west-1.amazonaws.com/istio/proxyv2:1.7.0\n');
    expect(await setAsideTextDatabase(path)).toBe(`${path}.before`);
    expect(await readFile(`${path}.before`, 'utf8')).toContain('istio/proxyv2:1.7.0\n');
    (await openTracking(path)).close();
    expect(await setAsideTextDatabase(path)).toBeUndefined();
    await writeFile(path, 'Dear friend,\nthis is a letter.\n');
    expect(await setAsideTextDatabase(path)).toBeUndefined();
    await expect(openTracking(path)).rejects.toThrow('it is no SQLite database');
  });
});
