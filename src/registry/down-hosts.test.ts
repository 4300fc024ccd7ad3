import { describe, expect, it } from 'vitest';
import { ReplicationError } from '../model/errors.ts';
import { DownHosts } from './down-hosts.ts';
import type { PacerClock } from './clock.ts';

const url = new URL('https://registry.example/v2/');
const { origin } = url;
const reset = new ReplicationError('unreachable', 'registry.example: the connection was reset', {});

function at(time: { ms: number }): PacerClock {
  return { now: () => time.ms, after: () => () => undefined, random: () => 0 };
}

function downAt(time: { ms: number }): DownHosts {
  const hosts = new DownHosts(at(time));
  hosts.gaveUp(origin, reset, hosts.answers(origin));
  return hosts;
}

function later(): { readonly work: () => Promise<string>; end(error?: Error): void } {
  let settle: (error?: Error) => void = () => undefined;
  const promise = new Promise<string>((resolve, reject) => {
    settle = (error) => {
      if (error === undefined) resolve('answer');
      else reject(error);
    };
  });
  return {
    work: () => promise,
    end: (error) => {
      settle(error);
    },
  };
}

describe('a host', () => {
  it('is not down while it answers others, however often it resets one blob', async () => {
    const hosts = new DownHosts(at({ ms: 0 }));
    const then = hosts.answers(origin);
    hosts.answered(origin);
    hosts.gaveUp(origin, reset, then);
    expect(hosts.has(origin)).toBe(false);
    await expect(hosts.guard(url, 'blob a', () => Promise.resolve('answer'))).resolves.toBe('answer');
  });

  it('that is down is asked by one request, and the others go on when it answers', async () => {
    const hosts = downAt({ ms: 0 });
    const probe = later();
    let asked = 0;
    const first = hosts.guard(url, 'blob a', probe.work);
    const second = hosts.guard(url, 'blob b', () => Promise.resolve((asked += 1)));
    await Promise.resolve();
    expect(asked).toBe(0);
    hosts.answered(origin);
    probe.end();
    await expect(first).resolves.toBe('answer');
    await expect(second).resolves.toBe(1);
  });

  it('that is still down fails the others with the one that asked, and at once for as long as asking took', async () => {
    const time = { ms: 0 };
    const hosts = downAt(time);
    const probe = later();
    const first = hosts.guard(url, 'blob a', probe.work);
    const second = hosts.guard(url, 'blob b', () => Promise.resolve('never'));
    time.ms = 1_000;
    probe.end(reset);
    await expect(first).rejects.toBe(reset);
    await expect(second).rejects.toMatchObject({
      code: 'unreachable',
      final: true,
      message: expect.stringMatching(/reset; it has stopped answering, so this was not tried: blob b$/) as string,
    });
    time.ms = 1_999;
    await expect(hosts.guard(url, 'blob c', () => Promise.resolve('never'))).rejects.toThrow(/not tried: blob c/);
    time.ms = 2_000;
    await expect(hosts.guard(url, 'blob d', () => Promise.resolve('asked'))).resolves.toBe('asked');
  });
});
