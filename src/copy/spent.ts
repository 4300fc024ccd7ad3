import type { Spent } from '../model/result.ts';
import type { ProgressCounters } from '../report/events.ts';

/** Begins to watch where time goes; called at the end, it tells. */
export function watchTime({ busy }: ProgressCounters): () => Spent {
  const cpuBefore = process.cpuUsage();
  const limitedBefore = new Map([...busy.limited].map(([host, time]) => [host, time.total(performance.now())]));
  const before = { reading: busy.reading.total(performance.now()), writing: busy.writing.total(performance.now()) };
  return () => {
    const now = performance.now();
    const cpu = process.cpuUsage(cpuBefore);
    const limits = [...busy.limited].map(([host, time]) => ({
      host,
      ms: time.total(now) - (limitedBefore.get(host) ?? 0),
    }));
    const most = limits.filter(({ ms }) => ms > 0).sort((a, b) => b.ms - a.ms)[0];
    return {
      reading: (busy.reading.total(now) - before.reading) / 1000,
      writing: (busy.writing.total(now) - before.writing) / 1000,
      limited: (most?.ms ?? 0) / 1000,
      limitedBy: most?.host,
      cpu: (cpu.user + cpu.system) / 1_000_000,
    };
  };
}

/** Of two runs one after the other. */
export function addSpent(a: Spent, b: Spent): Spent {
  return {
    reading: a.reading + b.reading,
    writing: a.writing + b.writing,
    limited: a.limited + b.limited,
    limitedBy: b.limited > a.limited ? b.limitedBy : (a.limitedBy ?? b.limitedBy),
    cpu: a.cpu + b.cpu,
  };
}
