import type { LockFinding } from '../model/lock.ts';
import type { RunEvent } from './events.ts';
import { counted, cut, oneLine } from './format.ts';

/** Names longer than this are told in full among the failures. */
const widest = 80;

/** What a check against a lock has found, as a table. */
export function findingLines({ images, charts, findings }: Extract<RunEvent, { type: 'checked' }>): readonly string[] {
  const what = `checked ${counted(images, 'image')} and ${counted(charts, 'chart')}`;
  if (findings.length === 0) return [`${what}: all as locked`];
  const rows = [['STATE', 'AT', 'NAME', 'LOCKED', 'FOUND'], ...findings.map(rowOf)];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
  return [`${what}: ${counted(findings.length, 'finding')}`, ...lines.map((line) => line.trimEnd())];
}

function rowOf({ state, at, artifact, reference, locked, found }: LockFinding): readonly string[] {
  // At the target one artifact may have several names.
  const name = short(oneLine(at === 'target' ? reference : artifact));
  return [state, at, cut(name, widest), short(locked), foundText(locked, found)];
}

function foundText(locked: string, found: string | undefined): string {
  if (found === undefined) return '-';
  return found === locked ? 'in part' : short(found);
}

/** As docker shortens digests, those in tags of signatures too: enough to tell them apart. */
function short(text: string): string {
  return text.replaceAll(/\b([0-9a-f]{12})[0-9a-f]{52,}/g, '$1');
}
