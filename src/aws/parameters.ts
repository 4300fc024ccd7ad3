import * as z from 'zod';
import { isReplicationError, ReplicationError } from '../model/errors.ts';
import type { Aws, AwsKeys } from './clients.ts';

/** A parameter's region when it is named by ARN: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html */
const parameterArn = /^arn:aws[a-z-]*:ssm:([a-z0-9-]+):\d{12}:parameter\//;

/**
 * Text of a parameter of SSM Parameter Store, decrypted where it is a SecureString.
 * @param name name, path or ARN
 * @throws ReplicationError `configuration` when there is none, `denied`
 */
export async function readParameter(aws: Aws, name: string, signal: AbortSignal): Promise<string> {
  const region = parameterArn.exec(name)?.[1] ?? aws.region;
  try {
    const client = await aws.ssm(region);
    const { Parameter } = await client.getParameter({ Name: name, WithDecryption: true }, { abortSignal: signal });
    return Parameter?.Value ?? '';
  } catch (error) {
    if (!isReplicationError(error, 'not-found')) throw error;
    throw new ReplicationError('configuration', `the parameter "${name}" does not exist in ${region}`, {
      reference: name,
      remedy: `create it in the Parameter Store of ${region}, or name it by its ARN when it is in another region`,
      cause: error,
    });
  }
}

const KeyPair = z.object({
  access_key_id: z.string().min(1),
  secret_access_key: z.string().min(1),
  session_token: z.string().min(1).optional(),
});

/**
 * Keys of another account, kept as `{"access_key_id": …, "secret_access_key": …}` in a SecureString (the format of the
 * data replication hub's ECR plugin). They are registered with the mask.
 * @throws ReplicationError `configuration` that never shows a value
 */
export async function accessKeys(aws: Aws, name: string, signal: AbortSignal): Promise<AwsKeys> {
  const keys = KeyPair.safeParse(jsonOf(await readParameter(aws, name, signal)));
  if (!keys.success)
    throw new ReplicationError('configuration', `the parameter "${name}" holds no access key`, {
      reference: name,
      remedy: 'store {"access_key_id": "…", "secret_access_key": "…"} in it, as a SecureString',
    });
  const { access_key_id: accessKeyId, secret_access_key: secretAccessKey, session_token: sessionToken } = keys.data;
  aws.mask.add(secretAccessKey);
  if (sessionToken !== undefined) aws.mask.add(sessionToken);
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

const Login = z.object({ username: z.string().min(1), password: z.string().min(1) });

/** Username and password of a private registry, kept as `{"username": …, "password": …}`. @throws ReplicationError `configuration` */
export async function registryLogin(
  aws: Aws,
  name: string,
  signal: AbortSignal,
): Promise<{ readonly username: string; readonly password: string }> {
  const login = Login.safeParse(jsonOf(await readParameter(aws, name, signal)));
  if (!login.success)
    throw new ReplicationError('configuration', `the parameter "${name}" holds no username and password`, {
      reference: name,
      remedy: 'store {"username": "…", "password": "…"} in it, as a SecureString',
    });
  aws.mask.addBasic(login.data.username, login.data.password);
  return login.data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's message would quote the secret.
    return undefined;
  }
}
