import { html } from 'hono/html';
import type { ConditionalReference, IsolationPlace } from '../../model/isolation.ts';
import { counted, formatDuration } from '../format.ts';
import { placeText } from '../report-data-charts.ts';
import type { ReportChart, ReportData, ReportReference } from '../report-data.ts';
import { badge, code, folded, list, type Markup, outcomeBadge, outcomeWords, section, tag } from './parts.ts';

/** Each chart with the references it renders, what controls them, and the proof. */
export function chartSection({ charts, verdict }: ReportData): Markup {
  return section(
    'charts',
    'Charts and their references',
    html`<p class="soft">
        Proven: the chart, pulled back from the target and rendered with the published values, names the image there,
        and the target holds it whole. Allowed: at a host that the cluster can reach. Not covered: still leads
        elsewhere. A chart holds when everything that its values control is proven.
      </p>
      ${charts.map((chart) => chartBlock(chart, verdict))}
      <p class="no-match" hidden>Nothing here matches.</p>`,
  );
}

function chartBlock(chart: ReportChart, verdict: ReportData['verdict']): Markup {
  return html`<details class="chart" data-chart="${chart.key}" ${chart.holds ? '' : html`open`}>
    <summary>
      <h3>${chart.name} ${chart.version}</h3>
      ${chart.key === chart.name ? '' : tag(chart.key, 'key in the data files')}
      ${chart.holds ? badge('holds', 'good') : badge('does not hold', 'bad')}
      <span class="soft">${counts(chart)}</span>
    </summary>
    <div class="inside">
      <p class="sub">
        ${code(chart.target)}${chart.profiles.length > 0 ? `, profiles ${chart.profiles.join(', ')}` : ''};
        ${counted(chart.renders, 'render')} in ${formatDuration(chart.seconds)}
      </p>
      ${chart.problems.map((problem) => html`<div class="block bad"><pre>${problem}</pre></div>`)}
      ${chart.warnings.map((warning) => html`<div class="block warn"><pre>${warning}</pre></div>`)}
      ${chart.references.length === 0 ? html`<p>The chart renders no image reference.</p>` : references(chart, verdict)}
      ${conditional(chart.conditional)} ${rejected(chart)} ${derived(chart)}
    </div>
  </details> `;
}

function counts({ references, conditional }: ReportChart): string {
  const words = (['proven', 'allowed', 'unproven', 'gap', 'failed'] as const).flatMap((standing) => {
    const { length } = references.filter((each) => each.standing === standing);
    return length === 0 ? [] : [`${length} ${outcomeWords[standing][0]}`];
  });
  const hidden = conditional.length > 0 ? [`${conditional.length} conditional`] : [];
  return [counted(references.length, 'reference'), ...words, ...hidden].join(' · ');
}

function references({ key, references, profiles }: ReportChart, verdict: ReportData['verdict']): Markup {
  return html`<table class="sortable">
    <caption class="visually-hidden">
      References of ${key}
    </caption>
    <thead>
      <tr>
        <th scope="col" class="names">Reference</th>
        <th scope="col">Set by value</th>
        <th scope="col">Where it stands</th>
        <th scope="col" class="proof">Proof</th>
      </tr>
    </thead>
    <tbody>
      ${references.map((reference) => referenceRow(key, reference, profiles, verdict))}
    </tbody>
  </table>`;
}

