import { setMaxListeners } from 'node:events';
import { ReplicationError } from '../src/model/errors.ts';
import { Pacer } from '../src/registry/pacer.ts';
import type { RunEvent } from '../src/report/events.ts';
import { AnswerError } from '../src/testing/answer.ts';
import { dynamodbItems } from '../src/testing/dynamodb-items.ts';
import { type ManualClock, manualClock } from '../src/testing/manual-clock.ts';
import { WriteBudget } from '../src/fleet/budget.ts';
import { BudgetState } from '../src/fleet/budget-state.ts';
import type { BudgetTable, Watch } from '../src/fleet/budget-table.ts';

/** When the clock shows 0. */
const epoch = Date.UTC(2026, 0, 1);
const table = 'coordination';

/** A registry that takes manifests by a token bucket, as ECR does. */
export interface SimulatedHost {
  perSecond: number;
  burst: number;
  accepted: number;
  refused: number;
  /** When the last one was accepted, in milliseconds. */
  lastAt: number;
}

export interface SimulatedTable {
  requests: number;
  /** Milliseconds to the table, and back: once to three times as many. */
  leastMs: number;
  /** Whether a request is answered with a throttling exception. */
  throttled: () => boolean;
}

export interface WorkerSpec {
  readonly name: string;
  readonly manifests: number;
  /** When it starts, in milliseconds. */
  readonly startsAt?: number;
  /** How far its clock is ahead of the true time, in milliseconds. */
  readonly skewMs?: number;
  /** Milliseconds to the host, and back. */
  readonly oneWayMs?: number;
  /** Killed at this time: whatever it holds is lost. */
  readonly diesAt?: number;
}

/** Workers with real pacers and budgets, around a simulated table and a simulated registry, in simulated time. */
export class SimulatedFleet {
  readonly clock: ManualClock;
  readonly host: SimulatedHost = { perSecond: 10, burst: 10, accepted: 0, refused: 0, lastAt: 0 };
  readonly table: SimulatedTable = { requests: 0, leastMs: 3, throttled: () => false };
  readonly events: RunEvent[] = [];
  readonly doneBy = new Map<string, number>();
  readonly #random = dice();
  readonly #items = dynamodbItems();
  readonly #workers: number;
  #tokens = 10;
  #filledAt = 0;
  #missing = 0;

  constructor(workers: number) {
    this.#workers = workers;
    this.clock = manualClock(40, this.#random);
  }

  /** Lets all workers run to their end. @throws Error when they do not come to one within an hour */
  async run(specs: readonly WorkerSpec[], meanwhile: (now: number) => void = () => undefined): Promise<void> {
    const all = specs.map((spec) => this.#work(spec));
    for (let now = 0; this.#missing > 0; now += 100) {
      if (now > 3_600_000) throw new Error(`${this.#missing} manifests are missing after an hour`);
      meanwhile(now);
      await this.clock.advance(100);
    }
    await Promise.all(all);
  }

  /** What the host takes of so many at best, in seconds. */
  floor(manifests: number): number {
    return Math.max(0, manifests - this.host.burst) / this.host.perSecond;
  }

  async #work(spec: WorkerSpec): Promise<void> {
    const { name, manifests, startsAt = 0, skewMs = 0, oneWayMs = 40, diesAt = Number.POSITIVE_INFINITY } = spec;
    const { clock, host } = this;
    this.#missing += manifests;
    await clock.pass(startsAt);
    const budget = new WriteBudget({
      table: this.#client(),
      host: '123456789012.dkr.ecr.eu-central-1.amazonaws.com',
      known: { perSecond: 10, burst: 10 },
      workers: this.#workers,
      reporter: { emit: (event) => void this.events.push(event) },
      clock: { now: () => clock.now(), wall: () => epoch + clock.now() + skewMs },
    });
    const pacer = new Pacer({ concurrency: 32, baseMs: 400, maxMs: 20_000, clock, shared: budget });
    const dead = new AbortController();
    setMaxListeners(0, dead.signal);
    const put = async (again: boolean): Promise<void> => {
      const ticket = await pacer.admit(dead.signal, again);
      await clock.pass(oneWayMs * (0.5 + this.#random()));
      const taken = this.#take();
      await clock.pass(oneWayMs * (0.5 + this.#random()));
      if (dead.signal.aborted) return;
      if (taken) pacer.succeeded(ticket);
      else pacer.throttled(ticket, undefined);
      pacer.release(ticket);
      if (!taken) return put(true);
      this.doneBy.set(name, (this.doneBy.get(name) ?? 0) + 1);
      host.lastAt = clock.now();
      this.#missing -= 1;
    };
    const puts = Array.from({ length: manifests }, () => put(false).catch(() => undefined));
    if (diesAt !== Number.POSITIVE_INFINITY) {
      await clock.pass(diesAt - startsAt);
      dead.abort();
      this.#missing -= manifests - (this.doneBy.get(name) ?? 0);
    } else await Promise.all(puts);
  }

  #take(): boolean {
    const { host, clock } = this;
    const now = clock.now();
    this.#tokens = Math.min(host.burst, this.#tokens + ((now - this.#filledAt) * host.perSecond) / 1000);
    this.#filledAt = now;
    if (this.#tokens < 1) {
      host.refused += 1;
      return false;
    }
    this.#tokens -= 1;
    host.accepted += 1;
    return true;
  }

  /** A worker's way to the table; answers are dated to the second. */
  #client(): BudgetTable {
    const send = async (operation: string, id: string, input: object, watch: Watch): Promise<unknown> => {
      this.table.requests += 1;
      const sentAt = this.clock.now();
      await this.clock.pass(this.table.leastMs * (1 + 2 * this.#random()));
      const date = Math.floor((epoch + this.clock.now()) / 1000) * 1000;
      const answer = this.table.throttled() ? undefined : this.#answer(operation, { ...input, id });
      await this.clock.pass(this.table.leastMs * (1 + 2 * this.#random()));
      watch({ sentAt, answeredAt: this.clock.now(), date });
      if (answer === undefined)
        throw new ReplicationError(
          'throttled',
          `dynamodb:${operation} on ${table}: still throttled after all attempts`,
        );
      return answer;
    };
    return {
      name: `dynamodb:${table}`,
      read: async (id, watch) => stateOf(await send('GetItem', id, {}, watch)),
      change: async (id, { update, condition, values }, watch) => {
        const ExpressionAttributeValues = Object.fromEntries(
          Object.entries(values).map(([name, value]) => [name, { N: String(value) }]),
        );
        const input = { UpdateExpression: update, ConditionExpression: condition, ExpressionAttributeValues };
        return stateOf(await send('UpdateItem', id, input, watch));
      },
    };
  }

  /** The numbers after the operation; empty where its condition did not hold, or nothing is there. */
  #answer(operation: string, { id, ...input }: { readonly id: string }): Readonly<Record<string, number>> {
    try {
      this.#items.answer(operation, { TableName: table, Key: { id: { S: id } }, ...input });
      return this.#items.numbers(table, id) ?? {};
    } catch (error) {
      if (error instanceof AnswerError) return {};
      throw error;
    }
  }
}

function stateOf(numbers: unknown): BudgetState | undefined {
  return BudgetState.safeParse(numbers).data;
}

/** The same throws every time (Lehmer's generator). */
function dice(): () => number {
  let seed = 42;
  return () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
}
