import type { Tracking } from '../mirror/tracking.ts';

const heads = ['TARGET', 'SOURCE', 'DIGEST', 'MIRRORED', 'CHECKED', 'NEXT', 'STATE'] as const;

/** What the database says, as a table for people or a JSON object a line. Times are ISO 8601 in UTC. */
export function statusText(tracking: Tracking, json: boolean): string {
  const sections = tracking.sections();
  const images = tracking.images();
  if (json) {
    const lines = images.map((image) => {
      const section = sections.get(image.section);
      const { mirrored, checked, error, ...names } = image;
      return JSON.stringify({
        ...names,
        mirrored: timeText(mirrored),
        checked: timeText(checked),
        next: timeText(section?.next),
        failures: section?.failures ?? 0,
        error: error ?? section?.error,
      });
    });
    return lines.map((line) => `${line}\n`).join('');
  }
  const rows = images.map(({ target, section, source, digest, mirrored, checked, error }) => [
    target,
    source,
    digest?.slice(0, 'sha256:'.length + 12) ?? '-',
    timeText(mirrored) ?? '-',
    timeText(checked) ?? '-',
    timeText(sections.get(section)?.next) ?? 'never',
    error === undefined ? 'ok' : `failed: ${error.split('\n')[0] ?? ''}`,
  ]);
  const tracked = new Set(images.map(({ section }) => section));
  // A section whose tags could not be found out has no image.
  for (const [name, state] of sections)
    if (!tracked.has(name))
      rows.push([
        `[${name}]`,
        '-',
        '-',
        '-',
        timeText(state.checked) ?? '-',
        timeText(state.next) ?? 'never',
        `failed: ${state.error ?? ''}`,
      ]);
  return rows.length === 0 ? 'nothing is mirrored yet\n' : table([[...heads], ...rows]);
}

function timeText(time: number | undefined): string | undefined {
  return time === undefined ? undefined : new Date(time).toISOString().replace(/\.\d+Z$/, 'Z');
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = heads.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
