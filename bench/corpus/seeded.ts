import { createHash } from 'node:crypto';

/**
 * A number in [0, 1) that depends on the seed and the label only: corpora come out the same whatever is planned first.
 */
export function uniform(seed: string, label: string): number {
  return createHash('sha256').update(`${seed}\n${label}`).digest().readUIntBE(0, 6) / 2 ** 48;
}

/** A log-normal number with median 1 (Box-Muller), as sizes of image layers are spread. */
export function logNormal(seed: string, label: string, sigma: number): number {
  const radius = Math.sqrt(-2 * Math.log(1 - uniform(seed, `${label} radius`)));
  return Math.exp(sigma * radius * Math.cos(2 * Math.PI * uniform(seed, `${label} angle`)));
}

/** A whole number from `least` to `most`, both included. */
export function between(seed: string, label: string, least: number, most: number): number {
  return least + Math.floor(uniform(seed, label) * (most - least + 1));
}
