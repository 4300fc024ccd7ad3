import { mostShards } from './partition.ts';

/** One limit, and how much of it a run takes. */
export interface LimitUse {
  readonly what: string;
  readonly used: number;
  readonly limit: number;
}

export interface MapRunOptions {
  /** Times that a child's task is started at most: the first and its retries. Default 4. */
  readonly attempts?: number | undefined;
  /** States that the state machine passes around its map. Default 16. */
  readonly states?: number | undefined;
  /** Characters of a container's command and environment, apart from the shard's address and the task token. Default 1,024. */
  readonly overrides?: number | undefined;
}

const kibibyte = 1024;
/**
 * https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html: input and output of a state, events of an execution,
 * the file that a map reads. https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html: characters of overrides, in
 * which a token has up to https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html.
 */
const limits = {
  children: mostShards,
  payloadBytes: 256 * kibibyte,
  fileBytes: 10 * kibibyte ** 3,
  events: 25_000,
  overrideCharacters: 8192,
  tokenCharacters: 2048,
} as const;

/** Context that a child's input has beside the item: bucket and key of a redrive, names. Bytes, generously. */
const itemSurroundings = 4 * kibibyte;
/** TaskScheduled, TaskStarted, TaskSubmitted, and TaskSucceeded, TaskFailed or TaskTimedOut. */
const eventsOfAttempt = 4;
/** ExecutionStarted and its end; the state's entry and exit. */
const eventsAroundTask = 4;
/** MapStateEntered, -Started, MapRunStarted, its end, MapStateSucceeded, -Exited: children have histories of their own. */
const eventsOfMap = 6;

/**
 * What a run of these shards takes of the limits of Step Functions and ECS.
 * @param items what `shards.json` holds, an item for each shard; `shard` is its address
 */
export function mapRunUses(
  items: readonly { readonly shard: string }[],
  options: MapRunOptions = {},
): readonly LimitUse[] {
  const { attempts = 4, states = 16, overrides = kibibyte } = options;
  const largestItem = largest(items.map((item) => Buffer.byteLength(JSON.stringify(item))));
  const longestAddress = largest(items.map(({ shard }) => JSON.stringify(shard).length));
  return [
    { what: 'children of the map', used: items.length, limit: limits.children },
    { what: 'bytes of shards.json', used: Buffer.byteLength(JSON.stringify(items)), limit: limits.fileBytes },
    { what: "bytes of a child's input", used: largestItem + itemSurroundings, limit: limits.payloadBytes },
    {
      what: "events in a child's history",
      used: eventsAroundTask + attempts * eventsOfAttempt,
      limit: limits.events,
    },
    {
      what: "events in the run's history",
      used: eventsOfMap + states * (eventsAroundTask + attempts * eventsOfAttempt),
      limit: limits.events,
    },
    {
      what: "characters of a task's overrides",
      used: overrides + longestAddress + limits.tokenCharacters,
      limit: limits.overrideCharacters,
    },
  ];
}

/** Those that are exceeded, as text; empty when a run of these shards is possible. */
export function exceededLimits(uses: readonly LimitUse[]): readonly string[] {
  const text = (value: number): string => value.toLocaleString('en-US');
  return uses
    .filter(({ used, limit }) => used > limit)
    .map(({ what, used, limit }) => `${what}: ${text(used)} of ${text(limit)}`);
}

/**
 * Whether the map has to write what its children return to S3 (ResultWriter), because all of it together is no payload.
 * @param bytes of what one child returns, its surroundings included
 */
export function needsResultWriter(children: number, bytes: number): boolean {
  return children * bytes > limits.payloadBytes;
}

function largest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, value), 0);
}
