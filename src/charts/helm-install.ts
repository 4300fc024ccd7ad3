import { randomUUID } from 'node:crypto';
import { access, chmod, constants, mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { makeFolder } from '../layout/files.ts';
import { isReplicationError, ReplicationError } from '../model/errors.ts';
import { printable } from '../registry/addresses.ts';
import { programArchiveLimits } from './archive-limits.ts';
import { extractMember } from './archive-member.ts';
import type { Downloads } from './downloads.ts';
import { helmReleaseDigests, helmReleaseUrl, pinnedHelmVersion } from './helm-releases.ts';

/** helm archives have 16 to 25 MB. */
const maxArchiveBytes = 128 * 1024 * 1024;

/** What fetching a helm archive needs of `EnsureHelmOptions` (helm.ts). */
export interface InstallOptions {
  readonly url?: string | undefined;
  readonly checksum?: string | undefined;
  readonly cacheDirectory: string;
  readonly downloads: Downloads;
  readonly platform: string;
  readonly arch: string;
  readonly signal: AbortSignal;
  readonly notice: (message: string) => void;
}

/**
 * Fetches a helm archive, verifies and unpacks it; gives the path of the binary. An archive whose digest is known
 * beforehand and that was unpacked by an earlier run is not fetched again.
 */
export async function installHelm(options: InstallOptions): Promise<string> {
  const platform = platformName(options.platform, options.arch);
  const url = parseDistroUrl(options.url ?? helmReleaseUrl(pinnedHelmVersion, platform));
  const expected = await expectedDigest(options, url);
  if (expected !== undefined && (await isExecutable(binaryPath(options, expected)))) {
    return binaryPath(options, expected);
  }
  try {
    await makeFolder(options.cacheDirectory);
    const temporary = join(options.cacheDirectory, `.download-${randomUUID()}`);
    try {
      return await fetchAndUnpack(options, { url, platform, expected, temporary });
    } finally {
      await Promise.all([rm(`${temporary}.tgz`, { force: true }), rm(`${temporary}.bin`, { force: true })]);
    }
  } catch (error) {
    throw storageError(error, options.cacheDirectory);
  }
}

interface Fetch {
  readonly url: URL;
  readonly platform: string;
  readonly expected: string | undefined;
  /** Path prefix for files under way. */
  readonly temporary: string;
}

async function fetchAndUnpack(options: InstallOptions, fetch: Fetch): Promise<string> {
  const archive = `${fetch.temporary}.tgz`;
  const { size, digest } = await download(options, fetch, archive);
  if (fetch.expected === undefined) {
    options.notice(
      `nothing vouches for the helm archive ${printable(fetch.url)} (sha256 ${digest}): set HelmDistroChecksum, or put a .sha256sum file beside it`,
    );
  } else if (fetch.expected !== digest) {
    throw new ReplicationError(
      'corrupt',
      `the helm archive ${printable(fetch.url)} has the digest sha256:${digest}, but sha256:${fetch.expected} is expected`,
      { host: fetch.url.host, digest: `sha256:${digest}`, remedy: 'check HelmDistroUrl and HelmDistroChecksum' },
    );
  }
  const member = `${fetch.platform}/helm`;
  const binary = `${fetch.temporary}.bin`;
  const what = `the helm archive ${printable(fetch.url)}`;
  const { signal } = options;
  const limits = programArchiveLimits;
  const members = await extractMember(archive, member, binary, { limits, packedBytes: size, what, signal });
  if (!members.includes(member)) throw wrongPlatform(what, fetch.platform, members);
  await checkProgram(binary, fetch.platform, what);
  await chmod(binary, 0o755);
  await mkdir(join(options.cacheDirectory, digest), { recursive: true });
  // Renaming is atomic: runs side by side see a whole binary or none.
  await rename(binary, binaryPath(options, digest));
  return binaryPath(options, digest);
}

function binaryPath(options: InstallOptions, digest: string): string {
  return join(options.cacheDirectory, digest, 'helm');
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** `linux-amd64`: how helm's archives and the folders in them are called. */
function platformName(platform: string, arch: string): string {
  const machine = { x64: 'amd64', arm64: 'arm64', arm: 'arm', ia32: '386', ppc64: 'ppc64le', s390x: 's390x' }[arch];
  if ((platform === 'linux' || platform === 'darwin') && machine !== undefined) return `${platform}-${machine}`;
  throw new ReplicationError('unsupported', `there is no helm for ${platform}/${arch}`, {
    remedy: 'run on linux or macOS, on amd64 or arm64',
  });
}

function parseDistroUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new ReplicationError('configuration', 'HelmDistroUrl is not an http or https URL', {
      remedy: 'write https://host/path/helm-v3.x.y-linux-amd64.tar.gz',
    });
  }
  if (url.username === '' && url.password === '') return url;
  throw new ReplicationError('configuration', `HelmDistroUrl (${printable(url)}) carries credentials`, {
    remedy: 'put them into the secret that HelmDistroSecretName names',
  });
}

