import { describe, expect, it } from 'vitest';
import { manualClock } from '../testing/manual-clock.ts';
import { Pacers, type RequestClass } from './pacers.ts';

const origin = 'https://registry.test';
const { signal } = new AbortController();

function setUp() {
  const clock = manualClock();
  const pacers = new Pacers({
    requestsPerHost: 8,
    transfersPerHost: 8,
    baseMs: 400,
    maxMs: 20_000,
    clock,
    counters: undefined,
  });
  /** How many of twelve requests go at once, and how many have gone after 20 s in which none of them was answered. */
  const gone = async (requestClass: RequestClass): Promise<readonly [atOnce: number, later: number]> => {
    let count = 0;
    for (let n = 0; n < 12; n += 1)
      void Promise.resolve(pacers.of(origin, requestClass).admit(signal)).then(() => (count += 1));
    await clock.advance(0);
    const atOnce = count;
    await clock.advance(20_000);
    return [atOnce, count];
  };
  return { pacers, gone };
}

describe('requests under way to one host', () => {
  it('are few at first where they write manifests at a limit that is not known, and those that hang keep back no others', async () => {
    expect(await setUp().gone('manifest-put')).toEqual([4, 8]);
  });

  it('are as many as may be where the limit is known, and of other kinds', async () => {
    const known = setUp();
    known.pacers.limitRate(origin, 'manifest-put', { perSecond: 10, burst: 10 });
    expect(await known.gone('manifest-put')).toEqual([8, 8]);
    for (const other of ['head', 'get', 'blob-get', 'blob-put', 'upload-post', 'token', 'api'] as const)
      expect([other, await setUp().gone(other)]).toEqual([other, [8, 8]]);
  });
});
