import type { ExecutionDetail, ExecutionOutcome } from '../../fleet/executions.ts';
import { type FolderState, phaseOf, type ShardState, workOf } from './run-state.ts';

/** What `runs --json` tells on a line of its own. Times are ISO 8601 in UTC, bytes are bytes. */
export type RunDatum = { readonly type: 'execution' | 'run' | 'shard' | 'redrive' } & Readonly<Record<string, unknown>>;

/** An execution as Step Functions tells it; `shards` and `location` where one is asked for. */
export function executionDatum(execution: ExecutionOutcome | ExecutionDetail): RunDatum {
  return { type: 'execution', ...execution };
}

/** A run as its folder tells it, and each of its shards. Outcomes image by image are in the results, and in report.json. */
export function folderData(state: FolderState): readonly RunDatum[] {
  const { location, planning, shards, open, ended } = state;
  const { bytes: bytesWritten, ...counts } = workOf(state);
  const head: RunDatum = { type: 'run', location, ...planning, open, ended, counts, bytesWritten };
  return [head, ...shards.map((shard) => shardDatum(planning.run, shard))];
}

function shardDatum(run: string, shard: ShardState): RunDatum {
  const { item, progress, result, broken } = shard;
  const seen = progress === undefined ? {} : { progress: { ...progress, copied: undefined, killed: undefined } };
  const done =
    result === undefined
      ? {}
      : {
          attempts: result.attempts,
          startedAt: result.startedAt,
          finishedAt: result.finishedAt,
          counts: result.counts,
          totals: result.totals,
          failures: result.failures,
        };
  return { type: 'shard', run, ...item, state: phaseOf(shard), ...done, ...seen, broken };
}
