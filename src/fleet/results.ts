import type { Failure, Outcome, Totals } from '../model/result.ts';
import { counted } from '../report/format.ts';
import type { Counts, Planning, Shard, ShardItem, ShardProgress, ShardResult, Unfinished } from './shard.ts';

/** Adds up what two attempts or shards did. */
export type AddTotals = (a: Totals, b: Totals) => Totals;

/** What an attempt at a shard did. */
export interface Attempt {
  readonly attempt: number;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly outcomes: readonly Outcome[];
  /** Of images and of the worker itself. */
  readonly failures: readonly Failure[];
  readonly notices: readonly string[];
  readonly totals: Totals | undefined;
  /** What attempts since the result before did, and were killed. */
  readonly killed?: Unfinished | undefined;
}

/** What is known of attempts that have left a note and no result. @param before the result that there is */
export function unfinished(note: ShardProgress | undefined, before: ShardResult | undefined): Unfinished | undefined {
  if (note === undefined || note.attempt <= (before?.attempts ?? 0)) return undefined;
  const { killed, startedAt, copied = [], bytesRead = 0, bytesWritten } = note;
  return {
    startedAt: killed?.startedAt ?? startedAt,
    copied: [...(killed?.copied ?? []), ...copied],
    bytesRead: (killed?.bytesRead ?? 0) + bytesRead,
    bytesWritten: (killed?.bytesWritten ?? 0) + bytesWritten,
  };
}

/**
 * The result of a shard after one more attempt. What an earlier one has copied and this one found as it is stays copied: it
 * was this run that copied it. So does what this one never looked at, having been stopped or ended by its surroundings.
 */
export function resultOf(shard: Shard, done: Attempt, before: ShardResult | undefined, add: AddTotals): ShardResult {
  const ended = (before?.outcomes ?? []).flatMap((each) => (each.kind === 'failed' ? [] : [each]));
  // An image that was copied again is so since then.
  const earlier = new Map([...ended, ...copiedBy(done.killed, shard)].map((outcome) => [keyOf(outcome), outcome]));
  const found = [...earlier.values()];
  const reached = new Set(done.outcomes.map(keyOf));
  const outcomes = [
    ...done.outcomes.map((outcome): Outcome => {
      const known = earlier.get(keyOf(outcome));
      return known !== undefined && addsNothing(outcome, known) ? known : outcome;
    }),
    ...found.filter((outcome) => !reached.has(keyOf(outcome))),
  ];
  return {
    version: shard.version,
    run: shard.run,
    index: shard.index,
    attempts: done.attempt,
    startedAt: before?.startedAt ?? done.killed?.startedAt ?? done.startedAt,
    finishedAt: done.finishedAt,
    counts: countsOf(shard.images.length, outcomes),
    totals: sumOf([before?.totals, totalsOf(done.killed), done.totals], add),
    failures: [...done.failures],
    outcomes: outcomes.map((each) => plain(each)),
    notices: [...done.notices],
  };
}

function copiedBy(killed: Unfinished | undefined, { images }: Shard): readonly Exclude<Outcome, { kind: 'failed' }>[] {
  return (killed?.copied ?? []).flatMap(({ image, digest, bytes, seconds }) => {
    const planned = images[image];
    if (planned === undefined) return [];
    return [{ kind: 'copied', artifact: planned.source, targets: planned.targets, digest, bytes, seconds }];
  });
}

/** Bytes are what a killed worker's notes tell; how many blobs and manifests they were, they do not. */
function totalsOf(killed: Unfinished | undefined): Totals | undefined {
  if (killed === undefined) return undefined;
  const { bytesRead, bytesWritten } = killed;
  const nothing = { blobsRead: 0, blobsWritten: 0, blobsMounted: 0, manifestsWritten: 0, seconds: 0 };
  const spent = { reading: 0, writing: 0, limited: 0, limitedBy: undefined, cpu: 0 };
  return { ...nothing, bytesRead, bytesWritten, spent };
}

/** It is as it was, or was not looked at: the attempt was told to stop before. */
function addsNothing(outcome: Outcome, earlier: Exclude<Outcome, { kind: 'failed' }>): boolean {
  if (outcome.kind === 'unchanged') return outcome.digest === earlier.digest;
  return outcome.kind === 'failed' && outcome.failures.every(({ code }) => code === 'cancelled' || code === 'deadline');
}

/** What was not begun has failed, too: it is not known to be at the target. */
function countsOf(images: number, outcomes: readonly Outcome[]): Counts {
  const of = (kind: Outcome['kind']): number => outcomes.filter((each) => each.kind === kind).length;
  const [copied, unchanged] = [of('copied'), of('unchanged')];
  return { copied, unchanged, failed: Math.max(0, images - copied - unchanged) };
}

function keyOf({ artifact, targets }: Outcome): string {
  return [artifact, ...targets].join('\n');
}

