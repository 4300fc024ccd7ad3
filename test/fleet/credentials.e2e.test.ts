import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { callerOf } from '../../src/testing/ecr-api.ts';
import { describeWith } from '../tools.ts';
import { type Containers, lastWord, said, startContainers } from './containers.ts';
import type { OwnAnswer } from './front.ts';
import type { AwsRequest } from './needs.ts';

/** How long keys are good, and how much longer a request may be on its way, in milliseconds. */
const [lifeMs, graceMs] = [1_000, 8_000];

/** What hands out a task's credentials: https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html */
interface KeyServer {
  readonly url: string;
  /** From now on all keys have expired: those that were handed out, and those that will be. */
  revoke(): void;
  /** Whether the key was good at that time. */
  readonly holds: (accessKeyId: string, at: number) => boolean;
  close(): Promise<void>;
}

async function startKeyServer(): Promise<KeyServer> {
  const ends: number[] = [];
  let revoked = false;
  const server: Server = createServer((_, response) => {
    const end = Date.now() + (revoked ? -1 : 1) * lifeMs;
    const AccessKeyId = `ROTATING${ends.push(end) - 1}`;
    const secrets = { SecretAccessKey: 'container-secret-key', Token: 'container-session-token' };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ AccessKeyId, ...secrets, Expiration: new Date(end) }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A TCP server that listens has such an address.
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/credentials`,
    revoke: () => (revoked = true),
    holds: (key, at) => !revoked && at < (ends[Number(key.slice('ROTATING'.length))] ?? 0) + graceMs,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** As each service says it: common errors of the JSON interfaces, and the error responses of S3. */
function expired({ service }: AwsRequest): OwnAnswer {
  if (service === 's3')
    return { status: 400, body: '<Error><Code>ExpiredToken</Code><Message>The token has expired</Message></Error>' };
  if (service === 'states') return { status: 400, body: { __type: 'UnrecognizedClientException', message: 'invalid' } };
  return { status: 400, body: { __type: 'ExpiredTokenException', message: 'The security token has expired' } };
}

describeWith(['moto_server'], 'a worker whose credentials are handed out to its container', () => {
  let containers: Containers;
  let keys: KeyServer;
  beforeAll(async () => {
    containers = await startContainers();
  });
  beforeEach(async () => {
    containers.calm();
    keys = await startKeyServer();
    containers.trouble((request) => {
      const { accessKeyId: key } = request;
      return key.startsWith('ROTATING') && !keys.holds(key, Date.now()) ? expired(request) : undefined;
    });
  });
  afterEach(() => keys.close());
  afterAll(() => containers.close());

  const env = () => ({
    AWS_ACCESS_KEY_ID: undefined,
    AWS_SECRET_ACCESS_KEY: undefined,
    AWS_CONTAINER_CREDENTIALS_FULL_URI: keys.url,
  });
  it('goes on with fresh ones when those before have expired', async () => {
    const { source } = containers.fleet;
    const name = await containers.plan('rotating');
    source.reset();
    // While the first blob is under way everything ends that was handed out before: keys, and the registry's token.
    const end = async (): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, lifeMs + graceMs + 200));
      source.expireTokens();
    };
    source.fail({ class: 'blob-get', fault: { kind: 'call', run: end } });
    const run = await containers.worker(name, { token: `token-${name}`, env: env() }).ended;
    expect(run.status, said(run)).toBe(0);
    expect(lastWord(containers.reports, `token-${name}`)?.operation).toBe('SendTaskSuccess');
    await containers.expectDone(name);
    const asked = source.requests.of(({ class: kind }) => kind === 'api');
    const callers = asked.map(({ headers, at }) => ({ key: callerOf(headers.authorization)?.accessKeyId ?? '', at }));
    expect(callers.filter(({ key, at }) => !keys.holds(key, at))).toEqual([]);
    expect(new Set(callers.map(({ key }) => key)).size).toBeGreaterThan(1);
  });

  it('ends and says so when there are none but expired ones; its successor copies the rest', async () => {
    const name = await containers.plan('expired');
    const [one, two] = [`token-${name}-1`, `token-${name}-2`];
    const { source } = containers.fleet;
    const end = (): void => {
      keys.revoke();
      source.expireTokens();
      const body = JSON.stringify({ __type: 'ExpiredTokenException', message: 'The security token has expired' });
      source.fail({ action: 'GetAuthorizationToken', times: 'always', fault: { kind: 'status', status: 400, body } });
    };
    source.fail({ class: 'blob-get', fault: { kind: 'call', run: end } });
    const first = await containers.worker(name, { token: one, env: env() }).ended;
    expect(first.status, said(first)).toBe(1);
    expect(said(first)).toContain('the AWS credentials have expired');
    expect(said(first)).not.toContain('container-session-token');
    // Step Functions cannot be told: it waits for the heartbeats that do not come.
    expect(lastWord(containers.reports, one)).toBeUndefined();
    expect(first.stderr).toContain('Step Functions was not told how the task ended');
    expect(await containers.lies(name)).toEqual([]);

    source.faults.clear();
    const second = await containers.worker(name, { token: two }).ended;
    expect(second.status, said(second)).toBe(0);
    expect(lastWord(containers.reports, two)?.operation).toBe('SendTaskSuccess');
    await containers.expectDone(name);
    expect(containers.movedTwice(name)).toEqual([]);
  });

  it('is told which one refuses: the status is written by its successor when only DynamoDB does', async () => {
    const name = await containers.plan('refused');
    const [one, two] = [`token-${name}-1`, `token-${name}-2`];
    containers.trouble(({ service }) =>
      service === 'dynamodb' && containers.fleet.source.requests.count('blob-get') > 0
        ? { status: 400, body: { __type: 'UnrecognizedClientException', message: 'The security token is invalid' } }
        : undefined,
    );
    const first = await containers.worker(name, { token: one }).ended;
    expect(first.status, said(first)).toBe(1);
    expect(lastWord(containers.reports, one), said(first)).toMatchObject({
      operation: 'SendTaskFailure',
      error: 'Failed',
      cause: expect.stringContaining('the AWS credentials are not valid') as string,
    });
    expect(await containers.lies(name)).toEqual([]);
    containers.trouble(() => undefined);
    const second = await containers.worker(name, { token: two }).ended;
    expect(second.status, said(second)).toBe(0);
    await containers.expectDone(name);
    expect(containers.movedTwice(name)).toEqual([]);
  });
});
