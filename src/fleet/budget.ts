import type { Aws } from '../aws/clients.ts';
import type { KnownRate } from '../registry/pacer-bucket.ts';
import type { Reservation, SharedRate, ShareRates } from '../registry/pacer-shared.ts';
import { isReplicationError, ReplicationError, toReplicationError } from '../model/errors.ts';
import type { Reporter } from '../report/events.ts';
import { parseStatusLocation } from '../status/status-location.ts';
import { type BudgetClock, type DatedExchange, SharedClock } from './budget-clock.ts';
import { type BudgetState, newBudget, rateAt, sameRefusalMs, slowed, toleranceMs } from './budget-state.ts';
import { type BudgetTable, budgetTable, type Change } from './budget-table.ts';

export interface WriteBudgetOptions {
  readonly aws: () => Aws;
  /** `dynamodb:TABLE`, a table with the partition key `id` (S). */
  readonly place: string;
  /** How many workers there are at most: what one of them may spend by itself while the table cannot be asked. */
  readonly workers: number;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
  /** How long an answer of the table is waited for, in milliseconds. */
  readonly patienceMs?: number;
}

const systemClock: BudgetClock = { now: () => performance.now(), wall: () => Date.now() };

/**
 * The budgets of the registries that a worker writes to, in a DynamoDB table: `transport.shareRates(writeBudgets(…))`.
 * Asks nothing before the first write to a registry whose limit is known. @throws ReplicationError `usage`
 */
export function writeBudgets(options: WriteBudgetOptions): ShareRates {
  const { aws, place, workers, reporter, signal, patienceMs } = options;
  const location = parseStatusLocation(place);
  if (location.kind !== 'dynamodb')
    throw new ReplicationError('usage', `"${place}" is no place for a budget`, { remedy: 'write dynamodb:TABLE' });
  const table = budgetTable(aws, location.table, systemClock, signal, patienceMs);
  return (host, known) => new WriteBudget({ table, host, known, workers, reporter, clock: systemClock });
}

export interface BudgetParts {
  readonly table: BudgetTable;
  /** Registry as addresses write it; its item is `budget#<host>`. */
  readonly host: string;
  readonly known: KnownRate;
  readonly workers: number;
  readonly reporter: Reporter;
  readonly clock: BudgetClock;
}

/** While the table cannot be asked: pause before it is asked again, doubled each time, in milliseconds. */
const askAgain = { firstMs: 5_000, mostMs: 60_000 };
/** A table that does so again and again is named once in so many milliseconds. */
const quietMs = 600_000;
/** Tries to get a word in while other workers do. */
const maxTries = 8;
/** No host's Retry-After keeps all workers for longer than this, in milliseconds. */
const longestPauseMs = 60_000;
/** Nobody reserves so far ahead: an item that says so was written with a wrong clock. In milliseconds. */
const absurdMs = 600_000;

/** An answer of the table that took longer says nothing of the next one's way. In milliseconds. */
const longestWayMs = 1_000;

/** DynamoDB counts in decimals, this program does not: with few digits both come to the same numbers. */
const round = (ms: number): number => Math.round(ms * 1000) / 1000;

const advance = 'rateEpoch = :epoch AND nextAt ';
const spend = 'places = places + :count';

/** A host's rate as all workers spend it: each reserves the next places in time with one conditional write. */
export class WriteBudget implements SharedRate {
  readonly known: KnownRate;
  readonly alone: KnownRate;
  readonly #id: string;
  readonly #parts: BudgetParts;
  readonly #clock: SharedClock;
  /** As the last answer had it. */
  #state: BudgetState | undefined;
  /** Milliseconds from the last question to its answer. */
  #wayMs = 0;
  #failures = 0;
  #quietUntil = Number.NEGATIVE_INFINITY;

  constructor(parts: BudgetParts) {
    const { known, workers } = parts;
    this.#parts = parts;
    this.#id = `budget#${parts.host}`;
    this.#clock = new SharedClock(parts.clock);
    this.known = known;
    this.alone = {
      perSecond: known.perSecond / Math.max(1, workers),
      burst: Math.max(1, Math.floor(known.burst / Math.max(1, workers))),
    };
  }

  async reserve(count: number): Promise<Reservation> {
    try {
      const reservation = await this.#reserve(count);
      this.#failures = 0;
      return reservation;
    } catch (error) {
      return this.#goOnAlone(error);
    }
  }

