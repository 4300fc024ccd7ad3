import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { refusal } from '../../test/refusal.ts';
import { digestOf } from '../model/digest.ts';
import type { RunEvent } from '../report/events.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';
import type { Aws } from './clients.ts';
import { awsAt } from './test-support.ts';
import { type EcrRegistry, type EcrRegistryOptions, ecrRegistry } from './ecr.ts';
import { ecrCredentialsForSources } from './ecr-sources.ts';
import { ownerTagKey } from './owner-tag.ts';
import type { AwsCall } from './permissions.ts';

const signal = new AbortController().signal;
const owner = ownerTagKey('dev', 'group-replication');
const settings = { scanOnPush: true, immutableTags: false, encryptionKey: 'AES256' };

describe('ECR', () => {
  let server: RegistryServer;
  let aws: Aws;
  let calls: AwsCall[];
  let events: RunEvent[];

  beforeEach(async () => {
    server = await startRegistryServer({ manners: 'ecr', region: 'eu-central-1' });
    use(server);
  });
  afterEach(async () => {
    vi.useRealTimers();
    vi.unstubAllEnvs();
    await aws.close();
    await server.close();
  });

  function use(registry: RegistryServer): void {
    calls = [];
    events = [];
    aws = awsAt({ ECR: registry.url }, { record: (call) => calls.push(call) });
  }
  const open = (options: Partial<EcrRegistryOptions> = {}): Promise<EcrRegistry> =>
    ecrRegistry(aws, {
      settings,
      accountId: '123456789012',
      tags: { [owner]: 'app' },
      reporter: { emit: (event) => events.push(event) },
      ...options,
    });
  const operations = (): string[] => calls.map((call) => call.operation);
  const tagsOf = (name: string): Record<string, string> =>
    Object.fromEntries(server.repository(name)?.resourceTags ?? new Map<string, string>());

  it('takes host and port from what ECR answers, and credentials are for that host only', async () => {
    const registry = await open();
    expect(registry.host).toBe(server.hostName);
    expect(registry.baseUrl).toBe(server.url);
    expect(await registry.credentials.credentialFor(registry.host)).toMatchObject({ kind: 'basic', username: 'AWS' });
    expect(await registry.credentials.credentialFor('quay.io')).toBeUndefined();
    expect(await registry.credentials.credentialFor(registry.host.replace(/:\d+$/, ''))).toBeUndefined();
    expect(operations().filter((name) => name === 'GetAuthorizationToken')).toHaveLength(1);
  });

  it.each([
    '123456789012.dkr.ecr.us-gov-west-1.amazonaws.com',
    '123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn',
    '123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov',
    '123456789012.dkr-ecr.eu-central-1.on.aws',
  ])('works in every partition: %s', async (hostName) => {
    await server.close();
    server = await startRegistryServer({ manners: 'ecr', hostName });
    use(server);
    const registry = await open();
    expect(registry).toMatchObject({ host: hostName, baseUrl: `http://${hostName}`, accountId: '123456789012' });
  });

  it('reads whether the account mounts blobs, and tries where it may not ask', async () => {
    expect((await open()).mounting).toBe('never');
    server.setMounting(true);
    expect((await open()).mounting).toBe('after-manifest');
    server.setMounting(false);
    server.iam.setPolicy([{ effect: 'Deny', actions: ['ecr:GetAccountSetting'], resources: ['*'] }]);
    expect((await open()).mounting).toBe('after-manifest');
  });

  it('masks the token in every form', async () => {
    const registry = await open();
    const credential = await registry.credentials.credentialFor(registry.host);
    if (credential?.kind !== 'basic') throw new Error('no credential');
    const token = Buffer.from(`AWS:${credential.password}`).toString('base64');
    expect(aws.mask.mask(`${credential.password} ${token}`)).toBe('****** ******');
  });

  describe('tokens', () => {
    const tokenCalls = (): number => operations().filter((name) => name === 'GetAuthorizationToken').length;

    it('refreshes a refused token once for all who wait', async () => {
      const { credentials, host } = await open();
      const before = await credentials.credentialFor(host);
      const after = await Promise.all(
        Array.from({ length: 20 }, () => credentials.credentialFor(host, { rejected: true })),
      );
      expect(tokenCalls()).toBe(2);
      expect(new Set(after.map((each) => JSON.stringify(each))).size).toBe(1);
      expect(after[0]).not.toEqual(before);
      // A straggler that was refused with the old token does not cost another one.
      expect(await credentials.credentialFor(host, { rejected: true })).toEqual(after[0]);
      expect(tokenCalls()).toBe(2);
    });

    it('keeps a token until half an hour before its end', async () => {
      vi.useFakeTimers({ toFake: ['Date'] });
      const { credentials, host } = await open();
      vi.setSystemTime(Date.now() + 11.4 * 3_600_000);
      await credentials.credentialFor(host);
      expect(tokenCalls()).toBe(1);
      vi.setSystemTime(Date.now() + 0.2 * 3_600_000);
      await Promise.all([credentials.credentialFor(host), credentials.credentialFor(host)]);
      expect(tokenCalls()).toBe(2);
    });

    it('uses a token with an end in the past (moto) until it is refused', async () => {
      const past = { authorizationToken: Buffer.from('AWS:secret').toString('base64'), expiresAt: 1_420_070_400 };
      server.fail({
        action: 'GetAuthorizationToken',
        fault: {
          kind: 'status',
          status: 200,
          body: JSON.stringify({ authorizationData: [{ ...past, proxyEndpoint: server.url }] }),
        },
      });
      const { credentials, host } = await open();
      await credentials.credentialFor(host);
      await credentials.credentialFor(host);
      expect(tokenCalls()).toBe(1);
      await credentials.credentialFor(host, { rejected: true });
      expect(tokenCalls()).toBe(2);
    });

    it('gives sources on private ECR a token of their region, and other hosts nothing', async () => {
      const source = ecrCredentialsForSources(aws);
      expect(await source.credentialFor('602401143452.dkr.ecr.us-west-2.amazonaws.com')).toMatchObject({
        username: 'AWS',
      });
      await source.credentialFor('900889452093.dkr.ecr.us-west-2.amazonaws.com');
      expect(tokenCalls()).toBe(1);
      await source.credentialFor('900889452093.dkr.ecr-fips.us-gov-west-1.amazonaws.com');
      expect(tokenCalls()).toBe(2);
      expect(server.requests.of('api').map((request) => request.headers.authorization ?? '')).toEqual([
        expect.stringContaining('/us-west-2/ecr/'),
        expect.stringContaining('/us-gov-west-1/ecr/'),
      ]);
      for (const host of ['public.ecr.aws', '602401143452.dkr.ecr.us-west-2.amazonaws.com.evil.example', 'quay.io'])
        expect(await source.credentialFor(host)).toBeUndefined();
    });
  });

  describe('repositories', () => {
    it('are created with settings and owner before use, each once', async () => {
      const { control } = await open({ settings: { scanOnPush: false, immutableTags: true, encryptionKey: 'AES256' } });
      calls = [];
      const [first, second, other] = await Promise.all([
        control.ensureRepository('app-library/nginx', signal),
        control.ensureRepository('app-library/nginx', signal),
        control.ensureRepository('app-quay.io/x', signal),
      ]);
      expect([first, second, other]).toEqual(['created', 'existing', 'created']);
      expect(await control.ensureRepository('app-quay.io/x', signal)).toBe('existing');
      expect(operations()).toEqual(['DescribeRepositories', 'CreateRepository', 'CreateRepository']);
      expect(tagsOf('app-library/nginx')).toEqual({ [owner]: 'app' });
      expect(calls[1]?.input).toMatchObject({
        imageScanningConfiguration: { scanOnPush: false },
        imageTagMutability: 'IMMUTABLE',
        encryptionConfiguration: { encryptionType: 'AES256' },
      });
    });

    it('of the original module are adopted: tagged once, and only when the tag is missing', async () => {
      server.createRepository('app-a', {}, { team: 'x' });
      server.createRepository('app-b', {}, { [owner]: 'app' });
      const { control } = await open();
      calls = [];
      expect(await control.ensureRepository('app-a', signal)).toBe('existing');
      expect(await control.ensureRepository('app-b', signal)).toBe('existing');
      await control.ensureRepository('app-a', signal);
      expect(operations()).toEqual([
        'DescribeRepositories',
        'ListTagsForResource',
        'TagResource',
        'ListTagsForResource',
      ]);
      expect(tagsOf('app-a')).toEqual({ team: 'x', [owner]: 'app' });
    });

    it('that another project uses under the same owner name keep both projects', async () => {
      server.createRepository('app-prod-x', {}, { [owner]: 'app-prod' });
      const { control } = await open();
      await control.ensureRepository('app-prod-x', signal);
      expect(tagsOf('app-prod-x')).toEqual({ [owner]: 'app app-prod' });
      expect(events).toMatchObject([{ type: 'notice', level: 'warning' }]);
    });

    it('that another run created since the listing, or deleted since, end well', async () => {
      const { control } = await open();
      server.createRepository('app-late', {}, {});
      server.createRepository('app-gone', {}, {});
      await control.ensureRepository('app-first', signal);
      server.fail({
        action: 'ListTagsForResource',
        fault: { kind: 'status', status: 400, body: '{"__type":"RepositoryNotFoundException","message":"gone"}' },
      });
      server.fail({
        action: 'CreateRepository',
        fault: { kind: 'status', status: 400, body: '{"__type":"RepositoryAlreadyExistsException","message":"there"}' },
      });
      await expect(control.ensureRepository('app-gone', signal)).resolves.toBe('existing');
      expect(tagsOf('app-gone')).toEqual({ [owner]: 'app' });
    });

    it('created by several runs at once: one creates, the others find it', async () => {
      const runs = await Promise.all(Array.from({ length: 6 }, () => open()));
      const outcomes = await Promise.all(runs.map(({ control }) => control.ensureRepository('app-race', signal)));
      expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1);
      expect(tagsOf('app-race')).toEqual({ [owner]: 'app' });
    });

    it('work for a role that may not list all of them', async () => {
      server.createRepository('app-old', {}, {});
      server.fail({
        action: 'DescribeRepositories',
        fault: { kind: 'status', status: 400, body: '{"__type":"AccessDeniedException","message":"no"}' },
      });
      const { control } = await open();
      expect(await control.ensureRepository('app-old', signal)).toBe('existing');
      expect(await control.ensureRepository('app-new', signal)).toBe('created');
      expect(tagsOf('app-old')).toEqual({ [owner]: 'app' });
    });

    it('say which action on which resource is missing', async () => {
      server.iam.setPolicy([{ effect: 'Deny', actions: ['ecr:CreateRepository'], resources: ['*'] }]);
      const { control } = await open();
      const error = await refusal(control.ensureRepository('app-x', signal));
      expect(error.code).toBe('denied');
      expect(error.message).toMatch(/not allowed to do ecr:CreateRepository on arn:.*:repository\/app-x/);
      expect(error.remedy).toContain('allow ecr:CreateRepository on arn:');
    });

    it('with an impossible name or full of tags are refused clearly', async () => {
      const tags = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`t${index}`, 'x']));
      server.createRepository('app-full', {}, tags);
      const { control } = await open();
      await expect(control.ensureRepository('app-Upper', signal)).rejects.toMatchObject({ code: 'configuration' });
      const error = await refusal(control.ensureRepository('app-full', signal));
      expect(error.code).toBe('denied');
      expect(error.message).toContain('carries 50 tags');
    });

    it('are asked for again after a failure', async () => {
      const { control } = await open();
      server.fail({
        action: 'CreateRepository',
        fault: { kind: 'status', status: 400, body: '{"__type":"KmsException","message":"no key"}' },
      });
      const error = await refusal(control.ensureRepository('app-x', signal));
      expect(error.code).toBe('configuration');
      expect(error.remedy).toContain('EncryptionKey');
      await control.ensureRepository('app-x', signal);
      expect(server.repositories()).toContain('app-x');
    });
  });

  describe('contents', () => {
    const digests = Array.from({ length: 250 }, (_, index) => digestOf(`blob ${index}`));

    it('asks for blobs a hundred at a time', async () => {
      const { control } = await open();
      await control.ensureRepository('app-x', signal);
      calls = [];
      expect(await control.missingBlobs('app-x', digests, signal)).toEqual(new Set(digests));
      expect(operations()).toEqual(Array.from({ length: 3 }, () => 'BatchCheckLayerAvailability'));
      expect(await control.missingBlobs('app-none', digests, signal)).toEqual(new Set(digests));
    });

    it('says undefined from then on where the service cannot tell', async () => {
      const { control } = await open();
      await control.ensureRepository('app-x', signal);
      server.iam.setPolicy([{ effect: 'Deny', actions: ['ecr:BatchCheckLayerAvailability'], resources: ['*'] }]);
      expect(await control.missingBlobs('app-x', digests.slice(0, 1), signal)).toBeUndefined();
      calls = [];
      expect(await control.missingBlobs('app-x', digests, signal)).toBeUndefined();
      expect(calls).toEqual([]);
    });

    it('finds tags in one request, and in a big repository asks for the rest by name', async () => {
      const { control } = await open();
      await control.ensureRepository('app-x', signal);
      const manifest = Buffer.from(
        JSON.stringify({ schemaVersion: 2, config: { mediaType: 'a/b', digest: digests[0], size: 1 }, layers: [] }),
      );
      const type = 'application/vnd.oci.image.manifest.v1+json';
      for (const tag of ['a', 'b']) server.putManifest('app-x', tag, manifest, type);
      calls = [];
      expect(await control.tagDigests('app-x', ['a', 'none'], signal)).toEqual(new Map([['a', digestOf(manifest)]]));
      expect(operations()).toEqual(['ListImages']);
      for (let index = 0; index < 1500; index += 1) server.putManifest('app-x', `v${index}`, manifest, type);
      calls = [];
      const found = await control.tagDigests('app-x', ['v0', 'v749', 'v1499', 'none'], signal);
      expect([...(found ?? new Map()).keys()].sort()).toEqual(['v0', 'v1499', 'v749']);
      expect(calls.length).toBeLessThanOrEqual(2);
      expect(await control.tagDigests('app-absent', ['a'], signal)).toEqual(new Map());
    });
  });
});
