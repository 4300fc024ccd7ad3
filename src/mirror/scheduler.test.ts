import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ReplicationError } from '../model/errors.ts';
import { parseMirrorFile, type MirrorSection } from '../sources/mirror/mirror-file.ts';
import { stateAfter } from './schedule.ts';
import { pollMs, runScheduler } from './scheduler.ts';
import { openTracking, type Tracking } from './tracking.ts';

const start = Date.UTC(2026, 0, 1);
const file = (...sections: readonly string[]): string => ['[DEFAULT]', 'refresh = 1h', ...sections].join('\n');
const [a, b] = ['[aa]\nimage = a', '[bb]\nimage = b\nrefresh = 0'];

describe('runScheduler', () => {
  let folder: string;
  let tracking: Tracking;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'image-replication-test-'));
    tracking = await openTracking(join(folder, 'repository.db'));
  });
  afterEach(async () => {
    tracking.close();
    await rm(folder, { recursive: true, force: true });
  });

  interface Script {
    readonly text: (now: number) => string;
    /** Minutes until it is told to stop. */
    readonly minutes: number;
    readonly pass?: (sections: readonly MirrorSection[], now: number) => readonly string[];
  }

  /** Runs with a clock that jumps to where the scheduler sleeps to. @returns what happened, with its minute */
  async function run({ text, minutes, pass }: Script): Promise<readonly string[]> {
    const log: string[] = [];
    const stop = new AbortController();
    let now = start;
    const say = (what: string): void => void log.push(`${Math.floor((now - start) / 60_000)}: ${what}`);
    await runScheduler({
      clock: {
        now: () => now,
        async sleep(ms) {
          expect(ms).toBeGreaterThan(0);
          expect(ms).toBeLessThanOrEqual(pollMs);
          now += ms;
          if (now >= start + minutes * 60_000) stop.abort();
        },
      },
      tracking,
      target: 'ecr',
      read: async () => {
        const written = text(now);
        return { text: written, parse: () => parseMirrorFile(written, 'config.ini') };
      },
      pass: async (sections) => {
        const recorded = pass?.(sections, now) ?? sections.map(({ name }) => name);
        const states = sections
          .filter(({ name }) => recorded.includes(name))
          .map((each) => stateAfter(each, undefined, { kind: 'done' }, { now, target: 'ecr', random: 0 }));
        tracking.record(states, []);
        return recorded;
      },
      random: () => 0,
      events: {
        awake: () => undefined,
        loaded: ({ sections }) => say(`loaded ${sections.length}`),
        refused: ({ message }) => say(`refused ${message}`),
        passBegan: (sections) => say(`pass ${sections.map(({ name }) => name).join(' ')}`),
        passEnded: (error) => (error === undefined ? undefined : say(`failed ${error.message}`)),
        waiting: (next) => say(next === undefined ? 'nothing' : `next ${(next - start) / 60_000}`),
      },
      signal: stop.signal,
    });
    return log;
  }

  it('respects intervals, and 0 means once', async () => {
    expect(await run({ text: () => file(a, b), minutes: 121 })).toEqual([
      '0: loaded 2',
      '0: pass aa bb',
      '0: next 60',
      '60: pass aa',
      '60: next 120',
      '120: pass aa',
      '120: next 180',
    ]);
    // Another process goes on where this one ended.
    expect(await run({ text: () => file(a, b), minutes: 1 })).toEqual(['0: loaded 2', '0: next 180']);
  });

  it('takes a changed file, and keeps to the one before where the new one is bad or gone', async () => {
    const text = (now: number): string => {
      const minute = (now - start) / 60_000;
      if (minute < 10) return file(b);
      if (minute < 20) return `${file(b)}\nimagee = x`;
      if (minute < 30) throw new ReplicationError('configuration', 'cannot read it');
      return file(a, b);
    };
    expect(await run({ text, minutes: 31 })).toEqual([
      '0: loaded 1',
      '0: pass bb',
      '0: nothing',
      '10: refused config.ini:6: unknown key "imagee" in [bb]',
      '20: refused cannot read it',
      '30: loaded 2',
      '30: pass aa',
      '30: next 90',
    ]);
  });

  it('backs off from a section that fails, without keeping the others', async () => {
    const log = await run({
      text: () => file(a, b),
      minutes: 4,
      pass(sections, now) {
        if (now < start + 60_000 && sections.some(({ name }) => name === 'aa')) {
          if (sections.length === 1) throw new ReplicationError('unreachable', 'no network');
          return ['bb'];
        }
        return sections.map(({ name }) => name);
      },
    });
    // 30 s after the first failure, a minute after the second.
    expect(log).toEqual([
      '0: loaded 2',
      '0: pass aa bb',
      '0: next 0.5',
      '0: pass aa',
      '0: failed no network',
      '0: next 1.5',
      '1: pass aa',
      '1: next 61.5',
    ]);
    expect(tracking.sections().get('aa')?.failures).toBe(0);
  });

  it('does not start with a file that cannot be used', async () => {
    await expect(run({ text: () => '[aa]\ncolour = red', minutes: 1 })).rejects.toThrow('unknown key "colour"');
  });
});
