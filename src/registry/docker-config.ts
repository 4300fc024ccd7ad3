import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import type { Credential, CredentialSource } from '../model/credentials.ts';
import { ReplicationError } from '../model/errors.ts';
import type { SecretMask } from '../model/secrets.ts';

/** The part of docker's config.json that concerns credentials (docker/cli cli/config/configfile/file.go). */
const DockerConfig = z.looseObject({
  auths: z
    .record(z.string(), z.looseObject({ auth: z.string().optional(), identitytoken: z.string().optional() }))
    .optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
});
type DockerConfig = z.infer<typeof DockerConfig>;

/** Answer of `docker-credential-<name> get` (docker/docker-credential-helpers README, "Development"). */
const HelperAnswer = z.looseObject({ Username: z.string(), Secret: z.string() });

export interface DockerConfigOptions {
  /** Path of config.json; a missing file means no credentials. */
  readonly path: string;
  /** PATH in which credential helpers are looked up, and what else they need of the environment. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly mask: SecretMask;
}

/** Docker Hub stands in config.json under this old address. */
const dockerHubKeys = ['https://index.docker.io/v1/', 'index.docker.io', 'docker.io', 'registry-1.docker.io'];

/**
 * Credentials as `docker login` keeps them: per-host helper, then the file, then the default store.
 * Hosts match exactly, never by suffix.
 */
export function dockerConfigCredentials(options: DockerConfigOptions): CredentialSource {
  let config: Promise<DockerConfig> | undefined;
  const known = new Map<string, Promise<Credential | undefined>>();
  const find = async (host: string): Promise<Credential | undefined> => {
    config ??= readConfig(options.path);
    const file = await config;
    const keys =
      host === 'docker.io'
        ? dockerHubKeys
        : [host, `https://${host}`, `https://${host}/`, `https://${host}/v1/`, `https://${host}/v2/`];
    for (const key of keys) {
      const helper = file.credHelpers?.[key];
      if (helper !== undefined) return askHelper(helper, key, options);
    }
    for (const key of keys) {
      const entry = file.auths?.[key];
      if (entry?.identitytoken) {
        options.mask.add(entry.identitytoken);
        return { kind: 'identity-token', token: entry.identitytoken };
      }
      if (entry?.auth) return decodeAuth(entry.auth, host, options);
    }
    if (file.credsStore === undefined) return undefined;
    return askHelper(file.credsStore, host === 'docker.io' ? 'https://index.docker.io/v1/' : host, options);
  };
  return {
    credentialFor(host, request) {
      // A helper may hand out short-lived tokens: after a refusal it is asked again.
      if (request?.rejected === true) known.delete(host);
      let credential = known.get(host);
      if (credential === undefined) {
        credential = find(host);
        known.set(host, credential);
      }
      return credential;
    },
  };
}

async function readConfig(path: string): Promise<DockerConfig> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch {
    return {};
  }
  try {
    return DockerConfig.parse(JSON.parse(text));
  } catch (cause) {
    // The cause could quote the file, and with it a secret.
    throw new ReplicationError(
      'configuration',
      `cannot understand the docker configuration ${path} (${cause instanceof SyntaxError ? 'not JSON' : 'not in its form'})`,
      {
        remedy: 'correct the file, or point DOCKER_CONFIG at another folder',
      },
    );
  }
}

function decodeAuth(auth: string, host: string, options: DockerConfigOptions): Credential {
  const text = Buffer.from(auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0)
    throw new ReplicationError(
      'configuration',
      `the entry for ${host} in ${options.path} is not base64 of user:password`,
      { host },
    );
  const [username, password] = [text.slice(0, colon), text.slice(colon + 1).replace(/\0+$/, '')];
  options.mask.addBasic(username, password);
  return { kind: 'basic', username, password };
}

async function askHelper(name: string, server: string, options: DockerConfigOptions): Promise<Credential | undefined> {
  if (!/^[A-Za-z0-9._-]+$/.test(name))
    throw new ReplicationError('configuration', `"${name}" in ${options.path} is no name of a credential helper`);
  const output = await run(`docker-credential-${name}`, server, options);
  if (output === undefined) return undefined;
  const parsed = HelperAnswer.safeParse(parseJson(output));
  if (!parsed.success)
    throw new ReplicationError('configuration', `docker-credential-${name} gave no username and secret for ${server}`, {
      host: server,
    });
  const { Username: username, Secret: secret } = parsed.data;
  options.mask.addBasic(username, secret);
  return username === '<token>'
    ? { kind: 'identity-token', token: secret }
    : { kind: 'basic', username, password: secret };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Output of the helper; `undefined` when it has no credentials for the server. The server's name goes to its standard input. */
function run(command: string, server: string, options: DockerConfigOptions): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, ['get'], {
      env: { ...options.environment },
      stdio: ['pipe', 'pipe', 'ignore'],
      timeout: 30_000,
    });
    const chunks: Buffer[] = [];
    child.on('error', (cause) => {
      reject(
        new ReplicationError(
          'configuration',
          `cannot run the credential helper ${command} for ${server}: ${cause.message}`,
          { host: server, remedy: `install ${command}, or remove it from ${options.path}` },
        ),
      );
    });
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.on('close', (status) => {
      resolve(status === 0 ? Buffer.concat(chunks).toString('utf8') : undefined);
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(server);
  });
}
