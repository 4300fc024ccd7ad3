import * as z from 'zod';
import { AnswerError, jsonAnswer } from './answer.ts';

const Value = z.union([z.object({ N: z.string() }), z.object({ S: z.string() })]);
type Value = Readonly<z.infer<typeof Value>>;
type Item = Readonly<Record<string, Value>>;

const Request = z.looseObject({
  TableName: z.string(),
  Key: z.record(z.string(), z.object({ S: z.string() })),
  UpdateExpression: z.string().optional(),
  ConditionExpression: z.string().optional(),
  ExpressionAttributeValues: z.record(z.string(), Value).optional(),
});

/** Items of tables in memory, as far as GetItem and UpdateItem of numbers and texts go. */
export interface DynamodbItems {
  /**
   * Answers an operation of the interface.
   * @throws AnswerError as AWS refuses: `ConditionalCheckFailedException`, `ValidationException`, …
   */
  answer(operation: string, input: unknown): { readonly Item?: Item } | { readonly Attributes?: Item };
  /** The numbers of an item; `undefined` when it is not there. */
  numbers(table: string, key: string): Readonly<Record<string, number>> | undefined;
}

/**
 * Conditional updates of single items, one after the other, as DynamoDB has them. Conditions are comparisons and
 * `attribute_[not_]exists`, joined by AND; updates are `SET a = :x, b = b + :y`. Anything else is refused.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
 */
export function dynamodbItems(): DynamodbItems {
  const items = new Map<string, Item>();
  return {
    answer(operation, input) {
      const request = Request.parse(input);
      const key = `${request.TableName}/${Object.values(request.Key)[0]?.S ?? ''}`;
      const item = items.get(key);
      if (operation === 'GetItem') return item === undefined ? {} : { Item: item };
      if (operation !== 'UpdateItem')
        throw dynamodbError('UnknownOperationException', `${operation} is not known here`);
      const values = request.ExpressionAttributeValues ?? {};
      if (!holds(request.ConditionExpression, item, values))
        throw dynamodbError('ConditionalCheckFailedException', 'The conditional request failed');
      const changed = { ...item, ...request.Key, ...assigned(request.UpdateExpression ?? '', item ?? {}, values) };
      items.set(key, changed);
      return { Attributes: changed };
    },
    numbers(table, key) {
      const item = items.get(`${table}/${key}`);
      if (item === undefined) return undefined;
      return Object.fromEntries(Object.entries(item).flatMap(([name, v]) => ('N' in v ? [[name, Number(v.N)]] : [])));
    },
  };
}

/** JSON 1.0: errors are `{__type, message}` with status 400. https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html */
export function dynamodbError(name: string, message: string): AnswerError {
  return new AnswerError(jsonAnswer(400, { __type: `com.amazonaws.dynamodb.v20120810#${name}`, message }));
}

function holds(condition: string | undefined, item: Item | undefined, values: Item): boolean {
  if (condition === undefined) return true;
  return condition.split(' AND ').every((term) => {
    const [, not, exists] = /^attribute_(not_)?exists\((\w+)\)$/.exec(term) ?? [];
    if (exists !== undefined) return (item?.[exists] === undefined) === (not !== undefined);
    const [, name = '', operator, value = ''] = /^(\w+) (=|<|<=|>|>=) (:\w+)$/.exec(term) ?? [];
    if (operator === undefined) throw dynamodbError('ValidationException', `Invalid ConditionExpression: ${term}`);
    const stored = item?.[name];
    // A comparison with what is not there is false.
    if (stored === undefined) return false;
    const difference = numberOf(stored) - numberOf(values[value]);
    if (difference === 0) return operator.endsWith('=');
    return operator.startsWith(difference < 0 ? '<' : '>');
  });
}

function assigned(update: string, item: Item, values: Item): Record<string, Value> {
  const [, list] = /^SET (.+)$/.exec(update) ?? [];
  if (list === undefined) throw dynamodbError('ValidationException', `Invalid UpdateExpression: ${update}`);
  return Object.fromEntries(
    list.split(', ').map((assignment) => {
      const [, name = '', base, value = ''] = /^(\w+) = (?:(\w+) \+ )?(:\w+)$/.exec(assignment) ?? [];
      const given = values[value];
      if (given === undefined) throw dynamodbError('ValidationException', `Invalid UpdateExpression: ${assignment}`);
      return [name, base === undefined ? given : { N: String(numberOf(item[base]) + numberOf(given)) }];
    }),
  );
}

function numberOf(value: Value | undefined): number {
  if (value !== undefined && 'N' in value) return Number(value.N);
  throw dynamodbError('ValidationException', 'The provided expression refers to an attribute that does not exist');
}
