import type { ValuePath, Values } from '../values/tree.ts';
import { chartArchiveLimits } from '../archive-limits.ts';
import { readArchive } from '../archive.ts';
import { type Chart, insideFolder, readChart } from '../chart.ts';
import { chartValues } from '../values/chart-values.ts';

/** What a chart's package tells about the values that it reads. */
export interface ChartInside {
  /** The chart's values over its subcharts' (under their names or aliases), as helm merges them. */
  readonly values: Values;
  /** Texts of all templates, with the path at which the chart that they belong to finds its `.Values`. */
  readonly templates: readonly { readonly at: ValuePath; readonly text: string }[];
}

/** @throws ReplicationError `refused` for a hostile archive, `corrupt` for one that is no chart */
export async function readInside(archive: Uint8Array): Promise<ChartInside> {
  const [chart, files] = await Promise.all([
    readChart(archive),
    readArchive(archive, chartArchiveLimits, 'the chart archive'),
  ]);
  return { values: chartValues(chart), templates: await templatesOf(chart, insideFolder(files), []) };
}

async function templatesOf(
  chart: Chart,
  files: ReadonlyMap<string, Buffer>,
  at: ValuePath,
): Promise<readonly { readonly at: ValuePath; readonly text: string }[]> {
  const own = [...files]
    .filter(([path]) => path.startsWith('templates/'))
    .map(([, content]) => ({ at, text: content.toString('utf8') }));
  const inner = await Promise.all(
    [...chart.subcharts].map(async ([key, subchart]) => {
      const folder = await subchartFiles(files, subchart);
      return folder === undefined ? [] : templatesOf(subchart, folder, [...at, key]);
    }),
  );
  return [...own, ...inner.flat()];
}

/** Files of a subchart, which lies in charts/ as a folder or packed. */
async function subchartFiles(
  files: ReadonlyMap<string, Buffer>,
  subchart: Chart,
): Promise<ReadonlyMap<string, Buffer> | undefined> {
  for (const [path, content] of files) {
    const packed = /^charts\/([^/]+)\.tgz$/.exec(path)?.[1];
    if (packed !== undefined && packed.startsWith(subchart.name)) {
      const unpacked = insideFolder(await readArchive(content, chartArchiveLimits, `subchart ${packed}`));
      if (
        new RegExp(`^name:\\s*["']?${subchart.name.replaceAll('.', '\\.')}["']?\\s*$`, 'm').test(
          unpacked.get('Chart.yaml')?.toString('utf8') ?? '',
        )
      )
        return unpacked;
    }
  }
  const folder = `charts/${subchart.name}/`;
  const inside = [...files].filter(([path]) => path.startsWith(folder));
  return inside.length === 0
    ? undefined
    : new Map(inside.map(([path, content]) => [path.slice(folder.length), content]));
}
