import type { DynamoDB } from '@aws-sdk/client-dynamodb';
import type { Aws } from '../aws/clients.ts';
import { awsErrorName } from '../aws/errors.ts';
import { pause } from '../aws/pause.ts';
import { isReplicationError, ReplicationError } from '../model/errors.ts';
import { counted } from '../report/format.ts';
import { ImageStatus, type StatusStore } from './status.ts';

type Client = Pick<DynamoDB, 'batchWriteItem' | 'batchGetItem' | 'scan' | 'describeTable' | 'createTable'>;
type Request = NonNullable<Parameters<Client['batchWriteItem']>[0]['RequestItems']>[string][number];
type Attributes = NonNullable<NonNullable<Request['PutRequest']>['Item']>;

/** https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html */
const itemsPerRequest = 25;
const maxAttempts = 8;

/**
 * The status in a DynamoDB table: partition key `target` (S), no sort key; attributes `source`, `state`, `started` (S),
 * `tries` (N), and `digest`, `finished`, `error` (S) where there are such.
 * @param options.create makes the table, billed per request, when there is none
 * @param options.onUnsound told of items that are no statuses, which are left out: one of them stops no run, and is written
 *   anew where it has the name of an image. A table that holds nothing else is another one's: listing it is `corrupt`
 * @throws ReplicationError `configuration` when there is no such table, or one with another key; `denied`
 */
export async function dynamodbStatus(
  aws: Aws,
  table: string,
  options: {
    readonly create: boolean;
    readonly signal: AbortSignal;
    readonly onUnsound?: ((message: string) => void) | undefined;
  },
): Promise<StatusStore> {
  const client: Client = await aws.dynamodb();
  await ensureTable(client, aws.region, table, options);
  return {
    name: `dynamodb:${table}`,
    async record(statuses, signal) {
      // One request may not hold one key twice.
      const items = [...new Map(statuses.map((status) => [status.target, status])).values()];
      for (let start = 0; start < items.length; start += itemsPerRequest)
        await write(client, table, items.slice(start, start + itemsPerRequest).map(putRequest), signal);
    },
    async list({ states, targets }, signal) {
      const items =
        targets === undefined ? await scan(client, table, signal) : await get(client, table, targets, signal);
      const { found, unsound } = statusesOf(items);
      const message =
        unsound[0] &&
        `the table ${table} holds ${counted(unsound.length, 'item')} that ${unsound.length === 1 ? 'is no status' : 'are no statuses'}`;
      if (message !== undefined && found.length === 0 && targets === undefined)
        throw new ReplicationError('corrupt', `${message}: ${unsound[0] ?? ''}`, {
          reference: table,
          remedy: 'name a table of its own for the status',
        });
      if (message !== undefined) options.onUnsound?.(`${message}: ${unsound.slice(0, 3).join('; ')}`);
      const wanted = states === undefined ? found : found.filter(({ state }) => states.includes(state));
      return wanted.sort((a, b) => (a.target < b.target ? -1 : 1));
    },
    close: () => Promise.resolve(),
  };
}

async function ensureTable(
  client: Client,
  region: string,
  table: string,
  { create, signal }: { readonly create: boolean; readonly signal: AbortSignal },
): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    const described = await describe(client, table, signal);
    if (described?.TableStatus === 'ACTIVE' || described?.TableStatus === 'UPDATING') {
      const [key, ...more] = described.KeySchema ?? [];
      if (key?.AttributeName === 'target' && more.length === 0) return;
      throw new ReplicationError('configuration', `the table ${table} has another key than "target"`, {
        reference: table,
        remedy: 'name a table of its own for the status; it is created with --create-table',
      });
    }
    if (described === undefined) {
      if (!create)
        throw new ReplicationError('configuration', `there is no table ${table} in ${region}`, {
          reference: table,
          remedy: 'pass --create-table to have it created, or correct the name or the region',
        });
      await createTable(client, table, signal);
    }
    // A new table is ready within seconds (API_CreateTable.html: CREATING, then ACTIVE).
    if (attempt >= 60) throw new ReplicationError('unavailable', `the table ${table} does not become ready`);
    if (attempt > 0) await pause(1_000, signal);
  }
}

async function describe(client: Client, table: string, signal: AbortSignal) {
  try {
    return (await client.describeTable({ TableName: table }, { abortSignal: signal })).Table;
  } catch (error) {
    if (isReplicationError(error, 'not-found')) return undefined;
    throw error;
  }
}

