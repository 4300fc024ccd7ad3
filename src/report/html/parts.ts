import { html } from 'hono/html';
import type { ArtifactOutcome, ReportData, Standing } from '../report-data.ts';

/** Markup. What is put into `html` as text is escaped there. */
export type Markup = ReturnType<typeof html>;

export type Tone = 'good' | 'calm' | 'warn' | 'bad';

/** Words and tones of outcomes, the same everywhere in the page. */
export const outcomeWords: Readonly<Record<ArtifactOutcome | Standing, readonly [word: string, tone: Tone]>> = {
  copied: ['copied', 'good'],
  unchanged: ['unchanged', 'calm'],
  open: ['not reached', 'warn'],
  failed: ['failed', 'bad'],
  proven: ['proven', 'good'],
  allowed: ['allowed', 'calm'],
  unproven: ['unproven', 'warn'],
  gap: ['not covered', 'warn'],
};

/** In a dry run nothing is reached, and nothing is amiss. */
export function outcomeBadge(outcome: ArtifactOutcome | Standing, verdict: ReportData['verdict']): Markup {
  if (outcome === 'open' && verdict === 'planned') return badge('planned', 'calm');
  const [word, tone] = outcomeWords[outcome];
  return badge(word, tone);
}

export function badge(word: string, tone: Tone): Markup {
  return html`<span class="badge ${tone}">${word}</span>`;
}

export function tag(word: string, title: string): Markup {
  return html` <span class="tag" title="${title}">${word}</span>`;
}

export function section(id: string, title: string, content: unknown): Markup {
  return html`<section id="${id}" aria-labelledby="${id}-title">
    <h2 id="${id}-title">${title}</h2>
    ${content}
  </section> `;
}

export function list(items: readonly unknown[]): Markup {
  return html`<ul>
    ${items.map((item) => html`<li>${item}</li>`)}
  </ul>`;
}

export function code(text: string): Markup {
  return html`<code>${text}</code>`;
}

/** `2026-11-21 08:36:51 UTC` */
export function time(iso: string): Markup {
  return html`<time datetime="${iso}">${iso.replace('T', ' ').replace(/(?:\.\d+)?Z$/, ' UTC')}</time>`;
}

/** Folded away until it is asked for. */
export function folded(title: string, content: unknown): Markup {
  return html`<details>
    <summary>${title}</summary>
    ${content}
  </details>`;
}
