import { describe, expect, it } from 'vitest';
import { newProgressCounters, type ProgressCounters } from '../report/events.ts';
import { failuresOf, manyImages, patient, testWorld } from '../../test/copy-world.ts';

/** Counters that remember how much was expected at most, and what of it had not been sent then. */
function watched(): { readonly counters: ProgressCounters; readonly most: () => number } {
  let most = 0;
  const counters = new Proxy(newProgressCounters(), {
    set: (target, key, value) => {
      const done = Reflect.set(target, key, value);
      most = Math.max(most, target.expectedBytes);
      return done;
    },
  });
  return { counters, most: () => most };
}

describe('what progress expects to be sent', () => {
  it.each([
    { mounting: true, counted: 'a blob once where the target mounts it into the other repositories' },
    { mounting: false, counted: 'every use of a blob where the target refuses mounts' },
  ])('counts $counted', async ({ mounting }) => {
    const world = await testWorld(patient);
    const [source, target] = [await world.registry(), await world.registry({ mounting })];
    const images = await manyImages(source, target, 12);
    const { counters, most } = watched();
    const { outcomes, totals } = await world.copy(
      images.map(({ request }) => request),
      { counters },
    );
    expect(failuresOf(outcomes)).toEqual([]);
    expect(totals.blobsMounted > 0).toBe(mounting);
    expect(most()).toBe(totals.bytesWritten);
    expect(counters.expectedBytes).toBe(totals.bytesWritten);
  });
});
