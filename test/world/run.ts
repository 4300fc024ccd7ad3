import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { ProgramRun } from '../program.ts';

const Failure = z.looseObject({
  artifact: z.string(),
  side: z.string(),
  code: z.string(),
  cause: z.string(),
  reference: z.string().optional(),
  remedy: z.string().optional(),
  host: z.string().optional(),
});

/** `run.json`, as far as the tests look. */
const Record = z.looseObject({
  ok: z.boolean(),
  outcomes: z.array(
    z.looseObject({
      kind: z.string(),
      artifact: z.string(),
      targets: z.array(z.string()),
      digest: z.string().optional(),
    }),
  ),
  failures: z.array(Failure),
  notices: z.array(z.object({ level: z.string(), message: z.string() })),
  totals: z
    .looseObject({ blobsWritten: z.number(), manifestsWritten: z.number(), bytesWritten: z.number() })
    .optional(),
});

/** `replication_result.json`: the shape that the EKS module reads, and where the lock lies once it is published; no other keys. */
export const Result = z.strictObject({
  ami: z.strictObject({ version: z.string() }),
  charts: z.record(
    z.string(),
    z.strictObject({
      helm: z.strictObject({
        name: z.string(),
        version: z.string(),
        repository: z.string(),
        srcRepository: z.string(),
      }),
      values: z.record(z.string(), z.unknown()),
    }),
  ),
  additional_images: z.record(z.string(), z.string()),
  lock: z.strictObject({ s3_object: z.string(), digest: z.string() }).optional(),
});
export type Result = z.infer<typeof Result>;

export const UpdatedImages = z.array(z.strictObject({ src: z.string(), target: z.string() }));

/** One run of the main job, with what it left. */
export interface EksRun extends ProgramRun {
  readonly out: string;
  /** Absent where the run ended before it could leave one. */
  readonly record: z.infer<typeof Record> | undefined;
}

export async function readRun(out: string, run: ProgramRun): Promise<EksRun> {
  const file = join(out, 'run.json');
  const record = existsSync(file) ? Record.parse(JSON.parse(await readFile(file, 'utf8'))) : undefined;
  return { ...run, out, record };
}

export async function readResult(run: EksRun): Promise<Result> {
  return Result.parse(JSON.parse(await readFile(join(run.out, 'replication_result.json'), 'utf8')));
}

/** How many artifacts ended in each way. */
export function kinds({ record }: EksRun): Readonly<Record<string, number>> {
  const counts: { [kind: string]: number } = {};
  for (const { kind } of record?.outcomes ?? []) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** What the run said, for the message of a failed expectation. */
export function said(run: ProgramRun): string {
  return `exit ${run.status ?? 'by signal'}\n${run.stdout.slice(-6000)}\n${run.stderr.slice(-3000)}`;
}
