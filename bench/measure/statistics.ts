export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** `undefined` for no values. The median of an even number of values is the mean of the middle two. */
export function spreadOf(values: readonly number[]): Spread | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const [min, max] = [sorted[0], sorted.at(-1)];
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  if (min === undefined || max === undefined || upper === undefined || lower === undefined) return undefined;
  return { median: (lower + upper) / 2, min, max };
}

/** The median alone, of the values that are there. */
export function medianOf(values: readonly (number | undefined)[]): number | undefined {
  return spreadOf(values.filter((value) => value !== undefined))?.median;
}
