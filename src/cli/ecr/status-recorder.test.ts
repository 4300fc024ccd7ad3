import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { digestOf } from '../../model/digest.ts';
import { ReplicationError } from '../../model/errors.ts';
import type { Outcome } from '../../model/result.ts';
import { patientStatus } from '../../status/patient-status.ts';
import type { ImageStatus, StatusStore } from '../../status/status.ts';
import { statusRecorder } from './status-recorder.ts';

const { signal } = new AbortController();
const digest = digestOf('image');
const outcome = (target: string): Outcome => ({
  ...{ kind: 'copied', artifact: `source/${target}`, targets: [target], digest, bytes: 1, seconds: 1 },
});
const throttled = new ReplicationError('throttled', 'the store is throttled');

/** A store in memory that refuses writes while `refusing`, and shows what it was asked to write. */
function store() {
  const rows = new Map<string, ImageStatus>();
  const asked: string[][] = [];
  const state = { refusing: false };
  const record: StatusStore['record'] = async (statuses) => {
    asked.push(statuses.map(({ target, state: said }) => `${target} ${said}`));
    await Promise.resolve();
    if (state.refusing) throw throttled;
    for (const status of statuses) rows.set(status.target, status);
  };
  const list: StatusStore['list'] = () => Promise.resolve([...rows.values()]);
  return { rows, asked, state, record, list, name: 'memory', close: () => Promise.resolve() };
}

describe('the recorder of statuses', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });
  const states = (at: ReturnType<typeof store>) => [...at.rows.values()].map(({ target, state }) => [target, state]);

  it('keeps what a store did not take, and writes it when it does again', async () => {
    const at = store();
    const recorder = await statusRecorder(at, () => new Date(), signal);
    at.state.refusing = true;
    recorder.finished(outcome('a'), 1);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(at.asked).toEqual([['a copied']]);
    recorder.finished(outcome('b'), 1);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(at.asked).toHaveLength(1);
    at.state.refusing = false;
    await vi.advanceTimersByTimeAsync(5_000);
    expect(at.asked.slice(1)).toEqual([['a copied', 'b copied']]);
    expect(await recorder.end()).toEqual([]);
    expect(states(at)).toEqual([
      ['a', 'copied'],
      ['b', 'copied'],
    ]);
  });

  it('never writes an older status over a newer one that it could not write before', async () => {
    const at = store();
    const recorder = await statusRecorder(at, () => new Date(), signal);
    at.state.refusing = true;
    recorder.finished({ ...outcome('a'), kind: 'unchanged', digest }, 1);
    vi.advanceTimersByTime(1_000);
    // While that write is under way.
    recorder.finished(outcome('a'), 2);
    await vi.advanceTimersByTimeAsync(0);
    at.state.refusing = false;
    expect(await recorder.end()).toEqual([]);
    expect(states(at)).toEqual([['a', 'copied']]);
  });

  it('tells once what it could not write at all', async () => {
    const at = store();
    const recorder = await statusRecorder(at, () => new Date(), signal);
    at.state.refusing = true;
    for (let number = 0; number < 250; number += 1) recorder.finished(outcome(`a${number}`), 1);
    await vi.advanceTimersByTimeAsync(30_000);
    const failures = await recorder.end();
    expect(failures).toMatchObject([{ artifact: 'status in memory', side: 'module', code: 'throttled' }]);
    expect(at.asked.at(-1)).toHaveLength(250);
    // Not one request for each image of a store that has no room for any.
    expect(at.asked.length).toBeLessThan(8);
  });

  it('writes nothing any more when the images are another worker’s', async () => {
    const at = store();
    const recorder = await statusRecorder(at, () => new Date(), signal);
    recorder.finished(outcome('a'), 1);
    recorder.abandon();
    recorder.finished(outcome('b'), 1);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(await recorder.end()).toEqual([]);
    expect(at.asked).toEqual([]);
  });
});

describe('a store that is away', () => {
  it('is empty for who reads, told of, and opened again by the next who writes', async () => {
    const at = store();
    const troubles: string[] = [];
    const opening = vi.fn().mockRejectedValueOnce(throttled).mockResolvedValue(at);
    const patient = patientStatus('memory', opening, ({ message }) => troubles.push(message));
    expect(await patient.list({}, signal)).toEqual([]);
    expect(troubles).toEqual(['the store is throttled']);
    const recorder = await statusRecorder(patient, () => new Date(), signal);
    recorder.finished(outcome('a'), 1);
    expect(await recorder.end()).toEqual([]);
    expect(at.rows.get('a')?.state).toBe('copied');
    expect(opening).toHaveBeenCalledTimes(2);
  });

  it('is an error where it would not come back: no such table, no permission', async () => {
    for (const code of ['configuration', 'denied', 'unauthorized', 'storage'] as const) {
      const patient = patientStatus(
        'memory',
        () => Promise.reject(new ReplicationError(code, 'no')),
        () => undefined,
      );
      await expect(patient.list({}, signal)).rejects.toMatchObject({ code });
    }
  });
});
