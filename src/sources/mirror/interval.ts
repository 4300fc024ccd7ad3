import { ReplicationError } from '../../model/errors.ts';

const secondsIn = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 } as const;
const pattern = /^([1-9]\d*)\s*([smhdw])$/;

/** Longest interval, in seconds: ten years. A longer one is surely a slip, and `0` says never. */
const longest = 10 * 365 * secondsIn.d;

/**
 * Reads a refresh interval: `0` (never again), or a whole number above 0 and a unit: `30s`, `15m`, `6h`, `1d`, `2w`.
 * Minutes, days and weeks are docker-mirror-image's; seconds and hours are ours.
 * @returns seconds, or `undefined` for never
 * @throws ReplicationError `configuration`
 */
export function parseInterval(text: string): number | undefined {
  const written = text.trim();
  if (written === '0') return undefined;
  const [, count, unit] = pattern.exec(written) ?? [];
  const seconds = Number(count) * secondsIn[isUnit(unit) ? unit : 's'];
  if (unit !== undefined && seconds <= longest) return seconds;
  const why = unit === undefined ? 'is no interval' : 'is longer than ten years';
  throw new ReplicationError('configuration', `"${text}" ${why}`, {
    remedy: 'write 0 for never, or a number above 0 and s, m, h, d or w: 30m, 6h, 1d, 2w',
  });
}

function isUnit(text: string | undefined): text is keyof typeof secondsIn {
  return text !== undefined && text in secondsIn;
}
