import { describe, expect, it } from 'vitest';
import { markdownReport } from './markdown.ts';
import { code, fenced } from './markdown-text.ts';
import { reportData } from './report-data-build.ts';
import { largeRun } from './test-support/large-run.ts';
import { failure, image, isolation, reference, runRecord } from './test-support/parts.ts';

describe('the Markdown summary', () => {
  it('tells what needs attention first', () => {
    const text = markdownReport(reportData(largeRun()));
    const headings = text.split('\n').filter((line) => line.startsWith('#'));
    expect(headings).toEqual([
      '# Image replication: FAILED',
      '## Failures',
      '## Not covered',
      '## A rerun would',
      '## Copied',
      '## Warnings',
    ]);
    expect(text).toContain('| images | 196 | 98 | 3 | 3 |');
    expect(text).toContain('- … and 174 more artifacts in the report');
  });

  it('stays within its length, whatever happened, and says what it left out', () => {
    const sources = Array.from({ length: 2000 }, (_, index) => `quay.io/${'long/'.repeat(30)}${index}:1`);
    const charts = [
      isolation('web', { references: sources.map((each) => reference(each, { proof: 'failed' })), holds: false }),
    ];
    const record = runRecord({
      ok: false,
      failures: sources.map((each) => failure(each, { cause: 'x\n'.repeat(1200) })),
    });
    const plan = { version: 1 as const, job: 'eks', images: sources.map((each) => image(each)), charts: [] };
    const data = reportData({ record, plan, charts });
    for (const longest of [1000, 5000, 60_000, 65_536]) {
      const text = markdownReport(data, { longest });
      expect(text.length).toBeLessThanOrEqual(longest);
      expect(text).toMatch(/… and (?:2,000|1,9\d\d) more failures in the report/);
    }
  });

  it('gives texts from outside no power', () => {
    const text = '`` @team <b>x</b> [a](http://x) | \u202e ```\n# heading';
    const record = runRecord({ ok: false, failures: [failure(text, { cause: text, remedy: text })] });
    const lines = markdownReport(reportData({ record })).split('\n');
    expect(lines.filter((line) => line.startsWith('#'))).toHaveLength(3);
    expect(lines).toContain(
      '- ```` `` @team <b>x</b> [a](http://x) | \\u{202e} ``` # heading ```` (source `quay.io`, not-found)',
    );
    expect(lines).toContain('  ````');
  });

  it('says in a line that there is nothing to do', () => {
    expect(markdownReport(reportData({ record: runRecord() }))).toContain('- do nothing');
  });
});

describe('text as code', () => {
  it.each([
    ['a', '`a`'],
    ['a`b', '``a`b``'],
    ['`a', '`` `a ``'],
    ['a\n b', '`a b`'],
    ['', '(empty)'],
  ])('%j', (text, expected) => {
    expect(code(text)).toBe(expected);
  });

  it('fences with more back-ticks than the text has', () => {
    expect(fenced('a\n````', '  ')).toBe('  `````\n  a\n  ````\n  `````');
  });
});
