import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureHelm, type EnsureHelmOptions, type Helm } from './helm.ts';
import { helmReleaseDigests, helmReleaseUrl, pinnedHelmVersion } from './helm-releases.ts';
import {
  calm,
  downloadsWith,
  type Member,
  serve,
  serveFiles,
  sha256Hex,
  type TestServer,
  tgzOf,
} from './test-support.ts';

/** A stand-in for helm that runs everywhere. As no ELF program it passes for darwin only; real helms are in the e2e tests. */
function script(version: string): string {
  return `#!/bin/sh\necho '${version}'\n`;
}
const darwin = { platform: 'darwin', arch: 'arm64' } as const;
const good = tgzOf([
  { path: 'darwin-arm64/', type: 'Directory' },
  { path: 'darwin-arm64/LICENSE', content: 'free' },
  { path: 'darwin-arm64/helm', content: script('v3.20.1+gabc') },
]);
const file = '/helm-v3.20.1-darwin-arm64.tar.gz';

function elf(machine: number): Buffer {
  const header = Buffer.alloc(64);
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeUInt16LE(machine, 18);
  return header;
}

describe('helm', () => {
  let folder: string;
  let notices: string[];
  let server: TestServer | undefined;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'helm-test-'));
    notices = [];
    server = undefined;
  });
  afterEach(async () => {
    await server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const ensure = (options: Partial<EnsureHelmOptions> = {}): Promise<Helm> =>
    ensureHelm({
      searchPath: '',
      cacheDirectory: join(folder, 'cache'),
      downloads: downloadsWith(),
      signal: calm(),
      notice: (message) => notices.push(message),
      ...darwin,
      ...options,
    });
  const serving = async (files: Record<string, string | Uint8Array>): Promise<TestServer> => {
    server = await serveFiles(new Map(Object.entries(files)));
    return server;
  };

  it('is fetched, checked against the .sha256sum beside the archive, unpacked, and kept for the next run', async () => {
    const { url, requests } = await serving({
      [file]: good,
      [`${file}.sha256sum`]: `${sha256Hex(good)}  ${file.slice(1)}\n`,
    });
    const first = await ensure({ url: url + file });
    expect(first).toEqual({ path: join(folder, 'cache', sha256Hex(good), 'helm'), version: '3.20.1' });
    expect((await stat(first.path)).mode & 0o777).toBe(0o755);
    expect(await ensure({ url: url + file })).toEqual(first);
    expect(requests).toEqual([`GET ${file}.sha256sum`, `GET ${file}`, `GET ${file}.sha256sum`]);
    expect(notices).toEqual([]);
    expect(await readdir(join(folder, 'cache'))).toEqual([sha256Hex(good)]);
  });

  it('is checked against HelmDistroChecksum before anything else', async () => {
    const { url, requests } = await serving({ [file]: good, [`${file}.sha256sum`]: `${'0'.repeat(64)}  x\n` });
    for (const checksum of [sha256Hex(good), `sha256:${sha256Hex(good).toUpperCase()}`, ` ${sha256Hex(good)}\n`])
      await expect(ensure({ url: url + file, checksum })).resolves.toMatchObject({ version: '3.20.1' });
    expect(requests).toEqual([`GET ${file}`]);
    await expect(ensure({ url: url + file, checksum: 'md5' })).rejects.toMatchObject({ code: 'configuration' });
  });

  it('with another digest than expected is corrupt, and nothing is kept of it', async () => {
    const { url } = await serving({ [file]: good, [`${file}.sha256sum`]: `${'0'.repeat(64)}  x\n` });
    for (const checksum of [undefined, '1'.repeat(64)])
      await expect(ensure({ url: url + file, checksum })).rejects.toMatchObject({
        code: 'corrupt',
        message: expect.stringContaining(sha256Hex(good)) as string,
      });
    expect(await readdir(join(folder, 'cache'))).toEqual([]);
  });

  it('of a known release is checked against the digest that we ship', async () => {
    const name = '/mirror/helm-v3.21.4-linux-arm64.tar.gz';
    const { url } = await serving({ [name]: good });
    await expect(ensure({ url: url + name, platform: 'linux' })).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining(helmReleaseDigests['helm-v3.21.4-linux-arm64.tar.gz'] ?? '?') as string,
    });
  });

  it('that nothing vouches for is used with a warning that gives its digest', async () => {
    const { url } = await serving({ [file]: good, [`${file}.sha256sum`]: '<html>sorry</html>' });
    await expect(ensure({ url: url + file })).resolves.toMatchObject({ version: '3.20.1' });
    expect(notices).toEqual([expect.stringContaining(sha256Hex(good))]);
    expect(notices[0]).toContain('HelmDistroChecksum');
  });

  const refused: readonly (readonly [string, readonly Member[], RegExp])[] = [
    [
      'for another platform',
      [{ path: 'linux-arm64/helm', content: elf(0xb7) }],
      /holds linux-arm64\/helm and no linux-amd64\/helm/,
    ],
    ['built for another machine', [{ path: 'linux-amd64/helm', content: elf(0xb7) }], /another machine/],
    ['no program at all', [{ path: 'linux-amd64/helm', content: script('v3') }], /no Linux program/],
    ['empty', [{ path: 'linux-amd64/helm', content: '' }], /no Linux program/],
    ['without helm', [{ path: 'linux-amd64/kubectl', content: 'x' }], /no linux-amd64\/helm/],
    ['a link', [{ path: 'linux-amd64/helm', type: 'SymbolicLink', linkpath: '/bin/sh' }], /SymbolicLink/],
    [
      'a traversal',
      [
        { path: 'linux-amd64/helm', content: elf(0x3e) },
        { path: '../../evil', content: 'x' },
      ],
      /leads out/,
    ],
    ['a device', [{ path: 'linux-amd64/helm', type: 'CharacterDevice' }], /CharacterDevice/],
    ['there twice', [elf(0x3e), elf(0x3e)].map((content) => ({ path: 'linux-amd64/helm', content })), /twice/],
  ];
  it.each(refused)('is refused when it is %s', async (_name, members, message) => {
    const { url } = await serving({ '/helm.tar.gz': tgzOf(members) });
    await expect(ensure({ url: `${url}/helm.tar.gz`, platform: 'linux', arch: 'x64' })).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(message) as string,
    });
    expect(await readdir(join(folder, 'cache'))).toEqual([]);
    await expect(stat(join(folder, 'evil'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('is refused when the member is a bomb', async () => {
    const bomb = tgzOf([{ path: 'linux-amd64/helm', content: Buffer.alloc(40 * 1024 * 1024) }]);
    const { url } = await serving({ '/helm.tar.gz': bomb });
    await expect(ensure({ url: `${url}/helm.tar.gz`, platform: 'linux', arch: 'x64' })).rejects.toMatchObject({
      code: 'refused',
    });
    expect(await readdir(join(folder, 'cache'))).toEqual([]);
  });

  it('is corrupt when a page comes instead of an archive', async () => {
    const { url } = await serving({ '/helm.tar.gz': '<!DOCTYPE html>' });
    await expect(ensure({ url: `${url}/helm.tar.gz` })).rejects.toMatchObject({ code: 'corrupt' });
  });

  it.each([401, 403])('answered %i names the parameters of the secret, not its content', async (status) => {
    server = await serve((_request, response) => {
      response.writeHead(status, { 'www-authenticate': 'Basic realm="x"' }).end('no');
    });
    const credential = { kind: 'basic', username: 'ann', password: 'opensesame' } as const;
    const downloads = downloadsWith({ [new URL(server.url).host]: credential });
    const failure: unknown = await ensure({ url: server.url + file, downloads }).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      status,
      remedy: expect.stringMatching(/HelmDistroSecretName.*HelmDistroSecretKey/) as string,
    });
    expect(JSON.stringify([failure, String(failure)])).not.toContain('opensesame');
  });

  it('answered 404, or told by a URL that is none, names HelmDistroUrl', async () => {
    const { url } = await serving({});
    await expect(ensure({ url: url + file })).rejects.toMatchObject({
      code: 'not-found',
      remedy: expect.stringContaining('HelmDistroUrl') as string,
    });
    for (const bad of ['helm.tgz', 'ftp://x/helm.tgz', 'https://ann:opensesame@x.example/helm.tgz'])
      await expect(ensure({ url: bad })).rejects.toMatchObject({
        code: 'configuration',
        message: expect.not.stringContaining('opensesame') as string,
      });
  });

  it('on the search path is used when it is new enough, and others are told why not', async () => {
    for (const [name, content] of Object.entries({
      old: script('v3.7.2'),
      broken: '#!/bin/sh\nexit 1\n',
      fine: script('v4.1.0'),
    })) {
      await mkdir(join(folder, name));
      await writeFile(join(folder, name, 'helm'), content);
      await chmod(join(folder, name, 'helm'), 0o755);
    }
    const searchPath = [
      'relative',
      join(folder, 'none'),
      ...['old', 'broken', 'fine'].map((name) => join(folder, name)),
    ];
    expect(await ensure({ searchPath: searchPath.join(delimiter) })).toEqual({
      path: join(folder, 'fine', 'helm'),
      version: '4.1.0',
    });
    expect(notices).toEqual([expect.stringContaining('3.7.2'), expect.stringContaining(join(folder, 'broken'))]);
  });

  it('fetched from a URL must be new enough, too', async () => {
    const old = tgzOf([{ path: 'darwin-arm64/helm', content: script('v3.7.0') }]);
    const { url } = await serving({ [file]: old });
    await expect(ensure({ url: url + file })).rejects.toMatchObject({ code: 'unsupported' });
  });

  it('cannot be kept in a folder that cannot be written', async () => {
    const { url } = await serving({ [file]: good });
    await writeFile(join(folder, 'occupied'), '');
    await expect(ensure({ url: url + file, cacheDirectory: join(folder, 'occupied') })).rejects.toMatchObject({
      code: 'storage',
      message: expect.stringContaining('occupied') as string,
    });
  });

  it('is unknown for other platforms', async () => {
    await expect(ensure({ platform: 'aix', arch: 'ppc64' })).rejects.toMatchObject({ code: 'unsupported' });
  });

  it('from get.helm.sh is not asked for again, not even for its digest, once it was unpacked', async () => {
    const digest = helmReleaseDigests['helm-v3.21.4-linux-amd64.tar.gz'] ?? '?';
    await mkdir(join(folder, 'cache', digest), { recursive: true });
    await writeFile(join(folder, 'cache', digest, 'helm'), script('v3.21.4'), { mode: 0o755 });
    const offline = () => Promise.reject(new Error('no network'));
    const downloads = { getBytes: offline, getToFile: offline };
    for (const url of [undefined, helmReleaseUrl('v3.21.4', 'linux-amd64')])
      await expect(ensure({ url, downloads, platform: 'linux', arch: 'x64' })).resolves.toEqual({
        path: join(folder, 'cache', digest, 'helm'),
        version: '3.21.4',
      });
  });

  it('comes from get.helm.sh by default, with a digest that we ship, for both machines', () => {
    for (const platform of ['linux-amd64', 'linux-arm64']) {
      const url = new URL(helmReleaseUrl(pinnedHelmVersion, platform));
      expect(url.origin).toBe('https://get.helm.sh');
      expect(helmReleaseDigests[url.pathname.slice(1)]).toMatch(/^[0-9a-f]{64}$/);
    }
    expect(new Set(Object.values(helmReleaseDigests)).size).toBe(Object.keys(helmReleaseDigests).length);
  });
});
