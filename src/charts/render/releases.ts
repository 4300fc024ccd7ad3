import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { chartArchiveLimits } from '../archive-limits.ts';
import { readArchive } from '../archive.ts';
import type { RenderOutcome, RenderRequest } from './port.ts';
import { joinParts, splitRender } from './split.ts';

/**
 * What is rendered for an install and, behind it, for an upgrade: all documents of both, also those that are the same in both.
 * Which ones differ can depend on the values, and renders under different values are compared place by place.
 */
export function joinReleases(install: RenderOutcome, upgrade: RenderOutcome): RenderOutcome {
  const cost = { seconds: install.seconds + upgrade.seconds, renders: 2 };
  if (install.kind === 'refused') return { ...install, ...cost };
  if (upgrade.kind === 'refused') return { ...install, upgradeRefusal: upgrade.refusal, ...cost };
  const parts = splitRender(upgrade.text).map((part) => ({ ...part, isUpgrade: true as const }));
  return { ...install, text: `${install.text}${joinParts(parts)}`, ...cost };
}

/** The words are looked for in all that reaches a template engine, `tpl` included. A mention in a comment costs a render and no more. */
const words = ['IsUpgrade', 'IsInstall'] as const;

/** Tells whether a render can depend on whether it is an upgrade. Archives are read once. */
export function asksForUpgrade(): (request: RenderRequest) => Promise<boolean> {
  const known = new WeakMap<Uint8Array, Promise<boolean>>();
  return async ({ chart, values = [] }) => {
    if (words.some((word) => JSON.stringify(values).includes(word))) return true;
    const answer = (typeof chart === 'string' ? undefined : known.get(chart)) ?? chartAsks(chart);
    if (typeof chart !== 'string') known.set(chart, answer);
    return answer;
  };
}

async function chartAsks(chart: string | Uint8Array): Promise<boolean> {
  try {
    if (typeof chart !== 'string') return await archiveAsks(chart, 0);
    return (await stat(chart)).isFile() ? await archiveAsks(await readFile(chart), 0) : await folderAsks(chart);
  } catch {
    return false; // what is wrong with the chart is helm's to say
  }
}

const maxDepth = 10;

async function archiveAsks(archive: Uint8Array, depth: number): Promise<boolean> {
  for (const [path, content] of await readArchive(archive, chartArchiveLimits, 'the chart archive'))
    if (await fileAsks(path, content, depth)) return true;
  return false;
}

async function folderAsks(folder: string): Promise<boolean> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && (await fileAsks(path, await readFile(path), 0))) return true;
  }
  return false;
}

async function fileAsks(path: string, content: Buffer, depth: number): Promise<boolean> {
  if (path.endsWith('.md')) return false;
  if (/\/charts\/[^/]+\.tgz$/.test(path)) return depth < maxDepth && archiveAsks(content, depth + 1);
  // Values have a page of comments for each line.
  const text = path.endsWith('/values.yaml') ? content.toString('utf8').replaceAll(/^\s*#.*$/gm, '') : content;
  return words.some((word) => text.includes(word));
}
