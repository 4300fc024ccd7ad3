import { html } from 'hono/html';
import { counted, formatBytes, formatDuration } from '../format.ts';
import type { ReportData } from '../report-data.ts';
import { isMeasured, spentText } from '../spent-text.ts';
import { badge, code, folded, list, type Markup, section } from './parts.ts';

/** What the same run would do if it were started again. */
export function rerunSection({ rerun, verdict }: ReportData): Markup {
  const { does, tagsAsked } = rerun;
  const tags =
    tagsAsked === 0
      ? ''
      : html`<p>
          ${counted(tagsAsked, 'image')} ${tagsAsked === 1 ? 'is' : 'are'} named by tag: their sources are asked whether
          the tag has moved, and what moved is copied.
        </p>`;
  const items = list(does.map(({ artifact, why }) => html`${code(artifact)}: ${why}`));
  const content =
    does.length === 0
      ? html`<p>Nothing: the target holds everything that was asked for.</p>`
      : does.length > 12
        ? folded(`${counted(does.length, 'thing')} to do`, items)
        : items;
  const title = verdict === 'planned' ? 'What a run would do' : 'What a rerun would do';
  return section('rerun', title, html`${content}${tags}`);
}

/** Notices, where the time went, what was repeated, and the files that were written. */
export function runSection(data: ReportData): Markup {
  const { notices, phases, retries, files, totals } = data;
  return section(
    'run',
    'About the run',
    html`${
      totals === undefined
        ? ''
        : html`<p>${totalsText(totals)}</p>
            ${timeText(totals)}`
    }
    ${
      notices.length === 0
        ? ''
        : html`<h3>Notices</h3>
            ${list(notices.map(({ level, message }) => html`${level === 'warning' ? badge('warning', 'warn') : ''} ${message}`))}`
    }
    ${
      phases.length === 0
        ? ''
        : html`<h3>Steps</h3>
            ${list(phases.map(({ phase, seconds }) => html`${phase}${seconds === undefined ? '' : `: ${formatDuration(seconds)}`}`))}`
    }
    ${
      retries.length === 0
        ? ''
        : html`<h3>Repeated requests</h3>
            ${list(retries.map(({ host, reason, count }) => html`${code(host)}: ${counted(count, 'time')}, ${reason}`))}`
    }
    ${
      files.length === 0
        ? ''
        : html`<h3>Files</h3>
            ${list(files.map(code))}`
    }`,
  );
}

function totalsText({
  bytesRead,
  bytesWritten,
  blobsWritten,
  blobsMounted,
  manifestsWritten,
  seconds,
}: NonNullable<ReportData['totals']>): string {
  const mounted = blobsMounted > 0 ? `, ${blobsMounted} mounted` : '';
  return `${formatBytes(bytesRead)} read and ${formatBytes(bytesWritten)} sent in ${formatDuration(seconds)}: ${counted(blobsWritten, 'blob')}${mounted}, ${counted(manifestsWritten, 'manifest')}.`;
}

/** As the summary at the terminal says it. */
function timeText({ seconds, spent }: NonNullable<ReportData['totals']>): Markup | '' {
  return spent === undefined || !isMeasured(spent) ? '' : html`<p>Time: ${spentText({ seconds, spent })}.</p>`;
}
