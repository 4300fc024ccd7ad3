import { writeFile } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import type { Machine } from '../measure/machine.ts';

/** `2 cores (AMD EPYC), Linux 6.1, Node v20.20.2`. */
export function machineText({ cores, cpu, system, node }: Machine): string {
  return `${cores} cores (${cpu}), ${system}, Node ${node}`;
}

/** A table: the same for a terminal and for Markdown. */
export interface Table {
  readonly titles: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Columns from the left that hold text; those behind them hold figures, which are aligned to the right. */
  readonly textColumns: number;
}

export function renderTable(table: Table, markdown: boolean): string {
  return (markdown ? markdownTable : terminalTable)(table);
}

/** Columns as wide as their widest cell. */
function terminalTable({ titles, rows, textColumns }: Table): string {
  const lines = [titles, ...rows];
  const widths = titles.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
  const pad = (cell: string, at: number): string =>
    at < textColumns ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0);
  return lines.map((line) => line.map(pad).join('  ').trimEnd()).join('\n');
}

/** GitHub Flavored Markdown, section "Tables (extension)". */
function markdownTable({ titles, rows, textColumns }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(titles), line(titles.map((_, at) => (at < textColumns ? '---' : '---:'))), ...rows.map(line)].join('\n');
}

/** Shows a report on the terminal, and writes it to the files that were asked for, as data and as Markdown. */
export async function leaveFigures<Report>(
  report: Report,
  render: (report: Report, markdown: boolean) => string,
  stdout: Writable,
  files: { readonly json?: string; readonly markdown?: string },
): Promise<void> {
  stdout.write(render(report, false));
  if (files.json !== undefined) await writeFile(files.json, `${JSON.stringify(report, undefined, 1)}\n`);
  if (files.markdown !== undefined) await writeFile(files.markdown, render(report, true));
}
