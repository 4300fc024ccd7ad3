import { html } from 'hono/html';
import { counted, formatBytes, formatDuration } from '../format.ts';
import type { ReportArtifact, ReportData } from '../report-data.ts';
import { code, folded, list, type Markup, outcomeBadge, section, tag } from './parts.ts';

interface Column {
  readonly head: Markup;
  readonly cell: (artifact: ReportArtifact, verdict: ReportData['verdict']) => Markup;
  /** Whether it says anything of an artifact; without it: of any. */
  readonly says?: (artifact: ReportArtifact) => boolean;
}

const columns: readonly Column[] = [
  {
    head: html`<th scope="col" class="names">Image or chart</th>`,
    cell: (each) => html`<th scope="row" class="names" data-sort="${each.artifact}">${names(each)}</th>`,
  },
  { head: html`<th scope="col" class="host">Host</th>`, cell: ({ host }) => html`<td data-label="Host">${host}</td>` },
  {
    head: html`<th scope="col" class="outcome">Outcome</th>`,
    cell: ({ outcome }, verdict) => html`<td>${outcomeBadge(outcome, verdict)}</td>`,
  },
  {
    head: html`<th scope="col" class="platforms">Platforms</th>`,
    cell: ({ platforms }) =>
      html`<td data-label="Platforms">${platforms === 'all' ? 'all' : platforms.join(', ')}</td>`,
  },
  numbers('Size', ({ size }) => size, formatBytes),
  numbers('Sent', ({ bytesSent }) => bytesSent, formatBytes),
  numbers('Time', ({ seconds }) => seconds, formatDuration),
  {
    head: html`<th scope="col" class="needed">Needed by</th>`,
    cell: ({ charts, origins }) =>
      html`<td data-label="Needed by" data-sort="${charts.join(', ')}">${charts.join(', ')} ${originsOf(origins)}</td>`,
    says: ({ charts, origins }) => charts.length + origins.length > 0,
  },
];

function numbers(
  title: string,
  value: (artifact: ReportArtifact) => number | undefined,
  text: (value: number) => string,
): Column {
  return {
    head: html`<th scope="col" class="number">${title}</th>`,
    cell: (artifact) => {
      const known = value(artifact);
      return html`<td class="number" data-label="${title}" data-sort="${known ?? ''}">
        ${known === undefined ? '' : text(known)}
      </td>`;
    },
    says: (artifact) => value(artifact) !== undefined,
  };
}

/** What was copied: every image and chart, with where it came from and where it went. A column that is empty is left out. */
export function artifactSection({ artifacts, verdict }: ReportData): Markup {
  const shown = columns.filter(({ says = () => true }) => artifacts.length === 0 || artifacts.some(says));
  return section(
    'artifacts',
    'Images and charts',
    html`<table class="sortable">
        <caption>
          ${captionOf(artifacts)}
        </caption>
        <thead>
          <tr>
            ${shown.map(({ head }) => head)}
          </tr>
        </thead>
        <tbody>
          ${artifacts.map((artifact) => artifactRow(artifact, shown, verdict))}
        </tbody>
      </table>
      <p class="no-match" hidden>Nothing here matches.</p>`,
  );
}

/** Words only for the columns that are there. */
function captionOf(artifacts: readonly ReportArtifact[]): string {
  const words = [
    ...(artifacts.some(({ size }) => size !== undefined) ? ['“size” is everything in it'] : []),
    ...(artifacts.some(({ bytesSent }) => bytesSent !== undefined)
      ? ['“sent” is what this run moved to the target']
      : []),
  ];
  return ['Source, target and digest of each', ...(words.length === 0 ? [] : [words.join(', ')])].join('; ');
}

function artifactRow(artifact: ReportArtifact, shown: readonly Column[], verdict: ReportData['verdict']): Markup {
  return html`<tr
    data-row="artifact"
    data-outcome="${artifact.outcome}"
    data-host="${artifact.host}"
    data-charts="${JSON.stringify(artifact.charts)}"
  >
    ${shown.map(({ cell }) => cell(artifact, verdict))}
  </tr> `;
}

function names({ kind, artifact, source, targets, digest, failures }: ReportArtifact): Markup {
  const sub = (content: unknown): Markup => html`<div class="sub">${content}</div>`;
  return html`${code(artifact)}${kind === 'chart' ? tag('chart', 'a Helm chart') : ''}
  ${source === artifact ? '' : sub(html`from ${code(source)}`)}
  ${targets.map((target) => sub(html`<span aria-label="to">→</span> ${code(target)}`))}
  ${digest === undefined ? '' : sub(code(digest))} ${failures.map(({ cause }) => sub(html`<pre>${cause}</pre>`))}`;
}

function originsOf(origins: readonly string[]): Markup | '' {
  return origins.length === 0
    ? ''
    : html`<div class="sub">
        ${folded(`asked for in ${counted(origins.length, 'place')}`, list(origins.map(code)))}
      </div>`;
}
