import type { ProgressCounters } from './events.ts';
import { counted, formatBytes, formatDuration, formatRate, shortened } from './format.ts';
import type { Tally } from './tally.ts';

/** Seconds over which the rate is measured. */
const window = 5;

interface Sample {
  readonly seconds: number;
  readonly bytes: number;
  readonly artifacts: number;
}

export interface Speed {
  /** Bytes sent per second. */
  readonly bytes: number;
  readonly artifacts: number;
  /** Seconds over which it was measured. */
  readonly over: number;
}

/** What is measured over fewer seconds says nothing of the time that is left. */
const sureAfter = 2;

/** Measures speed over the last seconds from samples that are taken now and then. */
export class SpeedMeter {
  readonly #samples: Sample[] = [];

  sample(seconds: number, counters: ProgressCounters): Speed {
    // The time until anything moves (planning, looking at registries) is no part of the speed.
    if (this.#samples.every(({ bytes, artifacts }) => bytes === 0 && artifacts === 0))
      this.#samples.splice(0, this.#samples.length - 1);
    this.#samples.push({ seconds, bytes: counters.writtenBytes, artifacts: counters.artifactsDone });
    // The oldest sample may be older than the window, so that there is always one to compare with.
    while (this.#samples.length > 2 && (this.#samples[1]?.seconds ?? seconds) <= seconds - window)
      this.#samples.shift();
    const oldest = this.#samples[0];
    const elapsed = seconds - (oldest?.seconds ?? seconds);
    if (oldest === undefined || elapsed <= 0) return { bytes: 0, artifacts: 0, over: 0 };
    // A broken upload takes its bytes back from the counter.
    return {
      bytes: Math.max(0, (counters.writtenBytes - oldest.bytes) / elapsed),
      artifacts: (counters.artifactsDone - oldest.artifacts) / elapsed,
      over: elapsed,
    };
  }
}

/** `12 of 40 artifacts, 345 MB of 1.20 GB, 61.2 MB/s, about 14 s left` */
export function progressText(counters: ProgressCounters, speed: Speed): string {
  const { artifactsDone, artifactsTotal, expectedBytes, writtenBytes } = counters;
  const parts = [`${artifactsDone} of ${counted(artifactsTotal, 'artifact')}`];
  if (expectedBytes > 0)
    parts.push(`${formatBytes(writtenBytes)} of ${formatBytes(Math.max(expectedBytes, writtenBytes))}`);
  if (speed.bytes > 0) parts.push(formatRate(speed.bytes));
  const left = secondsLeft(counters, speed);
  if (left !== undefined) parts.push(`about ${formatDuration(left)} left`);
  return parts.join(', ');
}

/** By bytes while bytes are missing, then by artifacts (their manifests are what is left). */
function secondsLeft(counters: ProgressCounters, speed: Speed): number | undefined {
  if (speed.over < sureAfter) return undefined;
  const bytes = counters.expectedBytes - counters.writtenBytes;
  if (bytes > 0) return speed.bytes > 0 ? bytes / speed.bytes : undefined;
  const artifacts = counters.artifactsTotal - counters.artifactsDone;
  return artifacts > 0 && speed.artifacts > 0 ? artifacts / speed.artifacts : undefined;
}

/** Hosts whose rate limit requests wait for now, with the last reason that they gave. */
export function waitingText(counters: ProgressCounters, tally: Tally): string | undefined {
  const hosts = [...counters.throttled].filter(([, count]) => count > 0).sort(([, a], [, b]) => b - a);
  if (hosts.length === 0) return undefined;
  const texts = hosts.map(([host, count]) => {
    const reason = tally.reasons.get(host);
    return `${counted(count, 'request')} at ${host}${reason === undefined ? '' : ` (${whyOf(reason)})`}`;
  });
  return `waiting for a rate limit: ${shortened(texts, 3).join(', ')}`;
}

/** `rate limit (429)` behind "waiting for a rate limit" says only the number. */
function whyOf(reason: string): string {
  return /^rate limit \((.*)\)$/.exec(reason)?.[1] ?? reason;
}

/** What was repeated so far, by host and reason. */
export function retriesText(tally: Tally, most: number): string | undefined {
  const counts = [...tally.retries.values()].sort((a, b) => b.count - a.count);
  if (counts.length === 0) return undefined;
  const texts = counts.map(({ host, reason, count }) => `${host} ${count} × ${reason}`);
  return `repeated: ${shortened(texts, most).join(', ')}`;
}