async function createTable(client: Client, table: string, signal: AbortSignal): Promise<void> {
  try {
    await client.createTable(
      {
        TableName: table,
        AttributeDefinitions: [{ AttributeName: 'target', AttributeType: 'S' }],
        KeySchema: [{ AttributeName: 'target', KeyType: 'HASH' }],
        BillingMode: 'PAY_PER_REQUEST',
      },
      { abortSignal: signal },
    );
  } catch (error) {
    // Another run was quicker.
    if (awsErrorName(error) !== 'ResourceInUseException') throw error;
  }
}

async function scan(client: Client, table: string, signal: AbortSignal): Promise<readonly Attributes[]> {
  const found: Attributes[] = [];
  let from: Attributes | undefined;
  do {
    const answer = await client.scan(
      { TableName: table, ConsistentRead: true, ExclusiveStartKey: from },
      { abortSignal: signal },
    );
    found.push(...(answer.Items ?? []));
    from = answer.LastEvaluatedKey;
  } while (from !== undefined);
  return found;
}

/** Keys in one BatchGetItem (API reference). */
const keysPerRequest = 100;

/** What DynamoDB did not give for lack of throughput, or because an answer was full, is asked for again. */
async function get(
  client: Client,
  table: string,
  targets: readonly string[],
  signal: AbortSignal,
): Promise<readonly Attributes[]> {
  const found: Attributes[] = [];
  const names = [...new Set(targets)];
  for (let start = 0; start < names.length; start += keysPerRequest) {
    let left: Attributes[] = names.slice(start, start + keysPerRequest).map((target) => ({ target: { S: target } }));
    for (let attempt = 0; left.length > 0; attempt += 1) {
      if (attempt >= maxAttempts)
        throw new ReplicationError('throttled', `the table ${table} does not give ${left.length} statuses`, {
          reference: table,
          remedy: 'run again later, or give the table more throughput',
        });
      if (attempt > 0) await pause(50 * 2 ** attempt, signal);
      const answer = await client.batchGetItem(
        { RequestItems: { [table]: { Keys: left, ConsistentRead: true } } },
        { abortSignal: signal },
      );
      found.push(...(answer.Responses?.[table] ?? []));
      left = answer.UnprocessedKeys?.[table]?.Keys ?? [];
    }
  }
  return found;
}

/** What DynamoDB did not take for lack of throughput is its answer's UnprocessedItems, and is sent again. */
async function write(client: Client, table: string, requests: readonly Request[], signal: AbortSignal): Promise<void> {
  let left = [...requests];
  for (let attempt = 0; left.length > 0; attempt += 1) {
    if (attempt >= maxAttempts)
      throw new ReplicationError('throttled', `the table ${table} does not take ${left.length} statuses`, {
        reference: table,
        remedy: 'run again later, or give the table more throughput',
      });
    if (attempt > 0) await pause(50 * 2 ** attempt, signal);
    const answer = await client.batchWriteItem({ RequestItems: { [table]: left } }, { abortSignal: signal });
    left = answer.UnprocessedItems?.[table] ?? [];
  }
}

function putRequest(status: ImageStatus): Request {
  const { tries, ...texts } = status;
  const item: Attributes = { tries: { N: String(tries) } };
  for (const [name, value] of Object.entries(texts)) if (value !== null) item[name] = { S: value };
  return { PutRequest: { Item: item } };
}

/** @returns statuses, and of what is none its key and why */
function statusesOf(items: readonly Attributes[]): {
  readonly found: ImageStatus[];
  readonly unsound: readonly string[];
} {
  const found: ImageStatus[] = [];
  const unsound: string[] = [];
  for (const item of items) {
    const parsed = ImageStatus.safeParse(fieldsOf(item));
    if (parsed.success) found.push(parsed.data);
    else {
      const why = parsed.error.issues.map(({ path, message }) => `${path.map(String).join('.')}: ${message}`);
      unsound.push(`"${item['target']?.S ?? ''}" (${why.join(', ')})`);
    }
  }
  return { found, unsound };
}

function fieldsOf(item: Attributes): Readonly<Record<keyof ImageStatus, unknown>> {
  const text = (name: string): string | null => item[name]?.S ?? null;
  return {
    target: text('target'),
    source: text('source'),
    digest: text('digest'),
    state: text('state'),
    tries: Number(item['tries']?.N),
    started: text('started'),
    finished: text('finished'),
    error: text('error'),
  };
}