/**
 * The digest that the archive must have, lower-case hex: HelmDistroChecksum; for a release from get.helm.sh the
 * digest that we ship (nobody on the way can change it); else what `<archive>.sha256sum` says; else the digest of the known release
 * of that file name; else nothing.
 */
async function expectedDigest(options: InstallOptions, url: URL): Promise<string | undefined> {
  if (options.checksum !== undefined && options.checksum.trim() !== '') {
    const hex = /^(?:sha256:)?([0-9a-f]{64})$/i.exec(options.checksum.trim())?.[1];
    if (hex !== undefined) return hex.toLowerCase();
    throw new ReplicationError('configuration', 'HelmDistroChecksum is not a sha256 digest (64 hexadecimal digits)');
  }
  const shipped = helmReleaseDigests[basename(url.pathname)];
  if (url.hostname === 'get.helm.sh' && shipped !== undefined) return shipped;
  return (await publishedDigest(options, url)) ?? shipped;
}

async function publishedDigest(options: InstallOptions, url: URL): Promise<string | undefined> {
  const address = new URL(url);
  address.pathname += '.sha256sum';
  try {
    const { bytes } = await options.downloads.getBytes(address.href, { maxBytes: 64 * 1024, signal: options.signal });
    const lines = Buffer.from(bytes).toString('utf8').split('\n');
    const named = lines.find((line) => line.includes(basename(url.pathname))) ?? lines[0] ?? '';
    return /^([0-9a-f]{64})(?:\s|$)/i.exec(named)?.[1]?.toLowerCase();
  } catch (error) {
    // Mirrors often hold the archive only, and object stores answer 403 for what they do not have.
    if (isReplicationError(error, 'not-found', 'denied', 'unauthorized')) return undefined;
    throw error;
  }
}

async function download(
  options: InstallOptions,
  fetch: Fetch,
  path: string,
): Promise<{ readonly size: number; readonly digest: string }> {
  const { signal } = options;
  try {
    const { size, sha256 } = await options.downloads.getToFile(fetch.url.href, path, {
      maxBytes: maxArchiveBytes,
      signal,
    });
    return { size, digest: sha256.replace(/^sha256:/, '').toLowerCase() };
  } catch (error) {
    throw downloadError(error, fetch.url);
  }
}

function downloadError(error: unknown, url: URL): unknown {
  if (!isReplicationError(error)) return error;
  const detail = { host: url.host, reference: printable(url), status: error.status, cause: error } as const;
  switch (error.code) {
    case 'unauthorized':
    case 'denied':
      return new ReplicationError(error.code, `${url.host} does not give out the helm archive: ${error.message}`, {
        ...detail,
        remedy:
          'check username and password in the secret that HelmDistroSecretName names (entry HelmDistroSecretKey), or set these parameters',
      });
    case 'not-found':
      return new ReplicationError('not-found', `there is no helm archive at ${printable(url)}`, {
        ...detail,
        remedy: 'correct HelmDistroUrl',
      });
    default:
      return error.with({
        host: url.host,
        reference: printable(url),
        remedy: 'point HelmDistroUrl at a host that can be reached',
      });
  }
}

function wrongPlatform(what: string, platform: string, members: readonly string[]): ReplicationError {
  const others = members.filter((path) => /^[^/]+\/helm(?:\.exe)?$/.test(path));
  const found = others.length === 0 ? `no ${platform}/helm` : `${others.join(', ')} and no ${platform}/helm`;
  return new ReplicationError('refused', `${what} holds ${found}`, {
    remedy: `point HelmDistroUrl at the archive for ${platform}`,
  });
}

/** ELF: magic number, class, then e_machine at offset 18 (https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html). */
async function checkProgram(path: string, platform: string, what: string): Promise<void> {
  if (!platform.startsWith('linux-')) return;
  const header = Buffer.alloc(20);
  const file = await open(path);
  try {
    await file.read(header, 0, header.length, 0);
  } finally {
    await file.close();
  }
  if (!header.subarray(0, 4).equals(Buffer.from([0x7f, 0x45, 0x4c, 0x46])))
    throw new ReplicationError('refused', `${what} holds a ${platform}/helm that is no Linux program`);
  const machine = header[5] === 2 ? header.readUInt16BE(18) : header.readUInt16LE(18);
  const expected = { amd64: 0x3e, arm64: 0xb7, arm: 0x28, '386': 0x03, ppc64le: 0x15, s390x: 0x16 }[
    platform.slice('linux-'.length)
  ];
  if (expected === undefined || machine === expected) return;
  throw new ReplicationError(
    'refused',
    `${what} holds a ${platform}/helm that is built for another machine (${machine})`,
    {
      remedy: `point HelmDistroUrl at the archive for ${platform}`,
    },
  );
}

/** Disk full, read-only folder: named as such. */
function storageError(error: unknown, directory: string): unknown {
  if (isReplicationError(error) || !(error instanceof Error) || !('code' in error)) return error;
  if (typeof error.code !== 'string' || !/^E[A-Z]+$/.test(error.code)) return error;
  return new ReplicationError('storage', `cannot keep helm in ${directory}: ${error.message}`, {
    remedy: 'free space there, or choose a folder that can be written to',
    cause: error,
  });
}
