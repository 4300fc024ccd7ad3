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
  const item = async (host: string) =>
    (await client.getItem({ TableName: 'coordination', Key: { id: { S: `budget#${host}` } } })).Item;

  it('hands out each place once, first those that are saved up', async () => {
    const [one, other] = [budgetOf('a.example'), budgetOf('a.example')];
    const places = [...due(await one.reserve(5)), ...due(await other.reserve(5)), ...due(await one.reserve(5))];
    expect(places.slice(0, 8)).toEqual(Array(8).fill(0));
    const late = places.slice(8);
    expect(late).toHaveLength(7);
    expect(Math.max(...late)).toBeLessThan(800);
    expect((await item('a.example'))?.['places']).toEqual({ N: '15' });
  });

  it('starts anew after a time without writes', async () => {
    const budget = budgetOf('b.example');
    await budget.reserve(1);
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(due(await budget.reserve(1))).toEqual([0]);
    expect((await item('b.example'))?.['places']).toEqual({ N: '2' });
  });

  it('is held back for all when the registry refuses', async () => {
    const [one, other] = [budgetOf('c.example'), budgetOf('c.example')];
    await one.reserve(1);
    expect(await one.refused(10, 30_000)).toBeCloseTo(9.9);
    expect((await item('c.example'))?.['rateEpoch']).toEqual({ N: '1' });
    const [first = 0] = due(await other.reserve(1));
    expect(first).toBeGreaterThan(25_000);
    expect(first).toBeLessThan(30_500);
  });
});
