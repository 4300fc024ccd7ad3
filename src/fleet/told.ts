import * as z from 'zod';

const Count = z.number().nonnegative();

/** What a run has done, as metrics count it. */
export const Work = z.object({ copied: Count, unchanged: Count, bytes: Count });
export type Work = Readonly<z.infer<typeof Work>>;

/** What the last execution that summed up a run was told of, kept in `summary.json`: a redrive counts what came after it. */
export const Told = z.object({ execution: z.string(), before: Work, now: Work });
export type Told = Readonly<z.infer<typeof Told>>;

const nothing: Work = { copied: 0, unchanged: 0, bytes: 0 };

/** What an execution is to be told. One whose summary is repeated is told the same again. @param last what is kept */
export function toldTo(execution: string, work: Work, last: Told | undefined): Told {
  const before = last === undefined ? nothing : last.execution === execution ? last.before : last.now;
  // What an image that has vanished takes away is not counted anew when it comes back.
  return { execution, before, now: each((name) => Math.max(before[name], work[name])) };
}

/** What it has to count. */
export function addedBy({ before, now }: Told): Work {
  return each((name) => now[name] - before[name]);
}

function each(of: (name: keyof Work) => number): Work {
  return { copied: of('copied'), unchanged: of('unchanged'), bytes: of('bytes') };
}
