import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../model/digest.ts';
import { type ReportInput, reportData } from '../report-data-build.ts';
import { hostileRun } from '../test-support/hostile-run.ts';
import { largeRun } from '../test-support/large-run.ts';
import { runRecord } from '../test-support/parts.ts';
import { htmlReport } from './html-report.ts';

/** The page without its own style and script. */
async function markupOf(input: ReportInput): Promise<string> {
  const page = await htmlReport(reportData(input));
  return page.replace(/<style>[^]*?<\/style>/, '').replace(/<script type="module">[^]*?<\/script>/, '');
}

describe('the HTML report', () => {
  it('escapes everything from outside', async () => {
    const markup = await markupOf(hostileRun());
    expect(markup.match(/.*<(?:script|style|img).*/g)).toBeNull();
    // Without the attributes' values: no text becomes an attribute.
    expect(markup.replace(/"[^"]*"/g, '""').match(/<[^>]*\son[a-z]+=[^>]*>/g)).toBeNull();
    expect(markup.match(/.*(?:\p{Cf}|(?!\n)\p{Cc}).*/gu)).toBeNull();
    for (const text of ['\\u{202e}gnp.exe\\u{2066}', '\\u{1b}[31m', '&amp;lt;b&amp;gt;', '&lt;/style&gt;'])
      expect(markup).toContain(text);
  });

  it('needs nothing from anywhere, and allows its own script and style only', async () => {
    const page = await htmlReport(reportData(largeRun(20)));
    const policy = /http-equiv="Content-Security-Policy" content="([^"]+)"/.exec(page)?.[1]?.replaceAll('&#39;', "'");
    expect(policy).toMatch(/^default-src 'none'; /);
    for (const [name, directive] of [
      ['style', 'style-src'],
      ['script type="module"', 'script-src'],
    ] as const) {
      const [tag] = name.split(' ');
      const content = new RegExp(`<${name}>([^]*?)</${tag ?? ''}>`).exec(page)?.[1] ?? '';
      const hash = createHash('sha256').update(content).digest('base64');
      expect(policy).toContain(`${directive} 'sha256-${hash}'`);
    }
    expect(page.match(/ (?:src|href|action)="(?![#]|data:,")[^"]*"/g)).toBeNull();
    expect(page).not.toMatch(/ style="| on[a-z]+="|@import|url\(/);
  });

  it('leaves no hole in any text', async () => {
    for (const input of [largeRun(), { record: runRecord() }, hostileRun()])
      expect((await markupOf(input)).match(/.*(?:\bundefined\b|\[object|\bNaN\b).*/g)).toBeNull();
  });

  it('has every part of the report', async () => {
    const data = reportData(largeRun());
    const page = await htmlReport(data);
    for (const { artifact } of data.artifacts) expect(page).toContain(`<code>${artifact}</code>`);
    for (const text of [
      'image.repository',
      'kube-prometheus-stack/templates/job.yaml:14',
      'the template writes it as it is',
      'helm post-renderer with kustomize',
      'sidecar.enabled',
      'http/1.1:8080',
      'checksum/config: 3c4d',
      'copies it again: it failed',
      'docker.io</code>: 14 times, answer 429',
      'out/plan.json',
      'reading from sources in 5 min 00 s of it, writing to targets in 5 min 10 s, waiting for the rate limit of docker.io in 4 s, processor 1 min 20 s.',
      'class="needed">Needed by</th>',
      digestOf(data.artifacts[5]?.artifact ?? ''),
    ])
      expect(page).toContain(text);
  });

  it('tells a run that went well in short', async () => {
    const outcomes = [{ kind: 'unchanged', artifact: 'a', targets: [], digest: digestOf('a') }] as const;
    const page = await htmlReport(reportData({ record: runRecord({ outcomes }) }));
    expect(page).toContain('Nothing to copy: the target holds 1 artifact already.');
    expect(page).toContain('Nothing: the target holds everything that was asked for.');
    expect(page).not.toContain('id="failures"');
    expect(page).not.toContain('id="gaps"');
  });
});
