import type { Writable } from 'node:stream';
import type { SecretMask } from '../model/secrets.ts';
import type { Reporter } from './events.ts';
import { lineWriter } from './line-writer.ts';

/** One JSON object per line and event (https://jsonlines.org): the event, and `time` in ISO 8601 UTC. */
export function jsonReporter(stream: Writable, mask: SecretMask, now: () => Date = () => new Date()): Reporter {
  const write = lineWriter(stream);
  return {
    emit(event) {
      write(JSON.stringify(masked({ time: now().toISOString(), ...event }, mask)));
    },
  };
}

/** A copy of plain data with every text in it masked; masking the JSON itself could break it. */
export function masked<T>(data: T, mask: SecretMask): T {
  return JSON.parse(
    JSON.stringify(data, (_key, value: unknown) => (typeof value === 'string' ? mask.mask(value) : value)),
  ) as T; // The same shape: only texts changed, and these are plain data without undefined in arrays.
}
