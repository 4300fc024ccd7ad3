import { access, constants } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import semver from 'semver';
import { ReplicationError } from '../model/errors.ts';
import type { Downloads } from './downloads.ts';
import { installHelm } from './helm-install.ts';
import { runHelm, withHelmHome } from './helm-process.ts';

/** A helm binary that runs on this machine. */
export interface Helm {
  readonly path: string;
  /** `3.21.4`. A helm built from its Go module without link flags knows only `3.21.0`. */
  readonly version: string;
}

export interface EnsureHelmOptions {
  /** Archive to fetch (HelmDistroUrl). Without it a suitable helm on the search path is taken, else the pinned release. */
  readonly url?: string | undefined;
  /** Expected sha256 of the archive (HelmDistroChecksum): hex, with or without `sha256:`. */
  readonly checksum?: string | undefined;
  /** Folders to look for helm in, as in PATH. */
  readonly searchPath: string;
  /** Where fetched binaries are kept: `<cacheDirectory>/<sha256 of the archive>/helm`. */
  readonly cacheDirectory: string;
  readonly downloads: Downloads;
  /** As `process.platform` and `process.arch`. */
  readonly platform: string;
  readonly arch: string;
  readonly signal: AbortSignal;
  /** Takes warnings: an archive that nothing vouches for, an unsuitable helm on the path. */
  readonly notice: (message: string) => void;
}

/** OCI support is general from helm 3.8 on (https://helm.sh/blog/storing-charts-in-oci/). */
const oldestHelm = '3.8.0';

/**
 * Finds or fetches helm. A fetched archive is checked against the given checksum, the `.sha256sum` beside it or the
 * digests of known releases, unpacked without trust, and kept for the next run.
 * @throws ReplicationError `corrupt` for a wrong digest, `refused` for a hostile archive or one for another platform,
 *   `unauthorized`/`denied` naming the secret's parameters, `not-found`, `unsupported`, `configuration`, `storage`
 */
export async function ensureHelm(options: EnsureHelmOptions): Promise<Helm> {
  if (options.url === undefined) {
    const found = await findOnPath(options);
    if (found !== undefined) return found;
  }
  const path = await installHelm(options);
  const version = await helmVersion(path, options.signal);
  if (semver.gte(version, oldestHelm)) return { path, version };
  throw new ReplicationError('unsupported', `the helm from ${options.url ?? 'get.helm.sh'} is version ${version}`, {
    remedy: `point HelmDistroUrl at helm ${oldestHelm} or newer`,
  });
}

async function findOnPath(options: EnsureHelmOptions): Promise<Helm | undefined> {
  for (const folder of options.searchPath.split(delimiter)) {
    if (!isAbsolute(folder)) continue;
    const path = join(folder, 'helm');
    try {
      await access(path, constants.X_OK);
    } catch {
      continue;
    }
    try {
      const version = await helmVersion(path, options.signal);
      if (semver.gte(version, oldestHelm)) return { path, version };
      options.notice(`${path} is helm ${version}, older than ${oldestHelm}: another one is used`);
    } catch (error) {
      options.signal.throwIfAborted();
      options.notice(`${path} is not used: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return undefined;
}

/** Asks a helm binary for its version. @throws ReplicationError `unsupported` when the answer is no version */
export async function helmVersion(path: string, signal: AbortSignal): Promise<string> {
  const run = { args: ['version', '--short'], timeoutMs: 30_000, maxOutputBytes: 64 * 1024, signal };
  const exit = await withHelmHome((home) => runHelm(path, { ...run, home }));
  const match = /v(\d+)\.(\d+)(?:\.(\d+))?/.exec(exit.stdout);
  if (exit.code === 0 && match !== null) return `${match[1] ?? '0'}.${match[2] ?? '0'}.${match[3] ?? '0'}`;
  const answer = (exit.stderr || exit.stdout).trim().slice(0, 200);
  throw new ReplicationError('unsupported', `${path} does not say its helm version: ${answer}`);
}
