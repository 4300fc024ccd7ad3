import type { ExecutionDetail, ExecutionOutcome } from '../../fleet/executions.ts';
import { formatDuration, oneLine } from '../../report/format.ts';
import { consoleOf } from './worker-place.ts';

/** A part of the ARN: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html The run folders are in it, too. */
export function regionOf(arn: string): string {
  return arn.split(':')[3] ?? '';
}

/** Name of an execution, by its ARN. */
export function runNameOf(arn: string): string {
  return arn.split(':').at(-1) ?? '';
}

/** A line for each, in columns. */
export function listLines(all: readonly ExecutionOutcome[]): readonly string[] {
  const rows = all.map((each) => [each.name, stateOf(each), second(each.started), lasted(each), told(each)]);
  const width = (column: number): number => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  return rows.map((row) =>
    row
      .map((text, column) => text.padEnd(width(column)))
      .join('  ')
      .trimEnd(),
  );
}

/** What Step Functions says of it, and more about one. */
export function executionLines(execution: ExecutionDetail): readonly string[] {
  const { arn, name, started, shards, error, cause, skippedFor } = execution;
  const region = regionOf(arn);
  const time = lasted(execution);
  const again = execution.redriveOf === undefined ? '' : `, redrive of ${lastPart(execution.redriveOf)}`;
  return [
    `${name}: ${stateOf(execution)}${time === '' ? '' : ` in ${time}`}, from ${second(started)}${again}`,
    ...(skippedFor === undefined ? [] : [`it has done nothing: ${skippedFor} was at work`]),
    ...(shards === undefined
      ? []
      : [
          `shards: ${shards.succeeded} of ${shards.total} done, ${shards.failed} failed, ${shards.running} running, ${shards.pending} waiting`,
        ]),
    ...(error === undefined ? [] : [`${error}: ${cause ?? ''}`]),
    `${consoleOf(region)}/states/home?region=${region}#/v2/executions/details/${arn}`,
  ];
}

function stateOf({ status, skippedFor }: ExecutionOutcome): string {
  return skippedFor === undefined ? status.toLowerCase().replaceAll('_', ' ') : 'skipped';
}

/** ISO 8601, to the second. */
function second(time: string): string {
  return time.replace(/\.\d+Z$/, 'Z');
}

function lasted({ started, ended }: ExecutionOutcome): string {
  return ended === undefined ? '' : formatDuration((Date.parse(ended) - Date.parse(started)) / 1000);
}

const longest = 160;

/** What a line of the list says beyond state and time. */
function told({ skippedFor, redriveOf, counts, error, cause }: ExecutionOutcome): string {
  if (skippedFor !== undefined) return `${runNameOf(skippedFor)} was at work`;
  const why = error === undefined ? [] : [oneLine(`${error}: ${firstSentence(cause ?? '')}`).slice(0, longest)];
  return [
    ...(redriveOf === undefined ? [] : [`redrive of ${lastPart(redriveOf)}`]),
    ...(counts === undefined
      ? []
      : [`${counts.copied} copied, ${counts.unchanged} unchanged, ${counts.failed} failed`]),
    ...why,
  ].join('; ');
}

function firstSentence(text: string): string {
  return text.split(/(?<=\.)\s/, 1)[0] ?? '';
}

function lastPart(location: string): string {
  return location.split('/').at(-1) ?? location;
}
