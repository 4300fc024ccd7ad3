import { html } from 'hono/html';
import type { ReportData, ReportFailure, ReportGap } from '../report-data.ts';
import { code, list, type Markup, outcomeBadge, section } from './parts.ts';

/** Every failure in full: what, where, why, and what to do. */
export function failureSection({ failures }: ReportData): Markup {
  return section('failures', `Failures (${failures.length})`, failures.map(failureBlock));
}

function failureBlock({ artifact, side, host, code: kind, cause, reference, digest, remedy }: ReportFailure): Markup {
  const more = [
    ['where', host === undefined ? side : html`${side}, ${code(host)}`],
    ['reference', reference === undefined || reference === artifact ? undefined : code(reference)],
    ['digest', digest === undefined ? undefined : code(digest)],
    ['kind', code(kind)],
    ['what to do', remedy],
  ] as const;
  return html`<div class="block bad">
    <h3>${code(artifact)}</h3>
    <pre>${cause}</pre>
    ${details(more)}
  </div> `;
}

/** What the cluster would still take from elsewhere, and charts that nobody looked into. */
export function gapSection({ gaps, unexamined, verdict }: ReportData): Markup {
  return section(
    'gaps',
    `Not covered (${gaps.length + unexamined.length})`,
    html`${gaps.map((gap) => gapBlock(gap, verdict))} ${unexamined.length === 0 ? '' : unexaminedBlock(unexamined)}`,
  );
}

function gapBlock(gap: ReportGap, verdict: ReportData['verdict']): Markup {
  return html`<div class="block ${gap.standing === 'failed' ? 'bad' : 'warn'}">
    <h3>${code(gap.reference)} ${outcomeBadge(gap.standing, verdict)}</h3>
    <pre>${gap.why}</pre>
    ${details([
      ['chart', gap.chart],
      ['stands at', list(gap.places.map(code))],
      ['at the target', gap.target === undefined ? undefined : code(gap.target)],
      ['what to do', gap.remedies.length === 1 ? gap.remedies[0] : list(gap.remedies)],
    ])}
  </div> `;
}

function unexaminedBlock(charts: readonly string[]): Markup {
  return html`<div class="block warn">
    <h3>Charts that were not rendered</h3>
    <p>
      Their images were not looked for: there was no helm, the chart could not be had, or rendering was switched off.
    </p>
    ${list(charts.map(code))}
  </div>`;
}

function details(entries: readonly (readonly [term: string, text: unknown])[]): Markup {
  return html`<dl>
    ${entries.map(([term, text]) =>
      text === undefined
        ? ''
        : html`<dt>${term}</dt>
            <dd>${text}</dd> `,
    )}
  </dl>`;
}
