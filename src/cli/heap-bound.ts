import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const megabyte = 1 << 20;

export interface HeapBoundOptions {
  /** Bytes of objects, live or not. */
  readonly used: () => number;
  /** Collects all garbage now. */
  readonly collect: () => void;
}

/** Below this nothing is done: a run of a few hundred images never gets here. */
const quietBytes = 64 * megabyte;
/** Garbage that is let lie, in bytes. */
const garbageBytes = 24 * megabyte;

/**
 * Looks once whether garbage has piled up since the last time, and collects it. @returns bytes that were left
 * @param left what was left the last time
 */
export function collectWhenDue({ used, collect }: HeapBoundOptions, left: number): number {
  if (used() <= Math.max(quietBytes, left + garbageBytes)) return left;
  collect();
  return used();
}

/**
 * Keeps memory flat in plans of thousands of images. V8 lets its heap grow to several times of what is live before it
 * looks for garbage, and measures itself against the machine's memory, not against a build container's.
 * @returns a function that ends it
 */
export function boundHeap(): () => void {
  let gc: (() => void) | undefined;
  const collect = (): void => {
    gc ??= collector();
    gc();
  };
  const options: HeapBoundOptions = { used: () => getHeapStatistics().used_heap_size, collect };
  let left = 0;
  const timer = setInterval(() => (left = collectWhenDue(options, left)), 250);
  timer.unref();
  return () => {
    clearInterval(timer);
  };
}

/** V8's own function, which is there once the flag is set, for contexts that are made from then on. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  const gc: unknown = runInNewContext('gc');
  return isCallable(gc) ? gc : () => undefined;
}

function isCallable(value: unknown): value is () => void {
  return typeof value === 'function';
}
