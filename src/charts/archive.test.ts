import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ArchiveLimits, chartArchiveLimits } from './archive-limits.ts';
import { extractMember } from './archive-member.ts';
import { readArchive, readArchiveSync } from './archive.ts';
import { calm, type Member, tarOf, tgzOf } from './test-support.ts';

const limits: ArchiveLimits = { maxMemberBytes: 1000, maxTotalBytes: 20_000, maxEntries: 10, maxRatio: 250 };

const hostile: readonly (readonly [string, readonly Member[], RegExp])[] = [
  ['a path that leads out', [{ path: 'a/../../evil', content: 'x' }], /leads out of its folder/],
  ['a path of dots only', [{ path: '../evil', content: 'x' }], /leads out of its folder/],
  ['a Windows path that leads out', [{ path: 'a\\..\\..\\evil', content: 'x' }], /leads out of its folder/],
  ['an absolute path', [{ path: '/etc/passwd', content: 'x' }], /absolute path/],
  ['a drive letter', [{ path: 'C:/x', content: 'x' }], /absolute path/],
  ['a symbolic link', [{ path: 'a/link', type: 'SymbolicLink', linkpath: '/etc/passwd' }], /SymbolicLink/],
  ['a hard link', [{ path: 'a/link', type: 'Link', linkpath: 'a/other' }], /is a Link/],
  ['a device', [{ path: 'a/null', type: 'CharacterDevice' }], /CharacterDevice/],
  ['a pipe', [{ path: 'a/pipe', type: 'FIFO' }], /FIFO/],
  ['a huge member', [{ path: 'a/big', content: Buffer.alloc(1001) }], /1001 bytes/],
  [
    'too many members',
    Array.from({ length: 11 }, (_, n) => ({ path: `a/${n}`, content: 'x' })),
    /more than 10 members/,
  ],
];

describe('archives of strangers', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'archive-test-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const extract = async (archive: Buffer, member: string): Promise<readonly string[]> => {
    const path = join(folder, 'in.tgz');
    await writeFile(path, archive);
    const options = { limits, packedBytes: archive.length, what: 'the archive', signal: calm() };
    return extractMember(path, member, join(folder, 'out'), options);
  };

  it('are read: files by path, directories left out, `./` dropped', async () => {
    const archive = tgzOf([
      { path: './a/', type: 'Directory' },
      { path: './a/one', content: '1' },
      { path: 'a\\two', content: '22' },
      { path: `a/${'long/'.repeat(30)}name`, content: '' },
    ]);
    const files = await readArchive(archive, limits, 'it');
    expect(Object.fromEntries([...files].map(([path, content]) => [path, content.toString()]))).toEqual({
      'a/one': '1',
      'a/two': '22',
      [`a/${'long/'.repeat(30)}name`]: '',
    });
    expect(readArchiveSync(archive, limits, 'it')).toEqual(files);
  });

  it.each(hostile)('are refused for %s', async (_name, members, message) => {
    const archive = tgzOf([{ path: 'a/good', content: 'fine' }, ...members]);
    await expect(readArchive(archive, limits, 'it')).rejects.toMatchObject({ code: 'refused', message });
    expect(() => readArchiveSync(archive, limits, 'it')).toThrow(message);
    await expect(extract(archive, 'a/good')).rejects.toMatchObject({ code: 'refused', message });
  });

  it('may give a path twice only with the same content', async () => {
    const same = tgzOf([1, 2].map(() => ({ path: 'a/x', content: 'same' })));
    expect((await readArchive(same, limits, 'it')).size).toBe(1);
    const different = tgzOf(['one', 'two'].map((content) => ({ path: 'a/x', content })));
    await expect(readArchive(different, limits, 'it')).rejects.toMatchObject({ code: 'refused', message: /twice/ });
    await expect(extract(different, 'a/x')).rejects.toMatchObject({ code: 'refused', message: /twice/ });
  });

  it('are refused when they unpack to more than the total, or than the ratio allows', async () => {
    const many = Array.from({ length: 9 }, (_, n) => ({ path: `a/${n}`, content: randomBytes(1000) }));
    const small = { ...limits, maxTotalBytes: 8000 };
    await expect(readArchive(tgzOf(many), small, 'it')).rejects.toMatchObject({ code: 'refused', message: /unpacks/ });
    const bomb = tgzOf([{ path: 'a/zeros', content: Buffer.alloc(12 * 1024 * 1024) }]);
    expect(bomb.length).toBeLessThan(20_000);
    await expect(readArchive(bomb, chartArchiveLimits, 'it')).rejects.toMatchObject({ code: 'refused' });
    await expect(extract(bomb, 'a/zeros')).rejects.toMatchObject({ code: 'refused' });
  });

  it('are refused when they are compressed twice, which would go round the limits', async () => {
    const twice = gzipSync(tgzOf([{ path: 'a/x', content: 'x' }]));
    await expect(readArchive(twice, limits, 'it')).rejects.toMatchObject({ code: 'refused', message: /twice/ });
    await expect(extract(twice, 'a/x')).rejects.toMatchObject({ code: 'refused', message: /twice/ });
  });

  it.each([
    ['no gzip at all', Buffer.from('<html>not found</html>')],
    ['a gzipped text', gzipSync('hello '.repeat(200))],
    ['a truncated gzip', tgzOf([{ path: 'a/x', content: randomBytes(900) }]).subarray(0, 500)],
    ['a truncated tar', gzipSync(tarOf([{ path: 'a/x', content: randomBytes(900) }]).subarray(0, 1000))],
    ['nothing', Buffer.alloc(0)],
  ])('are corrupt when they are %s', async (_name, archive) => {
    await expect(readArchive(archive, limits, 'it')).rejects.toMatchObject({ code: 'corrupt' });
    await expect(extract(archive, 'a/x')).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('give one member as a file, streamed, whatever surrounds it', async () => {
    const large = { ...limits, maxMemberBytes: 10_000_000, maxTotalBytes: 20_000_000 };
    const content = randomBytes(5_000_000);
    const archive = tgzOf([
      { path: 'p/LICENSE', content: randomBytes(300_000) },
      { path: 'p/helm', content },
      { path: 'p/README', content: randomBytes(300_000) },
    ]);
    await writeFile(join(folder, 'in.tgz'), archive);
    const options = { limits: large, packedBytes: archive.length, what: 'it', signal: calm() };
    const members = await extractMember(join(folder, 'in.tgz'), 'p/helm', join(folder, 'out'), options);
    expect(members).toEqual(['p/LICENSE', 'p/helm', 'p/README']);
    expect((await readFile(join(folder, 'out'))).equals(content)).toBe(true);
  });

  it('write nothing when the member is absent, and give up when told to or when the disk refuses', async () => {
    expect(await extract(tgzOf([{ path: 'a/x', content: 'x' }]), 'a/y')).toEqual(['a/x']);
    await expect(stat(join(folder, 'out'))).rejects.toMatchObject({ code: 'ENOENT' });
    const archive = tgzOf([{ path: 'a/x', content: randomBytes(1000) }]);
    await writeFile(join(folder, 'in.tgz'), archive);
    const options = { limits, packedBytes: archive.length, what: 'it', signal: calm() };
    const nowhere = join(folder, 'missing', 'out');
    await expect(extractMember(join(folder, 'in.tgz'), 'a/x', nowhere, options)).rejects.toMatchObject({
      code: 'ENOENT',
    });
    const stopped = { ...options, signal: AbortSignal.abort() };
    await expect(extractMember(join(folder, 'in.tgz'), 'a/x', join(folder, 'out2'), stopped)).rejects.toThrow();
  });
});
