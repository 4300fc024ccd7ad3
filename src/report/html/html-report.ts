import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { html, raw } from 'hono/html';
import { visible } from '../report-data-visible.ts';
import type { ReportData } from '../report-data.ts';
import { rerunSection, runSection } from './aftermath.ts';
import { artifactSection } from './artifacts.ts';
import { chartSection } from './charts.ts';
import { headline, verdictWords } from './headline.ts';
import type { Markup } from './parts.ts';
import { toolbar } from './toolbar.ts';
import { failureSection, gapSection } from './trouble.ts';

/**
 * The report as one HTML file that needs nothing else: no network, no other file. Opened from disk or from S3, it runs its
 * own script only (Content-Security-Policy with hashes), and is whole without it. Texts are escaped, and what could not be seen
 * in them is written out.
 */
export async function htmlReport(report: ReportData): Promise<string> {
  const data = visible(report);
  const [style, script] = await Promise.all(['./page.css', './page.js'].map(ownFile));
  const title = `Image replication: ${verdictWords[data.verdict]}, ${data.job}, ${data.started.slice(0, 10)}`;
  const parts = sectionsOf(data);
  const page = await html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${policy(style ?? '', script ?? '')}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="referrer" content="no-referrer" />
        <title>${title}</title>
        <link rel="icon" href="data:," />
        ${raw(`<style>${style ?? ''}</style>`)}
      </head>
      <body>
        <a class="skip" href="#main">Skip to the content</a>
        ${headline(
          data,
          parts.map(({ id, title }) => [id, title]),
        )}
        <main id="main" tabindex="-1">${parts.map(({ content }) => content)}</main>
        ${raw(`<script type="module">${script ?? ''}</script>`)}
      </body>
    </html> `;
  return page.toString();
}

interface Part {
  readonly id: string;
  readonly title: string;
  readonly content: Markup;
}

/** What needs attention stands first. */
function sectionsOf(data: ReportData): readonly Part[] {
  const parts: Part[] = [];
  const { failures, gaps, unexamined, charts } = data;
  if (failures.length > 0) parts.push({ id: 'failures', title: 'Failures', content: failureSection(data) });
  if (gaps.length + unexamined.length > 0) parts.push({ id: 'gaps', title: 'Not covered', content: gapSection(data) });
  parts.push({
    id: 'artifacts',
    title: 'Images and charts',
    content: html`${toolbar(data)}${artifactSection(data)}`,
  });
  if (charts.length > 0) parts.push({ id: 'charts', title: 'References', content: chartSection(data) });
  parts.push({ id: 'rerun', title: 'A rerun', content: rerunSection(data) });
  parts.push({ id: 'run', title: 'About the run', content: runSection(data) });
  return parts;
}

/** Nothing from outside the page, and inside it nothing but its own style and script. @see https://www.w3.org/TR/CSP3/ */
function policy(style: string, script: string): string {
  const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  return [
    "default-src 'none'",
    `style-src ${hash(style)}`,
    `script-src ${hash(script)}`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ');
}

function ownFile(name: string): Promise<string> {
  return readFile(new URL(name, import.meta.url), 'utf8');
}
