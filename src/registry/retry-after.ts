/** Longest pause that we let a server ask for, in milliseconds. */
const capMs = 60_000;
/** Who asks for longer than this, in milliseconds, does not mean a pause but an end: a daily limit, or no good. */
const longMs = 120_000;

/**
 * Retry-After in milliseconds (RFC 9110 section 10.2.3: seconds, or a date), at most one minute; `undefined` when there is
 * none or it makes no sense.
 * @param wallNow the time now in milliseconds since 1970, to compare a date with
 */
export function retryAfterMs(header: string | readonly string[] | undefined, wallNow: number): number | undefined {
  const asked = askedMs(header, wallNow);
  return asked === undefined ? undefined : Math.min(capMs, asked);
}

/** Whether a Retry-After is longer than anybody would wait for. */
export function isLongRetryAfter(header: string | readonly string[] | undefined, wallNow: number): boolean {
  return (askedMs(header, wallNow) ?? 0) > longMs;
}

function askedMs(header: string | readonly string[] | undefined, wallNow: number): number | undefined {
  const text = (typeof header === 'string' ? header : header?.[0])?.trim();
  if (text === undefined || text === '') return undefined;
  // Zero, and a date that has passed, say nothing of when: then our own back-off counts.
  if (/^\d+(?:\.\d+)?$/.test(text)) return Number(text) * 1000 || undefined;
  // Go durations such as "208.569µs" or "1m0s" (ghcr.io) and other inventions count as no answer, dates must look like one.
  if (!/^[A-Za-z]{3}/.test(text)) return undefined;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - wallNow) || undefined;
}
