import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import * as z from 'zod';
import { describeWith } from '../tools.ts';
import { completedUploads } from '../world/requests.ts';
import { spawnProgram } from '../program.ts';
import { region, statusTable } from './account.ts';
import { type Containers, images, lastWord, said, startContainers } from './containers.ts';
import type { Own, OwnAnswer } from './front.ts';
import { destinationHost } from './world.ts';

const refusals = ['ProvisionedThroughputExceededException', 'ThrottlingException', 'RequestLimitExceeded'] as const;
const refused = (name: string): OwnAnswer => ({ status: 400, body: { __type: name, message: 'Rate exceeded' } });
/** A port that nobody listens on any more: https://www.rfc-editor.org/rfc/rfc863 */
const nowhere = 'http://127.0.0.1:9';

const Batch = z.object({ RequestItems: z.object({ [statusTable]: z.array(z.looseObject({})) }) });

describeWith(['moto_server'], 'a worker whose DynamoDB', () => {
  let containers: Containers;
  beforeAll(async () => {
    containers = await startContainers();
  });
  beforeEach(() => containers.calm());
  afterAll(() => containers.close());

  const throttledPuts = (): number =>
    containers.fleet.destination.requests.count(({ class: kind, status }) => kind === 'manifest-put' && status === 429);

  it('is throttled for a while, and takes batches in parts, ends as if nothing had been', async () => {
    const name = await containers.plan('awhile');
    const seen = new Map<string, number>();
    const parts = takingParts(containers);
    containers.trouble(async (request) => {
      if (request.service !== 'dynamodb') return undefined;
      const operation = request.target.split('.').at(-1) ?? '';
      const nth = seen.get(operation) ?? 0;
      seen.set(operation, nth + 1);
      if (nth < 2) return refused(refusals[(operation.length + nth) % refusals.length] ?? '');
      return operation === 'BatchWriteItem' && nth < 5 ? parts(request) : undefined;
    });
    const run = await containers.worker(name, { token: `token-${name}` }).ended;
    expect(run.status, said(run)).toBe(0);
    expect(lastWord(containers.reports, `token-${name}`)?.operation).toBe('SendTaskSuccess');
    for (const operation of ['DescribeTable', 'BatchGetItem', 'BatchWriteItem', 'GetItem'])
      expect(seen.get(operation), operation).toBeGreaterThan(1);
    await containers.expectDone(name);
    expect(throttledPuts()).toBe(0);
  });

  it('holds something else under the name of an image copies it all the same, and writes its status anew', async () => {
    const prefix = await containers.plan('foreign');
    const { dynamodb } = containers.fleet.account;
    const [target, note] = [`${destinationHost}/${prefix}/${images[0]}:1`, 'a note'];
    const put = (name: string) =>
      dynamodb.putItem({ TableName: statusTable, Item: { target: { S: name }, state: { S: 'from-elsewhere' } } });
    try {
      await put(target);
      const run = await containers.worker(prefix).ended;
      expect(run.status, said(run)).toBe(0);
      await containers.expectDone(prefix);
      // One that no run writes anew is told of, and hides no other.
      await put(note);
      const out = join(containers.fleet.folder, 'out');
      const args = ['status', '--store', `dynamodb:${statusTable}`, '--region', region, '--out', out];
      const env = { ...containers.fleet.environment('worker'), AWS_ACCESS_KEY_ID: 'TEST' };
      const shown = await spawnProgram(args, env);
      expect(shown.status, said(shown)).toBe(0);
      expect(shown.stdout).toContain(target);
      expect(shown.stdout).toContain('holds 1 item that is no status: "a note" (source: ');
    } finally {
      for (const name of [target, note])
        await dynamodb.deleteItem({ TableName: statusTable, Key: { target: { S: name } } });
    }
  });

  const always: Own = ({ service, target }) =>
    service === 'dynamodb' ? refused(refusals[target.length % refusals.length] ?? '') : undefined;
  const fromTheMiddle = (): Own => {
    let begun = false;
    return (request) => {
      begun ||= request.target.endsWith('.UpdateItem');
      return begun ? always(request) : undefined;
    };
  };

  const nothing = (): Own => () => undefined;

  it.each([
    { prefix: 'middle', what: 'is throttled from the middle on, for good', trouble: fromTheMiddle, env: {} },
    { prefix: 'away', what: 'is away', trouble: nothing, env: { AWS_ENDPOINT_URL_DYNAMODB: nowhere } },
  ])(
    '$what copies all images, fails for its status, and its successor writes that',
    async ({ prefix, trouble, env }) => {
      const { destination } = containers.fleet;
      const name = await containers.plan(prefix);
      containers.trouble(trouble());
      const [one, two] = [`token-${name}-1`, `token-${name}-2`];
      const first = await containers.worker(name, { token: one, env }).ended;
      expect(first.status, said(first)).toBe(1);
      expect(lastWord(containers.reports, one), said(first)).toMatchObject({
        operation: 'SendTaskFailure',
        error: 'Failed',
        cause: expect.stringContaining(`the status could not be kept in dynamodb:${statusTable}`) as string,
      });
      expect(images.filter((each) => !destination.tags(`${name}/${each}`).includes('1'))).toEqual([]);
      expect(throttledPuts()).toBe(0);
      expect(await containers.lies(name)).toEqual([]);
      expect((await containers.result(name))?.counts).toMatchObject({ copied: images.length, failed: 0 });

      containers.trouble(() => undefined);
      const written = completedUploads(destination).length;
      const second = await containers.worker(name, { token: two }).ended;
      expect(second.status, said(second)).toBe(0);
      expect(lastWord(containers.reports, two)?.operation).toBe('SendTaskSuccess');
      expect(completedUploads(destination)).toHaveLength(written);
      await containers.expectDone(name);
    },
  );
});

/** Takes the first item of each batch: the others are the answer's UnprocessedItems. */
function takingParts({ fleet }: Containers): Own {
  return async ({ body }) => {
    const { [statusTable]: items = [] } = Batch.parse(JSON.parse(body)).RequestItems;
    const [first, ...rest] = items;
    await fleet.account.dynamodb.batchWriteItem({
      RequestItems: { [statusTable]: first === undefined ? [] : [first] },
    });
    return { status: 200, body: { UnprocessedItems: rest.length === 0 ? {} : { [statusTable]: rest } } };
  };
}
