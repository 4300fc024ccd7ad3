import { chartArchiveLimits } from '../archive-limits.ts';
import { readArchive } from '../archive.ts';
import { writeArchive } from './write-archive.ts';

/** The files of a chart's package, with those of packed subcharts (`charts/*.tgz`) inside of them. */
export interface ChartTree {
  readonly files: ReadonlyMap<string, Buffer>;
  readonly packed: ReadonlyMap<string, ChartTree>;
}

const maxDepth = 10;

/** Opens a package and every package in it. @throws ReplicationError `refused`, `corrupt` as `readArchive` */
export async function openChart(archive: Uint8Array, what = 'the chart archive', depth = 0): Promise<ChartTree> {
  const files = await readArchive(archive, chartArchiveLimits, what);
  const packed = new Map<string, ChartTree>();
  for (const [path, content] of files) {
    if (depth < maxDepth && /^[^/]+\/charts\/[^/]+\.tgz$/.test(path))
      packed.set(path, await openChart(content, `subchart ${path}`, depth + 1));
  }
  return { files, packed };
}

/** Texts of the chart by path; `web/charts/sub.tgz!/sub/values.yaml` for a file of a packed subchart. Other files are left out. */
export function textsOf(tree: ChartTree, prefix = ''): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const [path, content] of tree.files) {
    const inner = tree.packed.get(path);
    if (inner !== undefined) for (const [at, text] of textsOf(inner, `${prefix}${path}!/`)) texts.set(at, text);
    const text = content.toString('utf8');
    if (inner === undefined && Buffer.from(text, 'utf8').equals(content)) texts.set(`${prefix}${path}`, text);
  }
  return texts;
}

/** The package with some texts changed. A packed subchart without changes keeps its bytes. */
export function packChart(tree: ChartTree, changes: ReadonlyMap<string, string>, prefix = ''): Buffer {
  const files = new Map<string, Buffer>();
  for (const [path, content] of tree.files) {
    const inner = tree.packed.get(path);
    const below = `${prefix}${path}!/`;
    if (inner !== undefined && [...changes.keys()].some((each) => each.startsWith(below)))
      files.set(path, packChart(inner, changes, below));
    else {
      const change = changes.get(`${prefix}${path}`);
      files.set(path, change === undefined ? content : Buffer.from(change, 'utf8'));
    }
  }
  return writeArchive(files);
}

/** Path of the chart's own Chart.yaml. */
export function chartYamlPath(tree: ChartTree): string | undefined {
  return [...tree.files.keys()].find((path) => /^[^/]+\/Chart\.yaml$/.test(path));
}
