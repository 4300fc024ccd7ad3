/** Longest pause that we let a server ask for, in milliseconds. */
const capMs = 60_000;

/**
 * Retry-After in milliseconds (RFC 9110 section 10.2.3: seconds, or a date), at most one minute; `undefined` when there is
 * none or it makes no sense.
 * @param wallNow the time now in milliseconds since 1970, to compare a date with
 */
export function retryAfterMs(header: string | readonly string[] | undefined, wallNow: number): number | undefined {
  const text = (typeof header === 'string' ? header : header?.[0])?.trim();
  if (text === undefined || text === '') return undefined;
  // Zero, and a date that has passed, say nothing of when: then our own back-off counts.
  if (/^\d+(?:\.\d+)?$/.test(text)) return Math.min(capMs, Number(text) * 1000) || undefined;
  // Go durations such as "208.569µs" or "1m0s" (ghcr.io) and other inventions count as no answer, dates must look like one.
  if (!/^[A-Za-z]{3}/.test(text)) return undefined;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.min(capMs, Math.max(0, date - wallNow)) || undefined;
}
