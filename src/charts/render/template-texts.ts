import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { chartArchiveLimits } from '../archive-limits.ts';
import { readArchive } from '../archive.ts';
import { insideFolder } from '../chart.ts';
import type { TemplateTexts } from './refusal.ts';

const maxBytes = 16 * 1024 * 1024;

/**
 * Sources of all templates of a chart and the subcharts in it, unpacked or packed, and the Chart.yaml, by their path inside the chart's
 * folder. Templates beyond 16 MiB are left out.
 * @param chart path of a chart folder or archive, or the archive itself
 * @throws ReplicationError `refused`, `corrupt` as `readArchive`; file system errors as they are
 */
export async function templateTexts(chart: string | Uint8Array): Promise<TemplateTexts> {
  const texts = new Map<string, string>();
  await collect(await filesOf(chart), '', texts, { left: maxBytes });
  return texts;
}

async function filesOf(chart: string | Uint8Array): Promise<ReadonlyMap<string, Buffer>> {
  if (typeof chart !== 'string') return insideFolder(await readArchive(chart, chartArchiveLimits, 'the chart archive'));
  if ((await stat(chart)).isFile()) return filesOf(await readFile(chart));
  const files = new Map<string, Buffer>();
  for (const entry of await readdir(chart, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(chart.replace(/\/+$/, '').length + 1), await readFile(path));
  }
  return files;
}

async function collect(
  files: ReadonlyMap<string, Buffer>,
  prefix: string,
  texts: Map<string, string>,
  budget: { left: number },
): Promise<void> {
  for (const [path, content] of files) {
    const packed = /^(charts\/[^/]+?)(?:-v?\d[^/]*)?\.tgz$/.exec(path)?.[1];
    if (packed !== undefined && prefix.length < 200) {
      const inner = insideFolder(await readArchive(content, chartArchiveLimits, `${path} in the chart archive`));
      await collect(inner, `${prefix}${packed}/`, texts, budget);
    } else if (/^Chart\.yaml$|^(?:charts\/[^/]+\/)*templates\//.test(path) && content.length <= budget.left) {
      budget.left -= content.length;
      texts.set(`${prefix}${path}`, content.toString('utf8'));
    }
  }
}
