import type { Placement } from './placement.ts';
import { bestSwap } from './swap.ts';
import type { ImageWork } from './work.ts';

/** Times that all images are looked at: later looks find next to nothing. */
const mostLooks = 4;
/** Effort that evening out takes at most; plans of which images share a little of everything would take it for minutes. */
const mostEffort = 20e6;
/** Effort that looking for a swap takes at most. */
const mostSwapEffort = 3e5;
/** What is left of the way to an even spread when nobody goes on, as a share of a shard. */
const evenEnough = 0.002;
/** Of its seconds, what a move has to take off the longest shard. */
const leastGain = 1e-5;

/** Puts something into every empty shard: images whose leaving costs the fewest bytes. */
export function fillEmpty(placement: Placement): void {
  const empty = shardsOf(placement).filter((shard) => placement.images(shard).size === 0);
  if (empty.length === 0) return;
  const loss = new Map(
    placement.work.images.map((image) => [image, image.alone.bytes - placement.freedBy(image).bytes]),
  );
  const cheapest = [...loss].sort(([a, left], [b, right]) => left - right || b.alone.seconds - a.alone.seconds);
  for (const [image] of cheapest) {
    if (placement.images(placement.placeOf(image)).size < 2) continue;
    const shard = empty.pop();
    if (shard === undefined) return;
    placement.move(image, shard);
  }
}

/**
 * Moves single images to where more of their blobs are, as long as that saves bytes and nobody gets more to do than is allowed.
 * @param most seconds that a shard may have after a move
 */
export function saveBytes(placement: Placement, most: number): void {
  for (let look = 0; look < mostLooks; look += 1) {
    const before = placement.bytes;
    for (const image of placement.work.images) {
      if (image.shared.length === 0) continue;
      const from = placement.placeOf(image);
      if (placement.images(from).size < 2) continue;
      const to = betterPlace(placement, image, from, most);
      if (to !== undefined) placement.move(image, to);
    }
    if (placement.bytes >= before * (1 - 1e-4)) return;
  }
}

function betterPlace(placement: Placement, image: ImageWork, from: number, most: number): number | undefined {
  const freed = placement.freedBy(image).bytes;
  let best: number | undefined;
  let saved = 0;
  for (const shard of placement.survey(image.shared)) {
    const saves = freed - image.alone.bytes + placement.savedBytes(shard);
    if (shard === from || saves <= saved) continue;
    if (placement.seconds(shard) + image.alone.seconds - placement.savedSeconds(shard) > most) continue;
    best = shard;
    saved = saves;
  }
  return best;
}

/** Takes images off the shard with the most to do, or swaps them, while there is one that another shard ends sooner with. */
export function shortenLongest(placement: Placement): void {
  const start = placement.effort;
  while (placement.effort - start < mostEffort) {
    const from = placement.heaviest();
    const longest = placement.seconds(from);
    if (longest <= placement.meanSeconds() * (1 + evenEnough)) return;
    const move = bestMove(placement, from);
    if (move !== undefined) placement.move(move.image, move.to);
    else if (!swapped(placement, from)) return;
  }
}

function swapped(placement: Placement, from: number): boolean {
  if (placement.images(from).size < 2) return false;
  const swap = bestSwap(placement, from, mostSwapEffort);
  if (swap === undefined) return false;
  const to = placement.placeOf(swap.other);
  placement.move(swap.other, from);
  placement.move(swap.image, to);
  return true;
}

interface Move {
  readonly image: ImageWork;
  readonly to: number;
  /** Bytes more over all. */
  readonly bytes: number;
  /** Of the longer one of both shards, afterwards. */
  readonly seconds: number;
}

/** The one that shortens most for the bytes that it costs. */
function bestMove(placement: Placement, from: number): Move | undefined {
  const images = placement.images(from);
  if (images.size < 2) return undefined;
  const longest = placement.seconds(from);
  const lightest = placement.lightest();
  let best: Move | undefined;
  let worth = 0;
  for (const image of images) {
    const freed = placement.freedBy(image);
    for (const to of [...placement.survey(image.shared), lightest]) {
      if (to === from) continue;
      const there = placement.seconds(to) + image.alone.seconds - placement.savedSeconds(to);
      const seconds = Math.max(there, longest - freed.seconds);
      const bytes = image.alone.bytes - placement.savedBytes(to) - freed.bytes;
      const gain = (longest - seconds) / (1 + Math.max(0, bytes) / (1 + placement.bytes / placement.count));
      if (seconds >= longest * (1 - leastGain) || gain <= worth) continue;
      best = { image, to, bytes, seconds };
      worth = gain;
    }
  }
  return best;
}

function shardsOf(placement: Placement): readonly number[] {
  return Array.from({ length: placement.count }, (_, shard) => shard);
}
