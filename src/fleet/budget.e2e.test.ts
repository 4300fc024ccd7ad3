import { DynamoDB } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { type Account, clientSettings, startAccount } from '../../test/seedfarmer/account.ts';
import { describeWith } from '../../test/tools.ts';
import { type Aws, createAws } from '../aws/clients.ts';
import { directNetwork } from '../model/network.ts';
import { SecretMask } from '../model/secrets.ts';
import type { Reservation, SharedRate } from '../registry/pacer-shared.ts';
import { silentReporter } from '../report/events.ts';
import { writeBudgets } from './budget.ts';

const { signal } = new AbortController();

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

  const budgetOf = (host: string): SharedRate => {
    const place = 'dynamodb:coordination';
    const share = writeBudgets({ aws: () => aws, place, workers: 10, reporter: silentReporter, signal });
    const budget = share(host, { perSecond: 10, burst: 10 });
    if (budget === undefined) throw new Error('no budget');
    return budget;
  };
  const due = (reservation: Reservation): readonly number[] =>
    reservation.kind === 'places' ? reservation.dueMs : [Number.NaN];
  // A test that is tried once more must not find what it left.
  let hosts = 0;
  const newHost = (): string => `${(hosts += 1)}.example`;
  const item = async (host: string) =>
    (await client.getItem({ TableName: 'coordination', Key: { id: { S: `budget#${host}` } } })).Item;

  it('hands out each place once, first those that are saved up', async () => {
    const host = newHost();
    const [one, other] = [budgetOf(host), budgetOf(host)];
    // Five seconds' worth: however slow this machine is, they are not used up before the others ask.
    const first = due(await one.reserve(50));
    expect(first[0]).toBe(0);
    const before = (await item(host))?.['nextAt']?.N;
    expect(due(await other.reserve(5))).toHaveLength(5);
    expect(due(await one.reserve(5))).toHaveLength(5);
    const after = await item(host);
    expect(after?.['places']).toEqual({ N: '60' });
    const intervalMs = 1000 / (10 * 0.99);
    expect(Number(after?.['nextAt']?.N) - Number(before)).toBeCloseTo(10 * intervalMs, 1);
    const waiting = first.filter((ms) => ms > 0);
    for (const [place, ms] of waiting.entries()) expect(ms).toBeCloseTo((waiting[0] ?? 0) + place * intervalMs, 1);
    // What a host saves up is used at once, as far as the answer of the table was not slower than the one before it.
    expect(waiting.length).toBeLessThan(50);
  });

  it('starts anew after a time without writes', async () => {
    const host = newHost();
    const budget = budgetOf(host);
    await budget.reserve(1);
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(due(await budget.reserve(1))).toEqual([0]);
    expect((await item(host))?.['places']).toEqual({ N: '2' });
  });

  it('is held back for all when the registry refuses', async () => {
    const host = newHost();
    const [one, other] = [budgetOf(host), budgetOf(host)];
    await one.reserve(1);
    expect(await one.refused(10, 30_000)).toBeCloseTo(9.9);
    expect((await item(host))?.['rateEpoch']).toEqual({ N: '1' });
    const [first = 0] = due(await other.reserve(1));
    expect(first).toBeGreaterThan(25_000);
    expect(first).toBeLessThan(30_500);
  });
});
