import type { Spread } from '../measure/statistics.ts';
import type { CaseSummary, ToolSummary } from './summary.ts';

interface Column {
  readonly title: string;
  readonly cell: (tool: ToolSummary) => string;
}

const none = '–';

/** One table for terminal and Markdown: the columns are the same. */
const columns: readonly Column[] = [
  { title: 'tool', cell: ({ title }) => title },
  { title: 'seconds (min–max)', cell: ({ seconds }) => secondsText(seconds) },
  { title: 'ratio', cell: ({ ratio }) => ratio?.toFixed(2) ?? none },
  { title: 'complete', cell: completeText },
  { title: 'CPU s', cell: ({ cpuSeconds }) => cpuSeconds?.toFixed(1) ?? none },
  { title: 'peak MiB', cell: ({ peakRssBytes }) => whole(peakRssBytes, 2 ** 20) },
  { title: 'MB source/target', cell: (tool) => `${whole(tool.sourceBytes, 1e6)} / ${whole(tool.targetBytes, 1e6)}` },
  { title: 'requests source/target', cell: (tool) => `${whole(tool.sourceRequests)} / ${whole(tool.targetRequests)}` },
  { title: '429', cell: ({ throttled }) => whole(throttled) },
];

function secondsText(seconds: Spread | undefined): string {
  if (seconds === undefined) return none;
  const { median, min, max } = seconds;
  const digits = median < 10 ? 2 : 1;
  return `${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
}

function completeText({ runs, complete, refused }: ToolSummary): string {
  return `${complete} of ${runs}${refused === 0 ? '' : `, ${refused} refused`}`;
}

function whole(value: number | undefined, unit = 1): string {
  return value === undefined ? none : Math.round(value / unit).toLocaleString('en-US');
}

export function caseTitle({ corpus, profile, scenario }: CaseSummary): string {
  return `${corpus}, ${profile}, ${scenario}`;
}

function rowsOf({ tools }: CaseSummary): readonly (readonly string[])[] {
  return tools.map((tool) => columns.map(({ cell }) => cell(tool)));
}

/** Columns as wide as their widest cell; everything but the first is aligned to the right. */
export function terminalTable(summary: CaseSummary): string {
  const rows = [columns.map(({ title }) => title), ...rowsOf(summary)];
  const widths = columns.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('  ');
  return rows.map((row) => `${line(row).trimEnd()}\n`).join('');
}

/** GitHub Flavored Markdown, section "Tables (extension)". */
export function markdownTable(summary: CaseSummary): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  return [
    line(columns.map(({ title }) => title)),
    line(columns.map((_, at) => (at === 0 ? '---' : '---:'))),
    ...rowsOf(summary).map(line),
  ].join('');
}
