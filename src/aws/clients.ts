import type { DynamoDB } from '@aws-sdk/client-dynamodb';
import type { ECR } from '@aws-sdk/client-ecr';
import type { S3 } from '@aws-sdk/client-s3';
import type { SFN } from '@aws-sdk/client-sfn';
import type { SecretsManager } from '@aws-sdk/client-secrets-manager';
import type { SNS } from '@aws-sdk/client-sns';
import type { SSM } from '@aws-sdk/client-ssm';
import type { STS } from '@aws-sdk/client-sts';
import type { NetworkSettings } from '../model/network.ts';
import type { SecretMask } from '../model/secrets.ts';
import { awsError } from './errors.ts';
import { requestHandler } from './handler.ts';
import type { AwsCall, AwsService } from './permissions.ts';

/** What all clients of a run have in common. */
export interface AwsOptions {
  readonly network: NetworkSettings;
  readonly region: string;
  readonly mask: SecretMask;
  /** Told about every call before it is made; the IAM test compares them with modulestack.yaml. */
  readonly record?: ((call: AwsCall) => void) | undefined;
  /** Address buckets as path instead of as host name: for an S3 stand-in that is reached by name. */
  readonly s3PathStyle?: boolean | undefined;
  /** Whose clients these are, where it is not the caller of the default chain: another account's keys or role. */
  readonly credentials?: AwsCredentials | undefined;
}

/** What requests are signed with. `expiration`: when to ask again. */
export interface AwsKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}

/** Asked before the first request, and again when what it gave expires. */
export type AwsCredentials = () => Promise<AwsKeys>;

/**
 * The AWS clients of a run. Each SDK package is loaded and its client built on first use, once per region. Credentials
 * and AWS_ENDPOINT_URL[_<SERVICE>] come from where the SDK finds them itself. Everything thrown is a ReplicationError.
 */
export interface Aws {
  readonly region: string;
  readonly mask: SecretMask;
  ecr(region?: string): Promise<ECR>;
  s3(): Promise<S3>;
  secretsManager(): Promise<SecretsManager>;
  sts(): Promise<STS>;
  ssm(region?: string): Promise<SSM>;
  sns(region?: string): Promise<SNS>;
  dynamodb(): Promise<DynamoDB>;
  sfn(region?: string): Promise<SFN>;
  /** Ends idle connections. */
  close(): Promise<void>;
}

/** Standard mode: exponential back-off with jitter and a retry quota (AWS SDKs reference guide, "Retry behavior"). */
const retry = { retryMode: 'standard', maxAttempts: 5 } as const;

/**
 * Clients of all services, made when they are first asked for: no SDK is loaded before that. What AWS refuses is thrown as
 * ReplicationError (errors.ts), secrets masked; `close` ends their connections.
 */
export function createAws(options: AwsOptions): Aws {
  const { network, region, mask } = options;
  const handler = lazy(() => requestHandler(network));
  const settings = async (inRegion: string) => ({
    region: inRegion,
    requestHandler: await handler(),
    ...retry,
    ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
  });
  const watched = watcher(options);
  return {
    region,
    mask,
    ecr: perRegion(region, async (inRegion) => {
      const { ECR: Client } = await import('@aws-sdk/client-ecr');
      return watched('ecr', inRegion, new Client(await settings(inRegion)));
    }),
    s3: lazy(async () => {
      const { S3: Client } = await import('@aws-sdk/client-s3');
      return watched(
        's3',
        region,
        new Client({ ...(await settings(region)), forcePathStyle: options.s3PathStyle ?? false }),
      );
    }),
    secretsManager: lazy(async () => {
      const { SecretsManager: Client } = await import('@aws-sdk/client-secrets-manager');
      return watched('secretsmanager', region, new Client(await settings(region)));
    }),
    sts: lazy(async () => {
      const { STS: Client } = await import('@aws-sdk/client-sts');
      return watched('sts', region, new Client(await settings(region)));
    }),
    ssm: perRegion(region, async (inRegion) => {
      const { SSM: Client } = await import('@aws-sdk/client-ssm');
      return watched('ssm', inRegion, new Client(await settings(inRegion)));
    }),
    sns: perRegion(region, async (inRegion) => {
      const { SNS: Client } = await import('@aws-sdk/client-sns');
      return watched('sns', inRegion, new Client(await settings(inRegion)));
    }),
    sfn: perRegion(region, async (inRegion) => {
      const { SFN: Client } = await import('@aws-sdk/client-sfn');
      return watched('states', inRegion, new Client(await settings(inRegion)));
    }),
    dynamodb: lazy(async () => {
      const { DynamoDB: Client } = await import('@aws-sdk/client-dynamodb');
      return watched('dynamodb', region, new Client(await settings(region)));
    }),
    close: async () => {
      (await handler()).destroy();
    },
  };
}

/** What the SDK signs with. */
interface Identity {
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/**
 * A refusal may quote the request that was refused: for a signature that does not match AWS repeats the canonical
 * request, session token included. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
 */
async function hide(credentials: () => Promise<Identity>, mask: SecretMask): Promise<void> {
  try {
    const { secretAccessKey, sessionToken } = await credentials();
    mask.add(secretAccessKey);
    if (sessionToken !== undefined) mask.add(sessionToken);
  } catch {
    // Where there are no credentials there is nothing to hide.
  }
}

/** What all clients of the SDK are to a watcher. */
interface SdkClient {
  readonly config: { readonly credentials: () => Promise<Identity> };
  readonly middlewareStack: {
    add(middleware: Middleware, placement: { step: 'initialize'; priority: 'high'; name: string }): void;
  };
}

type Handler<Args, Output> = (args: Args) => Promise<Output>;
type Middleware = <Args extends { readonly input: unknown }, Output>(
  next: Handler<Args, Output>,
  context: { readonly commandName?: string },
) => Handler<Args, Output>;

/** Goes around everything the SDK does for a client's calls, retries included: records each call and maps what it throws. */
function watcher({ record, mask }: AwsOptions) {
  return <Client extends SdkClient>(service: AwsService, region: string, client: Client): Client => {
    const middleware: Middleware = (next, context) => async (args) => {
      const operation = (context.commandName ?? 'unknown').replace(/Command$/, '');
      const call: AwsCall = { service, operation, input: args.input };
      record?.(call);
      try {
        return await next(args);
      } catch (error) {
        await hide(client.config.credentials, mask);
        throw awsError(error, { call, region, mask });
      }
    };
    client.middlewareStack.add(middleware, { step: 'initialize', priority: 'high', name: 'imageReplicationErrors' });
    return client;
  };
}

/** One client per region, each made on first use. */
function perRegion<T>(home: string, make: (region: string) => Promise<T>): (region?: string) => Promise<T> {
  const clients = new Map<string, () => Promise<T>>();
  return (region = home) => {
    const client = clients.get(region) ?? lazy(() => make(region));
    clients.set(region, client);
    return client();
  };
}

/** Runs the maker on first use and gives every caller the same promise; a failure is tried again by the next caller. */
function lazy<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}
