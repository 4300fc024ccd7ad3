import { readFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { ReplicationError } from '../model/errors.ts';
import type { NetworkSettings } from '../model/network.ts';
import type { SecretMask } from '../model/secrets.ts';
import { parseSize } from './size.ts';

/** The process environment as this program reads it: the only place that looks at process.env. */
export type EnvironmentVariables = Readonly<Record<string, string | undefined>>;

/** A variable's value; empty counts as unset, as CodeBuild and manifests pass unset parameters as empty texts. */
export function variable(env: EnvironmentVariables, ...names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = env[name]?.trim();
    if (value !== undefined && value !== '') return value;
  }
  return undefined;
}

/** A variable that holds a size, in bytes. @throws ReplicationError `configuration` */
export function sizeVariable(env: EnvironmentVariables, name: string): number | undefined {
  const text = variable(env, name);
  try {
    return text === undefined ? undefined : parseSize(text);
  } catch (cause) {
    const remedy = 'write it as 4GiB, 500MB or 0, or leave it out';
    throw new ReplicationError('configuration', `${name} is "${text ?? ''}", which is no size`, { remedy, cause });
  }
}

/** Seed-Farmer hands parameters over as SEEDFARMER_PARAMETER_<UPPER_SNAKE> (seed-farmer deployment/deploy_base.py). */
export function parameter(env: EnvironmentVariables, upperSnake: string): string | undefined {
  const value = variable(env, `SEEDFARMER_PARAMETER_${upperSnake}`);
  // A YAML null comes as the JSON text.
  return value === undefined || value === 'null' ? undefined : unquoted(value);
}

/** Values that are passed from other modules may come as JSON texts: `"linux/amd64"`, quotes included. */
function unquoted(value: string): string | undefined {
  if (!/^".*"$/s.test(value)) return value;
  try {
    const parsed: unknown = JSON.parse(value);
    if (typeof parsed === 'string') return parsed.trim() === '' ? undefined : parsed.trim();
  } catch {
    // No JSON text, but one that has quotes of its own.
  }
  return value;
}

/**
 * Reads a comma list or a JSON list (Seed-Farmer passes YAML lists as JSON).
 * @throws ReplicationError `configuration`
 */
export function listParameter(env: EnvironmentVariables, upperSnake: string): readonly string[] {
  const value = parameter(env, upperSnake);
  if (value === undefined) return [];
  if (!value.startsWith('[')) return splitList(value);
  try {
    const parsed: unknown = JSON.parse(value);
    if (Array.isArray(parsed) && parsed.every((each) => typeof each === 'string')) return parsed.flatMap(splitList);
  } catch {
    // Told below, with the name of the parameter.
  }
  throw new ReplicationError(
    'configuration',
    `the parameter ${parameterName(upperSnake)} is neither a comma list nor a JSON list of texts: ${value}`,
    { remedy: 'write it as a,b or as ["a", "b"]' },
  );
}

export function splitList(text: string): readonly string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** `true`/`false` in any case. @throws ReplicationError `configuration` */
export function flagParameter(env: EnvironmentVariables, upperSnake: string, fallback: boolean): boolean {
  const value = parameter(env, upperSnake)?.toLowerCase();
  if (value === undefined) return fallback;
  if (['true', 'yes', '1', 'on'].includes(value)) return true;
  if (['false', 'no', '0', 'off'].includes(value)) return false;
  throw new ReplicationError(
    'configuration',
    `the parameter ${parameterName(upperSnake)} is neither true nor false: ${value}`,
    { remedy: 'set it to true or false, or leave it out' },
  );
}

/** `EKS_VERSION` is `EksVersion` in the manifest. */
export function parameterName(upperSnake: string): string {
  return upperSnake
    .split('_')
    .map((word) => word.charAt(0) + word.slice(1).toLowerCase())
    .join('');
}

/** Proxies and certificates for every connection. @throws ReplicationError `configuration` when a certificate file cannot be read */
export async function networkSettings(
  env: EnvironmentVariables,
  insecureHosts: readonly string[],
  mask: SecretMask,
): Promise<NetworkSettings> {
  const httpsProxy = variable(env, 'https_proxy', 'HTTPS_PROXY');
  const httpProxy = variable(env, 'http_proxy', 'HTTP_PROXY');
  for (const proxy of [httpsProxy, httpProxy]) hideProxyPassword(proxy, mask);
  return {
    httpsProxy,
    httpProxy,
    noProxy: variable(env, 'no_proxy', 'NO_PROXY'),
    extraCertificates: await certificates(env),
    insecureHosts,
  };
}

function hideProxyPassword(proxy: string | undefined, mask: SecretMask): void {
  if (proxy === undefined || !URL.canParse(proxy)) return;
  const { username, password } = new URL(proxy);
  if (password !== '') mask.addBasic(decodeURIComponent(username), decodeURIComponent(password));
}

/**
 * Node reads NODE_EXTRA_CA_CERTS for its default trust only, and SSL_CERT_FILE not at all (without --use-openssl-ca);
 * connections with a trust list of their own need both.
 */
async function certificates(env: EnvironmentVariables): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'AWS_CA_BUNDLE']) {
    const path = variable(env, name);
    if (path === undefined) continue;
    try {
      found.push(await readFile(path, 'utf8'));
    } catch (cause) {
      throw new ReplicationError('configuration', `cannot read the certificate file ${path} that ${name} names`, {
        remedy: `correct or unset ${name}`,
        cause,
      });
    }
  }
  return found;
}

/** Folder for things that are worth keeping between runs on one machine, such as a fetched helm. */
export function cacheDirectory(env: EnvironmentVariables): string {
  return join(
    variable(env, 'XDG_CACHE_HOME') ?? (homedir() === '/' ? tmpdir() : join(homedir(), '.cache')),
    'image-replication',
  );
}
