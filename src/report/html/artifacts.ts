import { html } from 'hono/html';
import { counted, formatBytes, formatDuration } from '../format.ts';
import type { ReportArtifact, ReportData } from '../report-data.ts';
import { code, folded, list, type Markup, outcomeBadge, section, tag } from './parts.ts';

/** What was copied: every image and chart, with where it came from and where it went. */
export function artifactSection({ artifacts, verdict }: ReportData): Markup {
  return section(
    'artifacts',
    'Images and charts',
    html`<table class="sortable">
        <caption>
          Source, target and digest of each; “size” is everything in it, “sent” what this run moved to the target
        </caption>
        <thead>
          <tr>
            <th scope="col" class="names">Image or chart</th>
            <th scope="col" class="host">Host</th>
            <th scope="col" class="outcome">Outcome</th>
            <th scope="col" class="platforms">Platforms</th>
            <th scope="col" class="number">Size</th>
            <th scope="col" class="number">Sent</th>
            <th scope="col" class="number">Time</th>
            <th scope="col" class="needed">Needed by</th>
          </tr>
        </thead>
        <tbody>
          ${artifacts.map((artifact) => artifactRow(artifact, verdict))}
        </tbody>
      </table>
      <p class="no-match" hidden>Nothing here matches.</p>`,
  );
}

function artifactRow(artifact: ReportArtifact, verdict: ReportData['verdict']): Markup {
  const { size, bytesSent, seconds, platforms, charts, host, origins } = artifact;
  return html`<tr
    data-row="artifact"
    data-outcome="${artifact.outcome}"
    data-host="${host}"
    data-charts="${JSON.stringify(charts)}"
  >
    <th scope="row" class="names" data-sort="${artifact.artifact}">${names(artifact)}</th>
    <td data-label="Host">${host}</td>
    <td>${outcomeBadge(artifact.outcome, verdict)}</td>
    <td data-label="Platforms">${platforms === 'all' ? 'all' : platforms.join(', ')}</td>
    <td class="number" data-label="Size" data-sort="${size ?? ''}">${size === undefined ? '' : formatBytes(size)}</td>
    <td class="number" data-label="Sent" data-sort="${bytesSent ?? ''}">
      ${bytesSent === undefined ? '' : formatBytes(bytesSent)}
    </td>
    <td class="number" data-label="Time" data-sort="${seconds ?? ''}">
      ${seconds === undefined ? '' : formatDuration(seconds)}
    </td>
    <td data-label="Needed by" data-sort="${charts.join(', ')}">${charts.join(', ')} ${originsOf(origins)}</td>
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
