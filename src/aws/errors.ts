import { type ErrorCode, ReplicationError } from '../model/errors.ts';
import type { SecretMask } from '../model/secrets.ts';
import { actionsOf, type AwsCall, resourceOf } from './permissions.ts';

/** Which call failed, for the message: AWS's own errors seldom name action and resource. */
export interface AwsErrorContext {
  readonly call: AwsCall;
  readonly region: string;
  readonly mask: SecretMask;
}

/** The parts of an SDK error that we look at. Everything else (requests, access key ids) stays behind. */
interface Fault {
  readonly name: string;
  readonly message: string;
  /** Node's system error code (`ENOTFOUND`, `SELF_SIGNED_CERT_IN_CHAIN`), where there is one. */
  readonly code: string;
  readonly status: number | undefined;
  readonly hostname: string | undefined;
}

const named: Readonly<
  Record<string, 'expired' | 'unknown-credentials' | 'throttled' | 'not-found' | 'conflict' | 'denied'>
> = {
  ExpiredToken: 'expired',
  ExpiredTokenException: 'expired',
  RequestExpired: 'expired',
  TokenProviderError: 'expired',
  InvalidClientTokenId: 'unknown-credentials',
  UnrecognizedClientException: 'unknown-credentials',
  InvalidAccessKeyId: 'unknown-credentials',
  InvalidSignatureException: 'unknown-credentials',
  SignatureDoesNotMatch: 'unknown-credentials',
  IncompleteSignature: 'unknown-credentials',
  InvalidToken: 'unknown-credentials',
  AuthFailure: 'unknown-credentials',
  ThrottlingException: 'throttled',
  Throttling: 'throttled',
  ThrottledException: 'throttled',
  RequestLimitExceeded: 'throttled',
  TooManyRequestsException: 'throttled',
  ProvisionedThroughputExceededException: 'throttled',
  SlowDown: 'throttled',
  RepositoryNotFoundException: 'not-found',
  ImageNotFoundException: 'not-found',
  ResourceNotFoundException: 'not-found',
  ParameterNotFound: 'not-found',
  NotFoundException: 'not-found',
  NoSuchBucket: 'not-found',
  NoSuchKey: 'not-found',
  NotFound: 'not-found',
  RepositoryAlreadyExistsException: 'conflict',
  RepositoryNotEmptyException: 'conflict',
  BucketAlreadyExists: 'conflict',
  BucketAlreadyOwnedByYou: 'conflict',
  BucketNotEmpty: 'conflict',
  OperationAborted: 'conflict',
  AccessDenied: 'denied',
  AccessDeniedException: 'denied',
  UnauthorizedOperation: 'denied',
  NotAuthorized: 'denied',
  AuthorizationError: 'denied',
  AuthorizationErrorException: 'denied',
  Forbidden: 'denied',
};

/**
 * Turns whatever the SDK threw into the project's error: says which action on which resource, what AWS answered, and
 * what to do. The cause keeps the SDK error's name (see {@link awsErrorName}) and its text, without its request.
 */
export function awsError(error: unknown, context: AwsErrorContext): ReplicationError {
  if (error instanceof ReplicationError) return error;
  const fault = faultOf(error, context.mask);
  const [code, message, remedy] = explain(fault, context);
  const cause = new Error(fault.message);
  cause.name = fault.name;
  const resource = resourceOf(context.call);
  return new ReplicationError(code, message, {
    reference: resource === '*' ? undefined : resource,
    host: fault.hostname,
    status: fault.status,
    remedy,
    cause,
  });
}

/** Name of the SDK error behind an error, such as `RepositoryNotFoundException`. */
export function awsErrorName(error: unknown): string | undefined {
  return error instanceof ReplicationError && error.cause instanceof Error ? error.cause.name : undefined;
}

function faultOf(error: unknown, mask: SecretMask): Fault {
  const fields: Readonly<Record<string, unknown>> = typeof error === 'object' && error !== null ? { ...error } : {};
  const metadata = fields['$metadata'];
  const status =
    typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata
      ? metadata.httpStatusCode
      : undefined;
  const message = error instanceof Error ? error.message : String(error);
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  return {
    name: error instanceof Error ? error.name : 'UnknownError',
    message: mask.mask(message),
    code: text(fields['code']),
    status: typeof status === 'number' ? status : undefined,
    hostname: text(fields['hostname']) || text(fields['host']) || undefined,
  };
}

type Explanation = readonly [code: ErrorCode, message: string, remedy: string | undefined];

function explain(fault: Fault, context: AwsErrorContext): Explanation {
  const { call } = context;
  const what = `${call.service}:${call.operation} on ${resourceOf(call)} in ${context.region}`;
  const said = `AWS answered ${describe(fault)}`;
  const kind = named[fault.name];
  if (kind === undefined) return local(fault, context, what) ?? byStatus(fault, context, what, said);
  switch (kind) {
    case 'denied':
      return denied(fault, context);
    case 'expired':
      return expired(what, said);
    case 'unknown-credentials':
      return [
        'unauthorized',
        `${what}: the AWS credentials are not valid; ${said}`,
        'check the AWS credentials and for which account and partition they are',
      ];
    case 'throttled':
      return [
        'throttled',
        `${what}: still throttled after all attempts; ${said}`,
        'run again later; what was copied stays',
      ];
    case 'not-found':
      return ['not-found', `${what}: not there; ${said}`, undefined];
    case 'conflict':
      return ['conflict', `${what}: ${said}`, undefined];
  }
}

