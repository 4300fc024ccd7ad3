import type { Failure, Outcome, Totals } from '../model/result.ts';
import type { RunEvent } from './events.ts';
import { counted, formatBytes, formatDuration, formatRate, lines, oneLine, shortened } from './format.ts';
import { retriesText } from './progress.ts';
import { isMeasured, spentText } from './spent-text.ts';
import type { Tally } from './tally.ts';

/** One line for an artifact that is done with. */
export function outcomeLine(outcome: Outcome): string {
  const kind = outcome.kind.padEnd(9);
  if (outcome.kind === 'failed') {
    const cause = outcome.failures[0]?.cause;
    return `${kind}  ${outcome.artifact}${cause === undefined ? '' : `: ${oneLine(cause)}`}`;
  }
  const [first, ...more] = outcome.targets;
  const target = `${first ?? ''}${more.length > 0 ? ` and ${counted(more.length, 'more name')}` : ''}`;
  const cost = outcome.kind === 'copied' ? `  (${formatBytes(outcome.bytes)}, ${formatDuration(outcome.seconds)})` : '';
  return `${kind}  ${outcome.artifact} -> ${target}${cost}`;
}

/** One line for a plan: how much there is, and from how many hosts. */
export function planLine(plan: Extract<RunEvent, { type: 'planned' }>): string {
  const what = [counted(plan.images, 'image'), ...(plan.charts > 0 ? [counted(plan.charts, 'chart')] : [])];
  const from = plan.sources.length > 0 ? ` from ${shortened(plan.sources, 8).join(', ')}` : '';
  return `planned: ${what.join(' and ')} under ${counted(plan.targets, 'name')}${from}`;
}

/** What is said at the end of a run. */
export function summaryLines(
  event: Extract<RunEvent, { type: 'run-finished' }>,
  tally: Tally,
  warnings: readonly string[],
  seconds: number,
): readonly string[] {
  const retries = retriesText(tally, 5);
  return [
    '',
    headline(event, tally, seconds),
    ...counts(tally),
    ...(event.totals === undefined ? [] : totalsLines(event.totals)),
    ...(retries === undefined ? [] : [`  ${retries}`]),
    ...section('warnings', shortened(warnings, 20)),
    ...failureLines(event.failures),
    ...section('files', event.files ?? []),
  ];
}

function headline(event: Extract<RunEvent, { type: 'run-finished' }>, tally: Tally, seconds: number): string {
  const time = formatDuration(seconds);
  if (!event.ok && event.failures.length > 0 && event.failures.every(isStop)) {
    const left = [...tally.outcomes.values()].filter(isLeft).length;
    return `${event.job}: STOPPED after ${time}${left === 0 ? '' : ` with ${counted(left, 'artifact')} left`}`;
  }
  if (!event.ok) return `${event.job}: FAILED with ${counted(event.failures.length, 'failure')} after ${time}`;
  const done = tally.outcomes.size;
  if (done > 0 && tally.ofKind('unchanged').length === done) {
    return `${event.job}: done in ${time}, nothing to copy: the target holds all ${counted(done, 'artifact')} already`;
  }
  return `${event.job}: done in ${time}`;
}

function counts(tally: Tally): readonly string[] {
  const line = (kind: string, count: number): readonly string[] =>
    count === 0 ? [] : [`  ${kind.padEnd(9)}  ${counted(count, 'artifact')}`];
  const copied = tally.ofKind('copied');
  const left = [...tally.outcomes.values()].filter(isLeft).length;
  // What changed is worth its names; what failed is told below.
  return [
    ...line('copied', copied.length),
    ...shortened(copied, 10).map((name) => `             ${name}`),
    ...line('unchanged', tally.ofKind('unchanged').length),
    ...line('failed', tally.ofKind('failed').length - left),
    ...line('left', left),
  ];
}

/** A failure that is none: the run was told to stop before. */
function isStop({ code }: Failure): boolean {
  return code === 'cancelled' || code === 'deadline';
}

/** An artifact that the run did not get to, or not to its end, because it was told to stop. */
export function isLeft(outcome: Outcome): boolean {
  return outcome.kind === 'failed' && outcome.failures.length > 0 && outcome.failures.every(isStop);
}

function totalsLines(totals: Totals): readonly string[] {
  const { bytesRead, bytesWritten, blobsWritten, blobsMounted, manifestsWritten, seconds } = totals;
  if (bytesRead === 0 && bytesWritten === 0 && manifestsWritten === 0) return [];
  const rate = seconds > 0 ? `, ${formatRate(bytesWritten / seconds)}` : '';
  const mounted = blobsMounted > 0 ? `, ${blobsMounted} mounted` : '';
  return [
    `  moved      ${formatBytes(bytesRead)} read, ${formatBytes(bytesWritten)} sent${rate}; ` +
      `${counted(blobsWritten, 'blob')} sent${mounted}, ${counted(manifestsWritten, 'manifest')} (1 MB = 1,000,000 bytes)`,
    ...(isMeasured(totals.spent) ? [`  time       ${spentText(totals)}`] : []),
  ];
}

function section(title: string, items: readonly string[]): readonly string[] {
  return items.length === 0 ? [] : ['', `${title}:`, ...items.map((item) => `  ${item}`)];
}

/** Every failure in full: where, which, why, and what to do; what is the same for several artifacts once. */
function failureLines(failures: readonly Failure[]): readonly string[] {
  if (failures.length === 0) return [];
  const alike = new Map<string, Failure[]>();
  for (const failure of failures) {
    const key = JSON.stringify([failure.code, failure.cause, failure.remedy]);
    const known = alike.get(key);
    if (known === undefined) alike.set(key, [failure]);
    else known.push(failure);
  }
  const blocks = [...alike.values()].flatMap((each, index) => failureBlock(each, index + 1));
  return ['', failures.every(isStop) ? 'left:' : 'failures:', ...blocks];
}

function failureBlock(failures: readonly Failure[], number: number): readonly string[] {
  const mark = `${String(number).padStart(3)}. `;
  const indent = ' '.repeat(mark.length);
  const [failure, ...more] = failures;
  if (failure === undefined) return [];
  const remedy =
    failure.remedy === undefined
      ? []
      : lines(failure.remedy).map((line, index) => `${indent}${index === 0 ? 'what to do: ' : '  '}${line}`);
  if (more.length > 0) {
    return [
      `${mark}${counted(failures.length, 'artifact')} (${failure.code})`,
      ...lines(failure.cause).map((line) => `${indent}${line}`),
      ...remedy,
      ...failures.map(({ artifact }) => `${indent}  ${artifact}`),
    ];
  }
  const where = failure.host === undefined ? failure.side : `${failure.side} ${failure.host}`;
  // What the heading says already is not said again.
  const detail = (label: string, text: string | undefined): readonly string[] =>
    text === undefined || failure.artifact.includes(text) ? [] : [`${indent}${label}: ${text}`];
  return [
    `${mark}${failure.artifact} (${where}, ${failure.code})`,
    ...lines(failure.cause).map((line) => `${indent}${line}`),
    ...detail('reference', failure.reference),
    ...detail('digest', failure.digest),
    ...remedy,
  ];
}
