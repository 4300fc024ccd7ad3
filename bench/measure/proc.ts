import { readdirSync, readFileSync } from 'node:fs';

/** Ticks of the CPU times in /proc, a second: USER_HZ, 100 on every architecture that Linux runs Node on (man 5 proc). */
const ticksPerSecond = 100;

// What Linux tells of processes; every function gives `undefined` where there is no /proc.

/** CPU seconds of all children of this process that have ended, and of theirs: what the kernel adds up when it reaps them. */
export function endedChildrenCpuSeconds(): number | undefined {
  const fields = statFields('self');
  return fields && (Number(fields[13]) + Number(fields[14])) / ticksPerSecond;
}

/** CPU seconds of a running process itself. */
export function processCpuSeconds(pid: number): number | undefined {
  const fields = statFields(String(pid));
  return fields && (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** CPU seconds that the whole machine has been busy since it started, hypervisor's theft apart. */
export function machineBusySeconds(): number | undefined {
  const [, user, nice, system, , , irq, softirq] = read('/proc/stat')?.split('\n', 1)[0]?.split(/\s+/) ?? [];
  if (softirq === undefined) return undefined;
  return [user, nice, system, irq, softirq].reduce((sum, ticks) => sum + Number(ticks), 0) / ticksPerSecond;
}

/** The largest memory that each process of a tree has had resident so far, added up; `undefined` when all have ended. */
export function treePeakRssBytes(pid: number): number | undefined {
  const own = /^VmHWM:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1];
  if (own === undefined) return undefined;
  return childrenOf(pid).reduce((sum, child) => sum + (treePeakRssBytes(child) ?? 0), Number(own) * 1024);
}

function childrenOf(pid: number): readonly number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      (read(`/proc/${pid}/task/${thread}/children`) ?? '')
        .split(' ')
        .filter((child) => child !== '')
        .map(Number),
    );
  } catch {
    // It ended meanwhile.
    return [];
  }
}

/** Fields of /proc/<pid>/stat from the third on: the second is a name in parentheses that may hold spaces. */
function statFields(pid: string): readonly string[] | undefined {
  const stat = read(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
