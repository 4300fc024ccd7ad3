import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { refusal } from '../../test/refusal.ts';
import { digestOf } from '../model/digest.ts';
import { silentReporter } from '../report/events.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';
import type { Aws } from './clients.ts';
import { awsAt } from './test-support.ts';
import { type EcrRegistry, ecrRegistry } from './ecr.ts';
import { ownerTagKey } from './owner-tag.ts';

/** ECR's own interface under its limits: `ThrottlingException`, without a time to wait. */
const { signal } = new AbortController();
const settings = { scanOnPush: true, immutableTags: false, encryptionKey: 'AES256' };
const owner = ownerTagKey('dev', 'group-replication');

describe('throttling of the ECR interface', () => {
  let server: RegistryServer;
  let aws: Aws;

  beforeEach(async () => {
    // Beyond a burst of 10, 20 calls a second are let through.
    const rates = { api: { perSecond: 20, burst: 10 } };
    server = await startRegistryServer({ manners: 'ecr', region: 'eu-central-1', rates });
    aws = awsAt({ ECR: server.url });
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await aws.close();
    await server.close();
  });
  const open = (): Promise<EcrRegistry> =>
    ecrRegistry(aws, { settings, accountId: '123456789012', tags: { [owner]: 'app' }, reporter: silentReporter });
  const refused = (): number => server.requests.count((entry) => entry.class === 'api' && entry.status === 400);

  it('of 30 repositories wanted at once: all are made, each once, with few calls more', async () => {
    const { control } = await open();
    const names = Array.from({ length: 30 }, (_, n) => `app-${n}`);
    await Promise.all(names.map((name) => control.ensureRepository(name, signal)));
    expect(server.repositories()).toEqual([...names].sort());
    for (const name of names) expect([...(server.repository(name)?.resourceTags ?? [])]).toEqual([[owner, 'app']]);
    const created = server.requests.count((entry) => entry.action === 'CreateRepository' && entry.status === 200);
    expect([created, refused() > 0]).toEqual([30, true]);
    expect(refused()).toBeLessThan(60);
  });

  it.each([
    'GetAuthorizationToken',
    'BatchCheckLayerAvailability',
    'ListImages',
    'TagResource',
    'ListTagsForResource',
    'DescribeRepositories',
  ])('of %s for a moment goes unnoticed', async (action) => {
    server.createRepository('app-old');
    const body = '{"__type":"ThrottlingException","message":"Rate exceeded"}';
    server.fail({ action, times: 2, fault: { kind: 'status', status: 400, body } });
    const { control } = await open();
    expect(await control.ensureRepository('app-old', signal)).toBe('existing');
    const digests = [digestOf('a'), digestOf('b')];
    expect(await control.missingBlobs('app-old', digests, signal)).toEqual(new Set(digests));
    expect(await control.tagDigests('app-old', ['1'], signal)).toEqual(new Map());
    expect(server.faults.pending).toBe(0);
    expect(server.repository('app-old')?.resourceTags.get(owner)).toBe('app');
  });

  it('that does not end is told as such, with what to do, after five calls', async () => {
    const { control } = await open();
    const body = '{"__type":"ThrottlingException","message":"Rate exceeded"}';
    server.fail({ action: 'CreateRepository', times: 'always', fault: { kind: 'status', status: 400, body } });
    const error = await refusal(control.ensureRepository('app-x', signal));
    expect(error.code).toBe('throttled');
    expect(error.message).toContain('Rate exceeded');
    expect(error.remedy).toMatch(/\w/);
    expect(server.requests.count((entry) => entry.action === 'CreateRepository')).toBe(5);
  });
});
