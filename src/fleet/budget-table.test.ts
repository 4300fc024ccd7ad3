import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Aws, createAws } from '../aws/clients.ts';
import { noCredentials } from '../model/credentials.ts';
import { digestOf } from '../model/digest.ts';
import { mediaTypes } from '../model/media-types.ts';
import { directNetwork } from '../model/network.ts';
import { SecretMask } from '../model/secrets.ts';
import { registryStore } from '../registry/store.ts';
import { createTransport } from '../registry/transport.ts';
import { type RunEvent, silentReporter } from '../report/events.ts';
import { type DynamodbServer, startDynamodbServer } from '../testing/dynamodb-server.ts';
import { type RegistryServer, startRegistryServer } from '../testing/registry-server.ts';
import { writeBudgets } from './budget.ts';

const { signal } = new AbortController();
const usual = { rate: 200, burst: 20 };
/** That the machine stands still must not look like a table that is away. */
const patienceMs = 60_000;

/** The whole way: store, transport, pacer, budget, the SDK, and a table that speaks DynamoDB's protocol. */
describe('a write budget in DynamoDB', () => {
  let table: DynamodbServer;
  let registry: RegistryServer;
  const opened: { close(): Promise<void> }[] = [];
  const events: RunEvent[] = [];

  beforeEach(async () => {
    events.length = 0;
    table = await startDynamodbServer();
    // More than what is known of it: a busy machine must not look like a worker that goes too fast.
    registry = await startRegistryServer({ manners: 'plain', manifestPutRate: { perSecond: 400, burst: 200 } });
    registry.createRepository('app');
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDEXAMPLE');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'wJalrXUtnFEMI');
    vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', table.url);
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    for (const each of [...opened.splice(0), table, registry]) await each.close();
  });

  /** A worker that writes so many manifests, each with its own tag. */
  async function worker(name: string, manifests: number, place: string | undefined, rate = usual): Promise<void> {
    const aws: Aws = createAws({ network: directNetwork, region: 'eu-central-1', mask: new SecretMask() });
    const transport = createTransport({ network: directNetwork, reporter: silentReporter });
    opened.push(transport, aws);
    const reporter = { emit: (event: RunEvent) => void events.push(event) };
    if (place !== undefined)
      transport.shareRates(writeBudgets({ aws: () => aws, place, workers: 2, reporter, signal, patienceMs }));
    const store = registryStore(transport, registry.host, {
      credentials: noCredentials,
      writesPerSecond: { manifest: rate },
    });
    const writes = Array.from({ length: manifests }, (_, n) => {
      const bytes = Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: mediaTypes.ociIndex,
          manifests: [],
          annotations: { name: `${name}-${n}` },
        }),
      );
      const descriptor = { mediaType: mediaTypes.ociIndex, digest: digestOf(bytes), size: bytes.length };
      return store.writeManifest('app', `${name}-${n}`, { descriptor, bytes }, signal);
    });
    await Promise.all(writes);
  }
  const refused = (): number => registry.requests.count(({ status }) => status === 429);

  it('is asked by nobody who was not told to', async () => {
    await worker('a', 30, undefined);
    expect([registry.tags('app').length, table.requests.entries.length]).toEqual([30, 0]);
  });

  it('is shared by two workers, with few requests', async () => {
    // So much is saved up that no place is lost because this machine uses it late.
    const plenty = { rate: 200, burst: 20_000 };
    const both = ['a', 'b'].map((name) => worker(name, 60, 'dynamodb:coordination', plenty));
    await Promise.all(both);
    expect(registry.tags('app')).toHaveLength(120);
    expect(refused()).toBe(0);
    const item = table.items.numbers('coordination', `budget#${registry.host}`);
    expect(item?.['places']).toBeGreaterThanOrEqual(120);
    expect(item?.['places']).toBeLessThan(150);
    expect(table.requests.entries.length).toBeLessThan(50);
    expect(events).toEqual([]);
  });

  it('is not needed: refused access is said once, and everything arrives', async () => {
    const body = JSON.stringify({ __type: 'com.amazon.coral.service#AccessDeniedException', message: 'no' });
    table.faults.add({ times: 'always', fault: { kind: 'status', status: 400, body } });
    await worker('a', 30, 'dynamodb:coordination');
    expect(registry.tags('app')).toHaveLength(30);
    expect(events).toHaveLength(1);
    expect(JSON.stringify(events)).toMatch(
      /in dynamodb:coordination cannot be asked; going on with 100 of 200 manifests/,
    );
    expect(JSON.stringify(events)).toContain('not allowed to do dynamodb:GetItem on coordination in eu-central-1');
  });

  it('is told of a refusal, for all', async () => {
    registry.fail({ class: 'manifest-put', skip: 5, fault: { kind: 'status', status: 429 } });
    await worker('a', 20, 'dynamodb:coordination');
    expect(registry.tags('app')).toHaveLength(20);
    // Nobody waits for the table to hear of it.
    const item = () => table.items.numbers('coordination', `budget#${registry.host}`);
    await expect.poll(item, { timeout: 30_000 }).toMatchObject({ refused: 1, rateEpoch: 1 });
    expect(item()?.['emptyAt']).toBeGreaterThan(0);
  });

  it.each(['sqlite:file', 'table', 'dynamodb:a'])('is nowhere like %s', async (place) => {
    await expect(worker('a', 1, place)).rejects.toThrow('no place');
  });
});
