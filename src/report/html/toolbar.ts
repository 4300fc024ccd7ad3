import { html, raw } from 'hono/html';
import type { ReportData } from '../report-data.ts';
import { type Markup, outcomeWords } from './parts.ts';

/** Search and filters over images, charts and references. Shown by the page's script, without which it is of no use. */
export function toolbar(data: ReportData): Markup {
  const { artifacts, charts } = data;
  const references = charts.flatMap((chart) => chart.references);
  const keys = [...artifacts.flatMap((artifact) => artifact.charts), ...charts.map(({ key }) => key)];
  const hosts = [...artifacts, ...references].map(({ host }) => host);
  const copies = new Set(artifacts.map(({ outcome }) => outcome));
  const standings = new Set(references.map(({ standing }) => standing));
  const outcomes = [...new Set([...copies, ...standings])].map((each) => [each, outcomeWords[each][0]] as const);
  return html`<form class="toolbar" id="toolbar" role="search" aria-label="Filter the tables" hidden>
    <label
      >Search <kbd>/</kbd> <input id="search" type="search" autocomplete="off" spellcheck="false" aria-keyshortcuts="/"
    /></label>
    ${choice('Chart', 'chart', alike(keys))} ${choice('Host', 'host', alike(hosts))}
    ${choice('Outcome', 'outcome', outcomes)}
    <button type="button" id="reset">Reset</button>
    <output id="shown" for="search"></output>
  </form> `;
}

type Option = readonly [value: string, text: string];

function alike(values: readonly string[]): readonly Option[] {
  return [...new Set(values)]
    .filter((value) => value !== '')
    .sort()
    .map((value) => [value, value]);
}

function choice(label: string, name: string, options: readonly Option[]): Markup {
  // Without anything to choose; the page's script asks it all the same.
  return html`<label ${options.length === 0 ? raw('hidden') : ''}
    >${label}
    <select name="${name}">
      <option value="">all</option>
      ${options.map(([value, text]) => html`<option value="${value}">${text}</option>`)}
    </select></label
  >`;
}
