import { DynamoDB } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { type Account, clientSettings, startAccount } from '../../test/seedfarmer/account.ts';
import { describeWith } from '../../test/tools.ts';
import { type Aws, createAws } from '../aws/clients.ts';
import { directNetwork } from '../model/network.ts';
import { SecretMask } from '../model/secrets.ts';
import type { Reservation } from '../registry/pacer-shared.ts';
import { silentReporter } from '../report/events.ts';
import { WriteBudget } from './budget.ts';
import { type BudgetTable, budgetTable, type Watch } from './budget-table.ts';

const { signal } = new AbortController();
/** What the clock of these tests shows at first; it moves only when it is told to. */
const epoch = Date.UTC(2026, 0, 1);

// An implementation of DynamoDB that is not ours: whether it takes our expressions is an independent opinion.
describeWith(['moto_server'], 'a write budget against moto', () => {
  let account: Account;
  let aws: Aws;
  let client: DynamoDB;

  beforeAll(async () => {
    account = await startAccount('eu-central-1');
    for (const [name, value] of Object.entries(account.environment)) vi.stubEnv(name, value);
    aws = createAws({ network: directNetwork, region: account.region, mask: new SecretMask() });
    client = new DynamoDB(clientSettings(account));
    await client.createTable({
      TableName: 'coordination',
      AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      BillingMode: 'PAY_PER_REQUEST',
    });
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    client.destroy();
    await aws.close();
    await account.stop();
  });

  let now = 0;
  const clock = { now: () => now, wall: () => epoch + now };
  /** The table itself, whose answers are dated by a clock that goes on. */
  function undated(): BudgetTable {
    const table = budgetTable(() => aws, 'coordination', clock, signal, 60_000);
    const without =
      (watch: Watch): Watch =>
      (exchange) =>
        watch({ ...exchange, date: undefined });
    return {
      name: table.name,
      read: (id, watch) => table.read(id, without(watch)),
      change: (id, change, watch) => table.change(id, change, without(watch)),
    };
  }
  const known = { perSecond: 10, burst: 10 };
  const budgetOf = (host: string): WriteBudget =>
    new WriteBudget({ table: undated(), host, known, workers: 10, reporter: silentReporter, clock });
  const due = (reservation: Reservation): readonly number[] =>
    reservation.kind === 'places' ? reservation.dueMs : [Number.NaN];
  // A test that is tried once more must not find what it left.
  let hosts = 0;
  const newHost = (): string => `${(hosts += 1)}.example`;
  const item = async (host: string) =>
    (await client.getItem({ TableName: 'coordination', Key: { id: { S: `budget#${host}` } } })).Item;
  const intervalMs = 1000 / (10 * 0.99);

  it('hands out each place once, first those that are saved up', async () => {
    const host = newHost();
    const [one, other] = [budgetOf(host), budgetOf(host)];
    const places = [
      ...due(await one.reserve(50)),
      ...due(await other.reserve(5)),
      // Its own look at the table is older than the other's places.
      ...due(await one.reserve(5)),
    ];
    expect(places).toHaveLength(60);
    // Eight of the ten that the host saves up, of which the first is free anyhow: seven intervals of 100 ms.
    for (const [place, ms] of places.entries()) expect(ms).toBeCloseTo(Math.max(0, place * intervalMs - 700), 0);
    const after = await item(host);
    expect(after?.['places']).toEqual({ N: '60' });
    expect(Number(after?.['nextAt']?.N) - epoch - now).toBeCloseTo(60 * intervalMs, 0);
  });

  it('starts anew after a time without writes', async () => {
    const host = newHost();
    const budget = budgetOf(host);
    await budget.reserve(1);
    now += 10_000;
    expect(due(await budget.reserve(1))).toEqual([0]);
    const after = await item(host);
    expect(after?.['places']).toEqual({ N: '2' });
    expect(Number(after?.['nextAt']?.N) - epoch - now).toBeCloseTo(intervalMs, 0);
  });

  it('is held back for all when the registry refuses', async () => {
    const host = newHost();
    const [one, other] = [budgetOf(host), budgetOf(host)];
    await one.reserve(1);
    expect(await one.refused(10, 30_000)).toBeCloseTo(9.9);
    expect((await item(host))?.['rateEpoch']).toEqual({ N: '1' });
    const [first = 0] = due(await other.reserve(1));
    expect(first).toBeCloseTo(30_000 + intervalMs, 0);
    // As seen a little later.
    now += 10_000;
    const [second = 0] = due(await other.reserve(1));
    expect(second).toBeCloseTo(20_000 + 2 * intervalMs, 0);
  });
});
