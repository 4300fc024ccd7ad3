import { afterEach, describe, expect, it, vi } from 'vitest';
import { type JsonAnswer, type JsonApiServer, startJsonApiServer } from '../../test/json-api-server.ts';
import { refusal } from '../../test/refusal.ts';
import type { ReplicationError } from '../model/errors.ts';
import { directNetwork } from '../model/network.ts';
import { SecretMask } from '../model/secrets.ts';
import { createAws } from './clients.ts';
import { awsError, awsErrorName } from './errors.ts';

const keyId = 'AKIAIOSFODNN7EXAMPLE';
const secretKey = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
const sessionToken = 'FwoGZXIvYXdzEXAMPLETOKEN';

describe('errors of AWS calls', () => {
  let server: JsonApiServer | undefined;

  afterEach(async () => {
    vi.unstubAllEnvs();
    await server?.close();
    server = undefined;
  });

  /** The error of one DescribeRepositories that is answered so. */
  async function answered(answer: JsonAnswer, region = 'eu-central-1'): Promise<ReplicationError> {
    vi.stubEnv('AWS_ACCESS_KEY_ID', keyId);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', secretKey);
    vi.stubEnv('AWS_SESSION_TOKEN', sessionToken);
    server = await startJsonApiServer(() => answer);
    vi.stubEnv('AWS_ENDPOINT_URL_ECR', server.url);
    return describeIn(region);
  }
  async function describeIn(region: string): Promise<ReplicationError> {
    const aws = createAws({ network: directNetwork, region, mask: new SecretMask() });
    const error = await refusal((await aws.ecr()).describeRepositories({ repositoryNames: ['app-x'] }));
    await aws.close();
    return error;
  }

  it('name action, resource and user of what was denied', async () => {
    const user = 'arn:aws:sts::123456789012:assumed-role/build/session';
    const resource = 'arn:aws:ecr:eu-central-1:123456789012:repository/app-x';
    const error = await answered({
      error: 'AccessDeniedException',
      message: `User: ${user} is not authorized to perform: ecr:DescribeRepositories on resource: ${resource} because no identity-based policy allows the ecr:DescribeRepositories action`,
    });
    expect(error.code).toBe('denied');
    expect(error.message).toContain(`not allowed to do ecr:DescribeRepositories on ${resource}`);
    expect(error.remedy).toBe(`allow ecr:DescribeRepositories on ${resource} for ${user}`);
  });

  it('name action and resource also where AWS says only "denied"', async () => {
    const error = await answered({ error: 'AccessDeniedException' });
    expect(error.message).toContain('not allowed to do ecr:DescribeRepositories on repository/app-x');
  });

  it.each([
    ['ExpiredTokenException', 'unauthorized', /have expired/, /renew/],
    ['UnrecognizedClientException', 'unauthorized', /not valid/, /check the AWS credentials/],
    ['InvalidSignatureException', 'unauthorized', /not valid/, /check the AWS credentials/],
    ['RepositoryNotFoundException', 'not-found', /not there/, /^$/],
    ['InvalidParameterException', 'configuration', /refused/, /^$/],
  ])('%s is %s', async (name, code, message, remedy) => {
    const error = await answered({ error: name, message: 'AWS says why' });
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.message).toContain('AWS says why');
    expect(error.remedy ?? '').toMatch(remedy);
    expect(awsErrorName(error)).toBe(name);
  });

  it('are never tried again when that is useless, and are when AWS is throttling', async () => {
    await answered({ error: 'AccessDeniedException' });
    expect(server?.requests).toHaveLength(1);
    await server?.close();
    let calls = 0;
    server = await startJsonApiServer(() => {
      calls += 1;
      return calls < 3 ? { error: 'ThrottlingException' } : { output: { repositories: [] } };
    });
    vi.stubEnv('AWS_ENDPOINT_URL_ECR', server.url);
    const aws = createAws({ network: directNetwork, region: 'eu-central-1', mask: new SecretMask() });
    expect((await (await aws.ecr()).describeRepositories({})).repositories).toEqual([]);
    await aws.close();
  });

  it('never carry keys or tokens, whatever AWS echoes', async () => {
    for (const name of ['SignatureDoesNotMatch', 'AccessDeniedException', 'ServerException']) {
      const error = await answered({ error: name, message: 'no' });
      const everything = [error.message, error.remedy, error.stack, String(error.cause), JSON.stringify(error)].join(
        '\n',
      );
      for (const secret of [secretKey, sessionToken]) expect(everything).not.toContain(secret);
      expect(Object.keys(error.cause as object)).toEqual(['name']);
      await server?.close();
    }
  });

  it('without credentials say where they come from', async () => {
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_PROFILE'])
      vi.stubEnv(name, undefined);
    vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_RELATIVE_URI', undefined);
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', undefined);
    vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nonexistent');
    vi.stubEnv('AWS_CONFIG_FILE', '/nonexistent');
    const error = await describeIn('eu-central-1');
    expect(error.code).toBe('unauthorized');
    expect(error.message).toContain('unable to locate AWS credentials');
    expect(error.remedy).toContain('AWS_PROFILE');
  });

  it('with an impossible region name it', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', keyId);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', secretKey);
    const error = await describeIn('not a region');
    expect(error.code).toBe('configuration');
    expect(error.message).toContain('"not a region" is no AWS region');
  });

  it('of a refused connection say so, with what to check', async () => {
    server = await startJsonApiServer(() => ({ output: {} }));
    const { url } = server;
    await server.close();
    server = undefined;
    vi.stubEnv('AWS_ACCESS_KEY_ID', keyId);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', secretKey);
    vi.stubEnv('AWS_ENDPOINT_URL_ECR', url);
    const error = await describeIn('eu-central-1');
    expect(error.code).toBe('unreachable');
    expect(error.message).toContain('ECONNREFUSED');
    expect(error.remedy).toContain('HTTPS_PROXY');
  });

  it('of a call that was told to stop are cancelled', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', keyId);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', secretKey);
    vi.stubEnv('AWS_ENDPOINT_URL_ECR', 'http://127.0.0.1:9');
    const aws = createAws({ network: directNetwork, region: 'eu-central-1', mask: new SecretMask() });
    const abortSignal = AbortSignal.abort();
    const error = await refusal((await aws.ecr()).describeRepositories({}, { abortSignal }));
    expect(error.code).toBe('cancelled');
  });

  const context = (region: string) => ({
    call: { service: 'ecr', operation: 'CreateRepository', input: { repositoryName: 'app-x', tags: [] } } as const,
    region,
    mask: new SecretMask(),
  });

  it('of a region that has no ECR name the region', () => {
    const cause = Object.assign(new Error('getaddrinfo ENOTFOUND api.ecr.mars-north-1.amazonaws.com'), {
      code: 'ENOTFOUND',
      hostname: 'api.ecr.mars-north-1.amazonaws.com',
    });
    const error = awsError(cause, context('mars-north-1'));
    expect(error.code).toBe('unreachable');
    expect(error.message).toContain('region "mars-north-1" has no ECR');
    expect(error.host).toBe('api.ecr.mars-north-1.amazonaws.com');
  });

  it('of a private certificate authority name the remedy', () => {
    const cause = Object.assign(new Error('self-signed certificate in certificate chain'), {
      code: 'SELF_SIGNED_CERT_IN_CHAIN',
    });
    expect(awsError(cause, context('eu-central-1')).remedy).toContain('NODE_EXTRA_CA_CERTS');
  });

  it('of a reached limit of the account tell to raise it (the SDK takes them for throttling and tries for seconds)', () => {
    const cause = Object.assign(new Error('too many'), {
      name: 'LimitExceededException',
      $metadata: { httpStatusCode: 400 },
    });
    const error = awsError(cause, context('eu-central-1'));
    expect(error.code).toBe('denied');
    expect(error.remedy).toContain('quota');
  });

  it('say both actions that creating with tags needs', () => {
    const cause = Object.assign(new Error('Access Denied'), {
      name: 'AccessDenied',
      $metadata: { httpStatusCode: 403 },
    });
    expect(awsError(cause, context('eu-central-1')).message).toContain(
      'ecr:CreateRepository and ecr:TagResource on repository/app-x',
    );
  });
});
