import * as z from 'zod';
import type { BasicCredential } from '../model/credentials.ts';
import { isReplicationError, ReplicationError } from '../model/errors.ts';
import type { Aws } from './clients.ts';
import { hostOfKey } from './secret-hosts.ts';

/**
 * A secret as users write it: `{username, password}`, or such pairs nested one level under keys of any name, or both.
 * Never printed; its keys may be.
 */
export interface Secret {
  /** Name or ARN, for messages. */
  readonly name: string;
  /** The pair at the top level. */
  readonly top: BasicCredential | undefined;
  /** Nested pairs by their key as written. */
  readonly nested: ReadonlyMap<string, BasicCredential>;
  /** All keys of the top level, for messages. */
  readonly keys: readonly string[];
}

const Text = z.union([z.string().min(1), z.number().transform(String)]);
const Pair = z.object({ username: Text, password: Text });

/**
 * Reads a secret of Secrets Manager and registers every password in it with the mask.
 * @param name name or ARN
 * @throws ReplicationError `configuration` when the secret is missing or is no JSON object of credentials, `denied`
 */
export async function loadSecret(aws: Aws, name: string, signal?: AbortSignal): Promise<Secret> {
  const text = await secretText(aws, name, signal);
  const document = parseJson(text);
  if (document === undefined)
    throw new ReplicationError('configuration', `secret "${name}" is no JSON object`, {
      reference: name,
      remedy: 'store {"username": "…", "password": "…"}, or such objects nested under keys of your choice',
    });
  const nested = new Map<string, BasicCredential>();
  for (const [key, value] of Object.entries(document)) {
    const pair = pairIn(value);
    if (pair !== undefined) nested.set(key, pair);
  }
  const secret: Secret = { name, top: pairIn(document), nested, keys: Object.keys(document) };
  for (const { username, password } of [...nested.values(), ...(secret.top === undefined ? [] : [secret.top])])
    aws.mask.addBasic(username, password);
  return secret;
}

/**
 * The one credential that a secret and its key stand for.
 * @param key nested key, as in HelmRepoSecretKey; without it the top level is meant
 * @throws ReplicationError `configuration`, naming the keys that exist and never their values
 */
export function pickCredential(secret: Secret, key?: string): BasicCredential {
  const wanted = key === undefined || key === '' ? undefined : key;
  const credential = wanted === undefined ? secret.top : secret.nested.get(wanted);
  if (credential !== undefined) return credential;
  const keys = `its keys are: ${secret.keys.map(printable).join(', ') || '(none)'}`;
  if (wanted === undefined)
    throw new ReplicationError(
      'configuration',
      `secret "${secret.name}" has no username and password at its top level; ${keys}`,
      {
        reference: secret.name,
        remedy:
          secret.nested.size > 0
            ? `name one of the nested keys in the secret's key parameter: ${[...secret.nested.keys()].join(', ')}`
            : 'store both "username" and "password" in it',
      },
    );
  const there = secret.keys.includes(wanted);
  const problem = there
    ? `key "${wanted}" of secret "${secret.name}" holds no username and password`
    : `secret "${secret.name}" has no key "${wanted}"`;
  throw new ReplicationError('configuration', `${problem}; ${keys}`, {
    reference: secret.name,
    remedy: there
      ? 'store both "username" and "password" under that key'
      : "correct the secret's key parameter, or add the key",
  });
}

/** {@link loadSecret} and {@link pickCredential} in one: for a secret that is meant for one place, such as HelmDistroUrl. */
export async function readSecret(aws: Aws, name: string, key?: string, signal?: AbortSignal): Promise<BasicCredential> {
  return pickCredential(await loadSecret(aws, name, signal), key);
}

/** Nested pairs whose key is a host name, by that host. */
export function hostCredentials(secret: Secret): ReadonlyMap<string, BasicCredential> {
  const hosts = new Map<string, BasicCredential>();
  for (const [key, credential] of secret.nested) {
    const host = hostOfKey(key);
    if (host !== undefined) hosts.set(host, credential);
  }
  return hosts;
}

async function secretText(aws: Aws, name: string, signal: AbortSignal | undefined): Promise<string> {
  try {
    const client = await aws.secretsManager();
    const answer = await client.getSecretValue({ SecretId: name }, signal === undefined ? {} : { abortSignal: signal });
    return answer.SecretString ?? Buffer.from(answer.SecretBinary ?? new Uint8Array()).toString('utf8');
  } catch (error) {
    if (!isReplicationError(error, 'not-found')) throw error;
    throw new ReplicationError('configuration', `secret "${name}" does not exist in ${aws.region}`, {
      reference: name,
      remedy: 'create it in Secrets Manager of this account and region, or correct the parameter that names it',
      cause: error,
    });
  }
}

function parseJson(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed = z.record(z.string(), z.unknown()).safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    // The parser's message would quote the secret.
    return undefined;
  }
}

function pairIn(value: unknown): BasicCredential | undefined {
  const parsed = Pair.safeParse(value);
  return parsed.success ? { kind: 'basic', ...parsed.data } : undefined;
}

/** Keys are names, not values; still, one that is no plain word is not repeated (somebody may have swapped the two). */
function printable(key: string): string {
  return /^[\w.:/-]{1,64}$/.test(key) ? key : '(a key that is no plain word)';
}