/** Without the model's read-only lists, which a schema does not know. */
function plain(outcome: Outcome): ShardResult['outcomes'][number] {
  const targets = [...outcome.targets];
  return outcome.kind === 'failed' ? { ...outcome, targets, failures: [...outcome.failures] } : { ...outcome, targets };
}

function sumOf(totals: readonly (Totals | undefined)[], add: AddTotals): Totals | undefined {
  return totals
    .filter((each) => each !== undefined)
    .reduce<Totals | undefined>((sum, each) => (sum === undefined ? each : add(sum, each)), undefined);
}

/** A run as its folder tells it. */
export interface RunSummary {
  readonly run: string;
  readonly job: string;
  readonly counts: Counts;
  /** Images that need no worker are among those. */
  readonly totals: Totals | undefined;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly outcomes: readonly Outcome[];
  readonly failures: readonly Failure[];
  readonly notices: readonly string[];
  /** Shards with a failure or without a result: what a redrive does again. */
  readonly failed: readonly ShardItem[];
  /** Those of them without a result. */
  readonly missing: readonly number[];
  readonly attempts: number;
}

/** What workers have left, by the numbers of their shards. */
export interface Left {
  readonly results: ReadonlyMap<number, ShardResult>;
  /** Why a result that is there counts for nothing. */
  readonly broken: ReadonlyMap<number, string>;
  /** What to do about a shard without a result. */
  readonly remedy: (index: number) => string;
}

/** Puts the shards' results together. */
export function summaryOf(planning: Planning, items: readonly ShardItem[], left: Left, add: AddTotals): RunSummary {
  const { results } = left;
  const known = items.flatMap(({ index }) => results.get(index) ?? []);
  const missing = items.filter(({ index }) => !results.has(index));
  const unlike = items.flatMap((item) => unlikePlanned(item, results.get(item.index)) ?? []);
  const failed = items.filter((item) => {
    const result = results.get(item.index);
    if (result === undefined || unlikePlanned(item, result) !== undefined) return true;
    return result.failures.length > 0 || result.counts.failed > 0;
  });
  const sum = (of: (counts: Counts) => number): number => known.reduce((total, { counts }) => total + of(counts), 0);
  const lost =
    missing.reduce((total, { images }) => total + images, 0) + unlike.reduce((total, { images }) => total + images, 0);
  return {
    run: planning.run,
    job: planning.job,
    counts: {
      copied: sum(({ copied }) => copied),
      unchanged: sum(({ unchanged }) => unchanged) + planning.unchanged,
      failed: sum((counts) => counts.failed) + lost + planning.failures.length,
    },
    totals: sumOf(
      known.map(({ totals }) => totals),
      add,
    ),
    startedAt: planning.plannedAt,
    finishedAt: known.map(({ finishedAt }) => finishedAt).reduce((a, b) => (a > b ? a : b), planning.plannedAt),
    outcomes: known.flatMap(({ outcomes }) => outcomes),
    failures: [
      ...planning.failures,
      ...known.flatMap(({ failures }) => failures),
      ...missing.map((item) => withoutResult(item, left)),
      ...unlike.map(({ failure }) => failure),
    ],
    notices: [...new Set(known.flatMap(({ notices }) => notices))],
    failed,
    missing: missing.map(({ index }) => index),
    attempts: known.reduce((total, { attempts }) => total + attempts, 0),
  };
}

function withoutResult({ shard, index, images }: ShardItem, { broken, remedy }: Left): Failure {
  const why = broken.get(index);
  const what =
    why === undefined ? 'no worker has brought this shard to an end' : `its result counts for nothing: ${why}`;
  return {
    artifact: shard,
    side: 'module',
    reference: shard,
    digest: undefined,
    host: undefined,
    code: 'unavailable',
    cause: `${what}${why === undefined ? ':' : ';'} nothing is known of its ${counted(images, 'image')}`,
    remedy: remedy(index),
  };
}

/**
 * A worker believes its shard. That is not the one that was planned where somebody has changed it, or where planning into the
 * folder anew broke off: images that belong to no shard any more would be missing without a word.
 * @returns how many images nobody has looked at, and the failure
 */
function unlikePlanned(
  { shard, images }: ShardItem,
  result: ShardResult | undefined,
): { readonly images: number; readonly failure: Failure } | undefined {
  if (result === undefined) return undefined;
  const { copied, unchanged, failed } = result.counts;
  const had = copied + unchanged + failed;
  if (had === images) return undefined;
  const failure: Failure = {
    artifact: shard,
    side: 'module',
    reference: shard,
    digest: undefined,
    host: undefined,
    code: 'corrupt',
    cause: `its worker was given ${counted(had, 'image')}, and ${images} were planned: the shard was changed since`,
    remedy: 'plan the run anew, into a folder of its own',
  };
  return { images: Math.max(0, images - had), failure };
}
