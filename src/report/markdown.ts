import { counted, cut, formatBytes, formatDuration } from './format.ts';
import { code, type Document, document, fenced } from './markdown-text.ts';
import type { ReportData } from './report-data.ts';
import { visible } from './report-data-visible.ts';

export interface MarkdownOptions {
  /** Longest text in characters, at least 1,000. A comment on GitHub takes 65,536. */
  readonly longest?: number | undefined;
}

/**
 * A summary in GitHub Flavored Markdown, for a build's log or a pull request. What needs attention comes first, and what does
 * not fit is counted. Everything from outside stands in code, where it is no markup, no link and nobody's name.
 */
export function markdownReport(report: ReportData, { longest = 60_000 }: MarkdownOptions = {}): string {
  const data = visible(report);
  const text = document(longest);
  text.add(`# Image replication: ${titles[data.verdict]}`);
  text.add([`Job ${code(data.job)}`, ...aboutRun(data)].join(', '));
  text.add(table(data).join('\n'));
  failures(text, data);
  gaps(text, data);
  rerun(text, data);
  copied(text, data);
  warnings(text, data);
  return text.end();
}

const titles: Readonly<Record<ReportData['verdict'], string>> = {
  done: 'done',
  failed: 'FAILED',
  planned: 'planned, nothing was copied',
  unfinished: 'not finished',
};

function aboutRun({ target, started, seconds }: ReportData): readonly string[] {
  return [
    ...(target === undefined ? [] : [`target ${code(target)}`]),
    `started ${started}`,
    ...(seconds === undefined ? [] : [`in ${formatDuration(seconds)}`]),
  ];
}

function table({ summary, charts, failures }: ReportData): readonly string[] {
  const { images, references, holding, bytesSent, size } = summary;
  const line = (name: string, { copied, unchanged, failed, open }: typeof images): string =>
    `| ${name} | ${copied} | ${unchanged} | ${failed} | ${open} |`;
  const named = Object.values(references).reduce((sum, each) => sum + each, 0);
  const isolation =
    charts.length === 0
      ? []
      : [
          `${references.proven} of ${counted(named, 'chart reference')} proven to be at the target` +
            `${references.allowed > 0 ? `, ${references.allowed} at allowed hosts` : ''}; ` +
            `${holding} of ${counted(charts.length, 'chart')} hold.`,
        ];
  return [
    '| | copied | unchanged | failed | not reached |',
    '|---|---:|---:|---:|---:|',
    line('images', images),
    line('charts', summary.charts),
    '',
    [
      `${formatBytes(bytesSent)} sent${size === undefined ? '' : `, ${formatBytes(size)} at the target`}, ${counted(failures.length, 'failure')}.`,
      ...isolation,
    ].join(' '),
  ];
}

function failures(text: Document, { failures }: ReportData): void {
  text.section(
    '## Failures',
    failures.map(({ artifact, side, host, code: kind, cause, remedy }) =>
      [
        `- ${code(artifact)} (${side}${host === undefined ? '' : ` ${code(host)}`}, ${kind})`,
        fenced(cause, '  '),
        ...(remedy === undefined ? [] : [`  What to do: ${code(remedy)}`]),
      ].join('\n'),
    ),
    'failures',
  );
}

function gaps(text: Document, { gaps, unexamined }: ReportData): void {
  const entries = gaps.map(({ chart, reference, standing, why, places, remedies }) =>
    [
      `- ${code(reference)} in chart ${code(chart)} (${standing === 'gap' ? 'not covered' : standing}): ${code(why)}`,
      `  - stands at ${code(places[0] ?? '')}${places.length > 1 ? ` and ${counted(places.length - 1, 'more place')}` : ''}`,
      ...remedies.map((remedy) => `  - what to do: ${code(remedy)}`),
    ].join('\n'),
  );
  const bare = unexamined.map((key) => `- chart ${code(key)} was not rendered: its images were not looked for`);
  text.section('## Not covered', [...entries, ...bare], 'references');
}

function rerun(text: Document, { rerun: { does, tagsAsked }, verdict }: ReportData): void {
  const title = verdict === 'planned' ? '## A run would' : '## A rerun would';
  const asks =
    tagsAsked === 0 ? [] : [`- ask the sources of ${counted(tagsAsked, 'image')} whether their tags have moved`];
  const nothing = does.length === 0 ? ['- do nothing: the target holds everything that was asked for'] : [];
  const items = does.map(({ artifact, why }) => `- ${code(artifact)}: ${why}`);
  text.section(title, [...nothing, ...asks, ...items], 'artifacts', 12);
}

function copied(text: Document, { artifacts }: ReportData): void {
  const rows = artifacts
    .filter(({ outcome }) => outcome === 'copied')
    .map(({ artifact, targets, size, bytesSent, seconds }) => {
      const names = targets.map((target) => code(target)).join(', ');
      const sent = `${formatBytes(bytesSent ?? 0)}${size === undefined ? '' : ` of ${formatBytes(size)}`}`;
      return `- ${code(artifact)} to ${names} (${sent}, ${formatDuration(seconds ?? 0)})`;
    });
  text.section('## Copied', rows, 'artifacts', 30);
}

function warnings(text: Document, { notices }: ReportData): void {
  const messages = notices
    .filter(({ level }) => level === 'warning')
    .map(({ message }) => `- ${code(cut(message, 500))}`);
  text.section('## Warnings', messages, 'warnings', 20);
}
