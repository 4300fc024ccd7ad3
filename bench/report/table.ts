import type { Spread } from '../measure/statistics.ts';
import { renderTable } from './figures.ts';
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

/** A row for each tool; for a terminal, or in GitHub Flavored Markdown. */
export function caseTable(summary: CaseSummary, markdown: boolean): string {
  const titles = columns.map(({ title }) => title);
  return `${renderTable({ titles, rows: rowsOf(summary), textColumns: 1 }, markdown)}\n`;
}
