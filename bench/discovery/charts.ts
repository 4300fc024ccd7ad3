import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parse } from 'yaml';
import * as z from 'zod';
import { type Chart, readChart } from '../../src/charts/chart.ts';
import { ReplicationError } from '../../src/model/errors.ts';
import { sampleCharts } from '../../src/testing/samples.ts';

const Values = z.record(z.string(), z.json());

/** A packaged chart, with the values without which it does not render. */
export interface BenchChart {
  readonly file: string;
  readonly archive: Uint8Array;
  readonly chart: Chart;
  readonly values: Readonly<z.infer<typeof Values>>;
}

/**
 * All packages (.tgz) of a folder and the folders in it; without a folder the charts that the tests come with.
 * @param valuesFolder has `<chart>.yaml` for those that need values
 * @throws ReplicationError `usage` when there is none
 */
export async function findCharts(
  folder: string | undefined,
  valuesFolder: string | undefined,
): Promise<readonly BenchChart[]> {
  const packages =
    folder === undefined ? sampleCharts().map(({ file, bytes }) => ({ file, bytes })) : await packagesIn(folder);
  if (packages.length === 0)
    throw new ReplicationError('usage', `${folder ?? 'the project'} has no packaged chart (.tgz)`, {
      remedy: 'name a folder with charts as `helm package` makes them',
    });
  return Promise.all(
    packages.map(async ({ file, bytes }) => {
      const chart = await readChart(bytes);
      return { file, archive: bytes, chart, values: await valuesOf(chart.name, valuesFolder) };
    }),
  );
}

async function packagesIn(folder: string): Promise<readonly { readonly file: string; readonly bytes: Uint8Array }[]> {
  let files: readonly string[];
  try {
    files = await readdir(folder, { recursive: true });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ReplicationError('usage', `cannot read charts from ${folder}: ${why}`, { remedy: 'check --charts' });
  }
  const packages = files.filter((file) => file.endsWith('.tgz')).sort();
  return Promise.all(
    packages.map(async (file) => ({ file: basename(file), bytes: await readFile(join(folder, file)) })),
  );
}

async function valuesOf(chart: string, folder: string | undefined): Promise<BenchChart['values']> {
  if (folder === undefined) return {};
  try {
    return Values.parse(parse(await readFile(join(folder, `${chart}.yaml`), 'utf8')) ?? {});
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {};
    throw error;
  }
}