function referenceRow(
  key: string,
  reference: ReportReference,
  profiles: readonly string[],
  verdict: ReportData['verdict'],
): Markup {
  const { target, digest, standing, places } = reference;
  const [first, ...more] = places;
  return html`<tr
    data-row="reference"
    data-outcome="${standing}"
    data-host="${reference.host}"
    data-charts="${JSON.stringify([key])}"
  >
    <th scope="row" class="names" data-sort="${reference.reference}">
      ${code(reference.reference)}
      ${target === undefined ? '' : html`<div class="sub"><span aria-label="to">→</span> ${code(target)}</div>`}
      ${digest === undefined ? '' : html`<div class="sub">${code(digest)}</div>`}
    </th>
    <td data-sort="${reference.controlledBy.join(' ')}">${controls(reference)}</td>
    <td data-sort="${first === undefined ? '' : placeText(first)}">
      ${first === undefined ? '' : placeLines(first)}
      ${more.length === 0 ? '' : folded(`and ${counted(more.length, 'more place')}`, more.map(placeLines))}
      ${profilesText(reference, profiles)}
    </td>
    <td data-sort="${standing}">${outcomeBadge(standing, verdict)}${proofText(reference)}</td>
  </tr> `;
}

function placeLines({ template, line, object, field, onlyUpgrade }: IsolationPlace): Markup {
  return html`<div class="place">
    ${code(`${template}:${line}`)}
    ${onlyUpgrade === true ? tag('upgrades only', 'only an upgrade of the release has it') : ''}
    <div>${code(object)}</div>
    <div>${code(field)}</div>
  </div> `;
}

function controls({ controlledBy, insideList, pinned, outcome, kind }: ReportReference): Markup {
  return html`${controlledBy.length === 0 ? html`<span class="soft">no value</span>` : controlledBy.map((path) => html`<div>${code(path)}</div>`)}
  ${outcome === 'patched' ? tag('patched', 'the chart’s template was changed') : ''}
  ${insideList ? tag('in a list', 'the EKS module appends lists instead of replacing them') : ''}
  ${pinned ? tag('by digest', 'pinned by digest') : ''}
  ${kind === 'text' ? tag('in a text', 'found in an argument, a variable, an annotation or a document') : ''}
  ${kind === 'field' ? tag('in a field', 'found in a field of a custom resource') : ''}`;
}

function profilesText({ profiles }: ReportReference, all: readonly string[]): Markup | '' {
  if (profiles.length === 0) return html`<div class="sub">only where a condition is switched on</div>`;
  return profiles.length === all.length ? '' : html`<div class="sub">profiles: ${profiles.join(', ')}</div>`;
}

function proofText({ problem, why }: ReportReference): Markup | '' {
  const text = problem ?? why;
  return text === undefined ? '' : html`<pre>${text}</pre>`;
}

function conditional(all: readonly ConditionalReference[]): Markup | '' {
  if (all.length === 0) return '';
  return html`<h4>Conditional images: in no render until a value switches them on</h4>
    <table>
      <thead>
        <tr>
          <th scope="col">Image</th>
          <th scope="col">Value</th>
          <th scope="col">Switched on by</th>
          <th scope="col">At the target</th>
        </tr>
      </thead>
      <tbody>
        ${all.map(
          ({ references, valuePath, switches, copied }) =>
            html`<tr>
              <th scope="row">${references.map((each) => html`<div>${code(each)}</div>`)}</th>
              <td>${code(valuePath)}</td>
              <td>
                ${switches.length === 0 ? html`<span class="soft">not found</span>` : switches.map((each) => html`<div>${code(each)}</div>`)}
              </td>
              <td>${copied ? badge('copied', 'good') : badge('not copied', 'calm')}</td>
            </tr> `,
        )}
      </tbody>
    </table>`;
}

function rejected({ rejected }: ReportChart): Markup | '' {
  if (rejected.length === 0) return '';
  return folded(
    `Rejected guesses (${rejected.length}): they look like images, and no registry knows them`,
    list(rejected.map(({ text, place, why }) => html`${code(text)} at ${code(placeText(place))}: ${why}`)),
  );
}

function derived({ derived }: ReportChart): Markup | '' {
  if (derived.length === 0) return '';
  return folded(
    `What else differs with the overrides, by the chart’s own rules (${derived.length})`,
    list(derived.map(({ template, before, after }) => html`${code(template)}: ${code(before)} becomes ${code(after)}`)),
  );
}
