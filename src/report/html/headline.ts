import { html } from 'hono/html';
import { counted, formatCount, formatBytes, formatDuration } from '../format.ts';
import type { ReportData } from '../report-data.ts';
import { code, type Markup, time, type Tone } from './parts.ts';

export const verdictWords: Readonly<Record<ReportData['verdict'], string>> = {
  done: 'done',
  failed: 'failed',
  planned: 'planned (nothing was copied)',
  unfinished: 'not finished',
};

export function headline(data: ReportData, contents: readonly (readonly [id: string, title: string])[]): Markup {
  const took = data.seconds === undefined ? '' : html`, in ${formatDuration(data.seconds)}`;
  return html`<header>
    <div class="head">
      <div>
        <h1>Image replication: ${verdictWords[data.verdict]}</h1>
        <p class="lead">${sentence(data)}</p>
        <p class="soft">
          Job ${code(data.job)}${data.target === undefined ? '' : html`, target ${code(data.target)}`}, started
          ${time(data.started)}${took}
        </p>
      </div>
      <p class="theme" hidden>
        <label
          >Theme
          <select id="theme">
            <option value="">as the system</option>
            <option value="light">light</option>
            <option value="dark">dark</option>
          </select></label
        >
      </p>
    </div>
    <ul class="cards">
      ${cards(data)}
    </ul>
    <nav aria-label="Contents">
      <ul class="contents">
        ${contents.map(([id, title]) => html`<li><a href="#${id}">${title}</a></li>`)}
      </ul>
    </nav>
  </header>`;
}

/** The run in one sentence. */
function sentence({ verdict, summary, failures, gaps }: ReportData): string {
  const { images, charts } = summary;
  const copied = images.copied + charts.copied;
  const held = copied + images.unchanged + charts.unchanged;
  if (verdict === 'planned') {
    return `${counted(images.open + images.unchanged, 'image')} and ${counted(charts.open + charts.unchanged, 'chart')} would be copied, unless the target holds them already.`;
  }
  if (verdict === 'failed') {
    return `${counted(failures.length, 'failure')}; ${counted(held, 'artifact')} of ${total(summary)} are at the target.`;
  }
  if (verdict === 'unfinished') return `${counted(held, 'artifact')} of ${total(summary)} are at the target so far.`;
  const what =
    copied === 0
      ? `Nothing to copy: the target holds ${counted(held, 'artifact')} already`
      : `${counted(held, 'artifact')} are at the target, ${formatCount(copied)} of them copied by this run`;
  return gaps.length === 0 ? `${what}.` : `${what}; ${counted(gaps.length, 'reference')} not covered.`;
}

function total({ images, charts }: ReportData['summary']): string {
  const all = [...Object.values(images), ...Object.values(charts)].reduce((sum, each) => sum + each, 0);
  return formatCount(all);
}

function cards(data: ReportData): readonly Markup[] {
  const { images, charts, references, holding, bytesSent, size } = data.summary;
  const examined = data.charts.length;
  const named = Object.values(references).reduce((sum, each) => sum + each, 0);
  const all: Markup[] = [
    artifactCard('Images', images),
    artifactCard('Charts', charts),
    card(
      'Sent to the target',
      formatBytes(bytesSent),
      `by this run${size === undefined ? '' : `, of ${formatBytes(size)} in all`} (1 MB = 1,000,000 bytes)`,
      'calm',
    ),
  ];
  if (examined > 0) {
    const rest = references.allowed > 0 ? `, ${references.allowed} at allowed hosts` : '';
    const whole = references.proven + references.allowed === named;
    all.push(
      card(
        'References proven',
        `${references.proven} of ${named}`,
        `in ${counted(examined, 'chart')}${rest}`,
        whole ? 'good' : 'warn',
      ),
      card(
        'Charts that hold',
        `${holding} of ${examined}`,
        'pulled back and rendered',
        holding === examined ? 'good' : 'bad',
      ),
    );
  }
  const { length } = data.failures;
  all.push(card('Failures', String(length), length > 0 ? 'in full below' : 'none', length > 0 ? 'bad' : 'good'));
  return all;
}

function artifactCard(title: string, counts: ReportData['summary']['images']): Markup {
  const { copied, unchanged, failed, open } = counts;
  const parts = [`${copied} copied`, `${unchanged} unchanged`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (open > 0) parts.push(`${open} not reached`);
  const tone = failed > 0 ? 'bad' : open > 0 ? 'warn' : 'good';
  return card(title, formatCount(copied + unchanged + failed + open), parts.join(', '), tone);
}

function card(title: string, value: string, detail: string, tone: Tone): Markup {
  return html`<li class="card ${tone}">${title} <b>${value}</b> <span class="soft">${detail}</span></li> `;
}
