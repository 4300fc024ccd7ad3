import type { Totals } from '../model/result.ts';
import { formatDuration } from './format.ts';

/** Seconds during which each went on. They overlap, so they do not add up to the whole. */
type Spent = Omit<Totals['spent'], 'limitedBy'> & { readonly limitedBy?: string | undefined };

/** Where the time of copying went. */
export function spentText({ seconds, spent }: { readonly seconds: number; readonly spent: Spent }): string {
  const parts = [`${formatDuration(seconds)} to copy`];
  if (spent.reading > 0) parts.push(`reading from sources in ${formatDuration(spent.reading)} of it`);
  if (spent.writing > 0) parts.push(`writing to targets in ${formatDuration(spent.writing)}`);
  if (spent.limited >= 0.05)
    parts.push(`waiting for the rate limit of ${spent.limitedBy ?? 'a host'} in ${formatDuration(spent.limited)}`);
  parts.push(`processor ${formatDuration(spent.cpu)}`);
  return parts.join(', ');
}

/** Workers on several machines have no common clock: their sum says nothing of time. */
export function isMeasured({ reading, writing, limited, cpu }: Spent): boolean {
  return reading + writing + limited + cpu > 0;
}