  async refused(agoMs: number, retryAfterMs: number | undefined): Promise<number> {
    const { known } = this;
    try {
      const state = await this.#change({
        update: 'SET refused = refused + :one',
        condition: 'attribute_exists(id)',
        values: { ':one': 1 },
      });
      const now = this.#clock.now();
      // Another worker was refused for the same reason, and has said so.
      const told = state === undefined || now - state.slowedAt < Math.max(sameRefusalMs, agoMs);
      if (!told) await this.#slow(state, now, Math.min(retryAfterMs ?? 0, longestPauseMs));
    } catch {
      // Whoever asks for places next finds that the table does not answer, and says so.
    }
    return this.#state === undefined ? known.perSecond : rateAt(this.#state, this.#clock.now(), known);
  }

  async #reserve(count: number): Promise<Reservation> {
    let state = this.#state ?? (await this.#read());
    for (let tries = 1; tries <= maxTries; tries += 1) {
      const perSecond = rateAt(state, this.#clock.now(), this.known);
      const intervalMs = round(1000 / perSecond);
      const taken = await this.#take(state, count, round(count * intervalMs));
      if (taken !== undefined) {
        const first = taken.nextAt - count * intervalMs - toleranceMs(this.known) - this.#clock.now();
        const dueMs = Array.from({ length: count }, (_, place) => Math.max(0, first + place * intervalMs));
        return { kind: 'places', dueMs, perSecond };
      }
      state = await this.#read();
    }
    throw new Error(`${maxTries} tries were not enough to get a place between the other workers`);
  }

  /**
   * The next places begin where the last ones end, or now where those are past: `max(nextAt, now)` in two forms, the one
   * first that fits what was last seen. @returns the state then; `undefined` when another rate is in force
   */
  async #take({ nextAt, rateEpoch }: BudgetState, count: number, stepMs: number): Promise<BudgetState | undefined> {
    const now = round(this.#clock.now());
    const values = { ':epoch': rateEpoch, ':count': count };
    const queued: Change = {
      update: `SET nextAt = nextAt + :step, ${spend}`,
      condition: `${advance}>= :now`,
      values: { ...values, ':step': stepMs, ':now': now },
    };
    // The host has saved up all that it can: it is not known to be empty any more. Nobody uses a place before the answer
    // that names it is there, and places from before that would come on top of what has been saved up.
    const idleFrom = now + Math.min(longestWayMs, this.#wayMs);
    const idle = (condition: string, seen: number): Change => ({
      update: `SET nextAt = :end, emptyAt = :none, ${spend}`,
      condition: `${advance}${condition} :seen`,
      values: { ...values, ':end': round(idleFrom + stepMs), ':none': 0, ':seen': seen },
    });
    if (nextAt >= now + absurdMs) return this.#change(idle('=', nextAt));
    const [likely, other] = nextAt >= now ? [queued, idle('<', now)] : [idle('<', now), queued];
    return (await this.#change(likely)) ?? (await this.#change(other));
  }

  /** Only as long as nobody else has changed anything meanwhile: then whoever is refused next does it. */
  async #slow(state: BudgetState, now: number, pauseMs: number): Promise<void> {
    const { update, values } = assignment(slowed(state, now, this.known, pauseMs));
    await this.#change({
      update,
      condition: `${advance}= :seen`,
      values: { ...values, ':epoch': state.rateEpoch, ':seen': state.nextAt },
    });
  }

  async #read(): Promise<BudgetState> {
    const { table } = this.#parts;
    // Before the first answer it is not known how far off this machine's clock is: look first, write then.
    const state = (await table.read(this.#id, this.#learn)) ?? (await this.#create());
    this.#state = state;
    return state;
  }

  readonly #learn = (exchange: DatedExchange): void => {
    this.#wayMs = exchange.answeredAt - exchange.sentAt;
    this.#clock.learn(exchange);
  };

  async #create(): Promise<BudgetState> {
    const fresh = newBudget(round(this.#clock.now()));
    const created = await this.#change({ ...assignment(fresh), condition: 'attribute_not_exists(id)' });
    return created ?? fresh;
  }

  async #change(change: Change): Promise<BudgetState | undefined> {
    const state = await this.#parts.table.change(this.#id, change, this.#learn);
    if (state === undefined) return undefined;
    this.#state = state;
    return state;
  }

  #goOnAlone(error: unknown): Reservation {
    const { host, table, clock, reporter } = this.#parts;
    if (clock.now() >= this.#quietUntil && !isReplicationError(error, 'cancelled')) {
      this.#quietUntil = clock.now() + quietMs;
      const share = `${Number(this.alone.perSecond.toFixed(2))} of ${this.known.perSecond} manifests a second`;
      const { message } = toReplicationError(error);
      reporter.emit({
        type: 'notice',
        level: 'warning',
        message: `the write budget of ${host} in ${table.name} cannot be asked; going on with ${share} by itself (${message})`,
      });
    }
    const forMs = Math.min(askAgain.mostMs, askAgain.firstMs * 2 ** this.#failures);
    this.#failures += 1;
    this.#state = undefined;
    return { kind: 'alone', forMs };
  }
}

function assignment(state: BudgetState): Pick<Change, 'update' | 'values'> {
  const entries = Object.entries(state);
  return {
    update: `SET ${entries.map(([name]) => `${name} = :${name}`).join(', ')}`,
    values: Object.fromEntries(entries.map(([name, value]) => [`:${name}`, round(value)])),
  };
}
