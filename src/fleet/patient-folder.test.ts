import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ErrorCode, ReplicationError } from '../model/errors.ts';
import { writeFiles } from '../publish/files.ts';
import { patientFolder } from './patient-folder.ts';
import { openRunFolder, type RunFolder } from './run-folder.ts';

describe('the folder of a run, where S3', () => {
  let place: string;
  let clock: number;
  /** What it refuses with, from now on, and when it does no more. */
  let refusal: { readonly code: ErrorCode; readonly until: number } | undefined;
  let asked: number;
  let told: string[];
  const { signal } = new AbortController();

  function folder(): RunFolder {
    const real = openRunFolder(place, { s3: () => Promise.reject(new Error('no S3')), writeFiles });
    const refused = async <T>(work: () => Promise<T>): Promise<T> => {
      asked += 1;
      if (refusal !== undefined && clock < refusal.until) throw new ReplicationError(refusal.code, 'S3 says no');
      return work();
    };
    const faulty: RunFolder = {
      ...real,
      read: (name, stop) => refused(() => real.read(name, stop)),
      write: (name, text, stop) => refused(() => real.write(name, text, stop)),
      list: (name, stop) => refused(() => real.list(name, stop)),
    };
    const wait = (milliseconds: number): Promise<void> => {
      clock += milliseconds;
      return Promise.resolve();
    };
    return patientFolder(faulty, ({ message }) => told.push(message), { wait, now: () => clock });
  }

  beforeEach(async () => {
    [clock, asked, refusal, told] = [0, 0, undefined, []];
    place = await mkdtemp(join(tmpdir(), 'patient-folder-'));
  });
  afterEach(() => rm(place, { recursive: true, force: true }));

  it.each(['throttled', 'unavailable'] as const)('is %s for a while, is asked again', async (code) => {
    const run = folder();
    refusal = { code, until: 60_000 };
    await run.write('results/0000.json', 'a', signal);
    refusal = { code, until: clock + 60_000 };
    expect(await run.read('results/0000.json', signal)).toBe('a');
    refusal = { code, until: clock + 60_000 };
    expect(await run.list('results', signal)).toEqual(['0000.json']);
    // Few requests: that is what it asks for.
    expect(asked).toBeLessThan(40);
    expect(told).toEqual(['S3 says no', 'S3 says no', 'S3 says no']);
  });

  it('does not come back, ends it after two minutes', async () => {
    refusal = { code: 'throttled', until: Number.POSITIVE_INFINITY };
    await expect(folder().read('a', signal)).rejects.toThrow('S3 says no');
    expect(clock).toBeGreaterThan(90_000);
    expect(clock).toBeLessThanOrEqual(120_000);
  });

  it.each(['denied', 'not-found', 'unreachable', 'storage', 'cancelled'] as const)(
    'says %s, is believed',
    async (code) => {
      refusal = { code, until: Number.POSITIVE_INFINITY };
      await expect(folder().write('a', 'b', signal)).rejects.toThrow('S3 says no');
      expect({ asked, told }).toEqual({ asked: 1, told: [] });
    },
  );
});