function describe(fault: Fault): string {
  const status = fault.status === undefined ? '' : ` (HTTP ${fault.status})`;
  return `${fault.name}${status}: ${fault.message}`;
}

function expired(what: string, said: string): Explanation {
  return [
    'unauthorized',
    `${what}: the AWS credentials have expired; ${said}`,
    'renew the AWS session (for example by aws sso login or a fresh assume-role) and run again',
  ];
}

/** AWS: "User: arn:… is not authorized to perform: ecr:CreateRepository on resource: arn:… because …". S3 often says only "Access Denied". */
function denied(fault: Fault, { call, region }: AwsErrorContext): Explanation {
  const [, action = actionsOf(call).join(' and '), resource = resourceOf(call)] =
    /not authorized to perform: (\S+)(?:(?: on resource:)? (arn:\S+))?/.exec(fault.message) ?? [];
  const [, user] = /User: (arn:\S+)/.exec(fault.message) ?? [];
  const message = `not allowed to do ${action} on ${resource} in ${region}; AWS answered ${describe(fault)}`;
  return ['denied', message, `allow ${action} on ${resource}${user === undefined ? '' : ` for ${user}`}`];
}

/** Problems before AWS saw the request: credentials, names, network. `undefined` when it is none of these. */
function local(fault: Fault, { call, region }: AwsErrorContext, what: string): Explanation | undefined {
  if (fault.name === 'AbortError') return ['cancelled', `${what}: told to stop`, undefined];
  if (
    fault.name === 'CredentialsProviderError' ||
    /could not load credentials|unable to locate credentials|credential is missing/i.test(fault.message)
  )
    return /expired/i.test(fault.message)
      ? expired(what, fault.message)
      : [
          'unauthorized',
          `${what}: unable to locate AWS credentials (${fault.message})`,
          'log in (aws sso login), set AWS_PROFILE to a profile that ~/.aws/config has, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run with a role',
        ];
  if (/invalid region|not a valid hostname component|region is missing|unknown endpoint/i.test(fault.message))
    return [
      'configuration',
      `"${region}" is no AWS region (${fault.message})`,
      'set AWS_REGION to a region such as eu-central-1',
    ];
  if (fault.code === 'ENOTFOUND' || fault.code === 'EAI_AGAIN') {
    const host = fault.hostname ?? `the ${call.service} endpoint`;
    return [
      'unreachable',
      `${what}: the name ${host} cannot be resolved (${fault.code}): region "${region}" has no ${call.service.toUpperCase()}, or this network cannot see it`,
      `check AWS_REGION (now ${region}), DNS, proxy settings and VPC endpoints`,
    ];
  }
  if (/^(?:CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_TLS_|ERR_SSL_)/.test(fault.code))
    return [
      'unreachable',
      `${what}: TLS failed (${fault.code}: ${fault.message})`,
      'if a private authority signs this connection, name its PEM file in NODE_EXTRA_CA_CERTS',
    ];
  if (fault.status === undefined && (fault.code !== '' || fault.name === 'TimeoutError'))
    return [
      'unreachable',
      `${what}: no connection (${fault.code || fault.name}: ${fault.message})`,
      'check network, proxy settings (HTTPS_PROXY, NO_PROXY) and VPC endpoints',
    ];
  return undefined;
}

function byStatus(fault: Fault, context: AwsErrorContext, what: string, said: string): Explanation {
  if (fault.status === 403 || fault.status === 401) return denied(fault, context);
  if (fault.status === 407)
    return [
      'unreachable',
      `${what}: the proxy refuses our credentials (HTTP 407)`,
      'correct user and password in HTTPS_PROXY',
    ];
  if (fault.status === 404) return ['not-found', `${what}: not there; ${said}`, undefined];
  if (fault.status === 429)
    return ['throttled', `${what}: still throttled after all attempts; ${said}`, 'run again later'];
  if (fault.status !== undefined && fault.status >= 500) return ['unavailable', `${what}: ${said}`, 'run again later'];
  if (fault.name === 'KmsException')
    return [
      'configuration',
      `${what}: the encryption key cannot be used; ${said}`,
      'check EncryptionKey: it has to exist in this region and to allow this role kms:CreateGrant and kms:DescribeKey',
    ];
  if (
    fault.name === 'LimitExceededException' ||
    fault.name === 'TooManyTagsException' ||
    fault.name === 'TooManyBuckets'
  )
    return [
      'denied',
      `${what}: a limit of the account is reached; ${said}`,
      'remove what is not needed, or ask AWS for a higher quota',
    ];
  if (fault.status !== undefined) return ['configuration', `${what}: refused; ${said}`, undefined];
  return ['internal', `${what}: ${fault.name}: ${fault.message}`, undefined];
}
