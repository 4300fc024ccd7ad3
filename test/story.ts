import { afterAll, beforeEach, it } from 'vitest';

/**
 * `beforeAll` and `afterAll` for what several tests look at and takes long to make, with one difference: before a test is
 * tried again it is ended and made anew, so that the second try begins as the first did, whatever that left, and whatever
 * was wrong with what it found. A test may need nothing that another one did, as that is lost then: see {@link story}.
 * @param end is called for what was made whole only
 */
export function onceUnlessRetried(make: () => Promise<void>, end: () => Promise<unknown>): void {
  let made = false;
  const endIt = async (): Promise<void> => {
    if (!made) return;
    made = false;
    await end();
  };
  beforeEach(async ({ task }) => {
    if ((task.result?.retryCount ?? 0) > 0) await endIt();
    if (made) return;
    await make();
    made = true;
  });
  afterAll(endIt);
}

/** For a part and all before it, on a slow machine. */
const allPartsMs = 1_200_000;

/**
 * Tests that are one story in the order in which they are told: each begins with what the ones before have done. One that
 * is tried again, or run by itself, begins in a new world, in which the others' part is told first.
 * @returns `it` for such tests
 */
export function story(
  begin: () => Promise<void>,
  end: () => Promise<unknown>,
): (name: string, part: () => Promise<void> | void) => void {
  const parts: (() => Promise<void> | void)[] = [];
  let told = 0;
  onceUnlessRetried(async () => {
    told = 0;
    await begin();
  }, end);
  return (name, part) => {
    const index = parts.push(part) - 1;
    it(name, { timeout: allPartsMs }, async () => {
      for (const earlier of parts.slice(told, index)) await earlier();
      // Also of one that fails, whose world is not kept where it is tried again: the others are told on their own.
      told = index + 1;
      await part();
    });
  };
}
