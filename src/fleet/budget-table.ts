import * as z from 'zod';
import type { Aws } from '../aws/clients.ts';
import { awsErrorName } from '../aws/errors.ts';
import { ReplicationError } from '../model/errors.ts';
import type { BudgetClock, DatedExchange } from './budget-clock.ts';
import { BudgetState } from './budget-state.ts';

/** A change of an item in the language of DynamoDB: all of it is done, or nothing where the condition does not hold. */
export interface Change {
  readonly update: string;
  readonly condition: string;
  /** By their names with the colon. */
  readonly values: Readonly<Record<string, number>>;
}

/** Items with budgets. Answers with the item, and tells of each exchange when it was. */
export interface BudgetTable {
  /** For messages: `dynamodb:TABLE`. */
  readonly name: string;
  read(id: string, watch: Watch): Promise<BudgetState | undefined>;
  /** @returns the item after the change; `undefined` when the condition did not hold */
  change(id: string, change: Change, watch: Watch): Promise<BudgetState | undefined>;
}

export type Watch = (exchange: DatedExchange) => void;

/** An answer that takes longer than this is no help any more, in milliseconds. */
const usualPatienceMs = 3_000;

/**
 * Budgets in a DynamoDB table with the partition key `id` (S): actions `dynamodb:GetItem` and `dynamodb:UpdateItem`. All
 * attributes of an item but its key are numbers.
 * @param patienceMs how long an answer is waited for
 */
export function budgetTable(
  aws: () => Aws,
  table: string,
  clock: BudgetClock,
  signal: AbortSignal,
  patienceMs = usualPatienceMs,
): BudgetTable {
  const key = (id: string) => ({ TableName: table, Key: { id: { S: id } } });
  const limited = async <T>(send: (how: { readonly abortSignal: AbortSignal }) => Promise<T>): Promise<T> => {
    const late = AbortSignal.timeout(patienceMs);
    try {
      return await send({ abortSignal: AbortSignal.any([signal, late]) });
    } catch (error) {
      if (!late.aborted || signal.aborted) throw error;
      throw new ReplicationError('unreachable', `the table ${table} did not answer within ${patienceMs / 1000} s`);
    }
  };
  return {
    name: `dynamodb:${table}`,
    async read(id, watch) {
      const [{ GetItemCommand: Command }, client] = await loaded(aws());
      const command = new Command({ ...key(id), ConsistentRead: true });
      command.middlewareStack.add((next) => dated(next, clock, watch), placement);
      const { Item: item } = await limited((how) => client.send(command, how));
      return item === undefined ? undefined : stateOf(item, id, table);
    },
    async change(id, { update, condition, values }, watch) {
      const [{ UpdateItemCommand: Command }, client] = await loaded(aws());
      const command = new Command({
        ...key(id),
        UpdateExpression: update,
        ConditionExpression: condition,
        ExpressionAttributeValues: Object.fromEntries(
          Object.entries(values).map(([name, value]) => [name, { N: String(value) }]),
        ),
        ReturnValues: 'ALL_NEW',
      });
      command.middlewareStack.add((next) => dated(next, clock, watch), placement);
      try {
        const { Attributes: item = {} } = await limited((how) => client.send(command, how));
        return stateOf(item, id, table);
      } catch (error) {
        if (awsErrorName(error) === 'ConditionalCheckFailedException') return undefined;
        throw error;
      }
    },
  };
}

async function loaded(aws: Aws) {
  return Promise.all([import('@aws-sdk/client-dynamodb'), aws.dynamodb()]);
}

/** Nearest to the wire: inside of the SDK's repetitions, and before it makes an error of an answer. */
const placement = { step: 'deserialize', priority: 'low', name: 'imageReplicationDates' } as const;

const Dated = z.object({ headers: z.object({ date: z.string() }) });

function dated<Args, Result extends { readonly response: unknown }>(
  next: (args: Args) => Promise<Result>,
  clock: BudgetClock,
  watch: Watch,
) {
  return async (args: Args): Promise<Result> => {
    const sentAt = clock.now();
    const result = await next(args);
    const date = Date.parse(Dated.safeParse(result.response).data?.headers.date ?? '');
    watch({ sentAt, answeredAt: clock.now(), date: Number.isNaN(date) ? undefined : date });
    return result;
  };
}

function stateOf(item: Readonly<Record<string, { readonly N?: string | undefined }>>, id: string, table: string) {
  const numbers = Object.fromEntries(
    Object.entries(item).flatMap(([name, { N: number }]) => (number === undefined ? [] : [[name, Number(number)]])),
  );
  const state = BudgetState.safeParse(numbers);
  if (state.success) return state.data;
  throw new ReplicationError('corrupt', `the item ${id} of the table ${table} is no budget: ${state.error.message}`, {
    reference: table,
    remedy: 'delete the item: it is made again',
  });
}
