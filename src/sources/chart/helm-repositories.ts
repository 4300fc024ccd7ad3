import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { parseHelmYaml } from '../../charts/helm-yaml.ts';
import type { CredentialSource } from '../../model/credentials.ts';
import { ReplicationError } from '../../model/errors.ts';
import type { SecretMask } from '../../model/secrets.ts';

/** repositories.yaml as `helm repo add` writes it (helm pkg/repo, `File` and `Entry`). */
const RepositoryFile = z.looseObject({
  repositories: z
    .array(
      z.looseObject({
        name: z.string(),
        url: z.string(),
        username: z.string().nullish(),
        password: z.string().nullish(),
      }),
    )
    .nullish(),
});

export interface HelmRepository {
  readonly name: string;
  readonly url: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

export interface HelmFolders {
  /** HELM_REPOSITORY_CONFIG, HELM_CONFIG_HOME and XDG_CONFIG_HOME, where they are set. */
  readonly repositoryConfig: string | undefined;
  readonly configHome: string | undefined;
  readonly xdgConfigHome: string | undefined;
  readonly home: string;
  /** As `process.platform`. */
  readonly platform: string;
}

/** Folder of helm's configuration (https://helm.sh/docs/helm/helm/, "Helm stores cache, configuration, and data"). */
export function helmConfigFolder({ configHome, xdgConfigHome, home, platform }: HelmFolders): string {
  if (configHome !== undefined) return configHome;
  if (xdgConfigHome !== undefined) return join(xdgConfigHome, 'helm');
  return platform === 'darwin' ? join(home, 'Library', 'Preferences', 'helm') : join(home, '.config', 'helm');
}

/**
 * Chart repositories that this user's helm knows; none when helm was never told any. Passwords are masked from here on.
 * @throws ReplicationError `configuration` for a file that is there and cannot be read
 */
export async function readHelmRepositories(folders: HelmFolders, mask: SecretMask): Promise<readonly HelmRepository[]> {
  const path = folders.repositoryConfig ?? join(helmConfigFolder(folders), 'repositories.yaml');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'ENOTDIR')) return [];
    throw unreadable(path, cause);
  }
  const parsed = RepositoryFile.safeParse(parseHelmYaml(text, path) ?? {});
  if (!parsed.success) throw unreadable(path, parsed.error);
  return (parsed.data.repositories ?? []).map(({ name, url, username, password }) => {
    if (password) mask.addBasic(username ?? '', password);
    return { name, url, username: username ?? undefined, password: password ?? undefined };
  });
}

function unreadable(path: string, cause: unknown): ReplicationError {
  const why = cause instanceof z.ZodError ? (cause.issues[0]?.message ?? 'it is wrong') : String(cause);
  return new ReplicationError('configuration', `cannot read helm's list of repositories ${path}: ${why}`, {
    reference: path,
    remedy: 'run "helm repo list" to see what helm thinks of it',
    cause,
  });
}

/** What `helm repo add --username --password` left goes to exactly that repository's host. */
export function helmRepositoryCredentials(repositories: readonly HelmRepository[]): CredentialSource {
  return {
    credentialFor(host) {
      const known = repositories.find(
        ({ url, password }) => password !== undefined && URL.canParse(url) && new URL(url).host === host,
      );
      return Promise.resolve(
        known?.password === undefined
          ? undefined
          : { kind: 'basic', username: known.username ?? '', password: known.password },
      );
    },
  };
}
