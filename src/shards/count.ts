import type { Work } from './work.ts';

/** Less is not worth a worker: one takes about a minute to start. Seconds of the cost model. */
const worthAWorker = 180;
/** `auto` makes no more. */
const mostByItself = 1000;
/** Bytes that `auto` has leave their sources, in unique bytes. */
const mostBytesFactor = 1.1;
/** Half as many shards would not help. */
const farOff = 2;

/**
 * As many shards as are worth a worker, but not so many that images which share blobs have to be torn apart: then half as many (or
 * fewer), until it fits.
 * @param workers at the same time: more shards than that come in whole rounds, or workers would stand idle in the last one
 */
export function countFor<Split extends { readonly bytesFactor: number }>(
  work: Work,
  workers: number | undefined,
  split: (count: number) => Split,
): Split {
  const { images, total } = work;
  const largest = images.reduce((most, { alone }) => Math.max(most, alone.seconds), worthAWorker);
  const most = Math.min(mostByItself, images.length);
  let count = Math.min(most, Math.ceil(total.seconds / largest));
  if (images.length > 0) count = Math.max(1, count);
  for (;;) {
    const found = split(inRounds(count, workers));
    if (found.bytesFactor <= mostBytesFactor || count <= 1) return found;
    count = Math.ceil(count / (found.bytesFactor > farOff ? 8 : 2));
  }
}

function inRounds(count: number, workers: number | undefined): number {
  if (workers === undefined || count <= workers) return count;
  return Math.floor(count / workers) * workers;
}
