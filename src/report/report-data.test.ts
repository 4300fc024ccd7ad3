import { describe, expect, it } from 'vitest';
import { digestOf } from '../model/digest.ts';
import type { Plan } from '../model/plan.ts';
import { SecretMask } from '../model/secrets.ts';
import { htmlReport } from './html/html-report.ts';
import { markdownReport } from './markdown.ts';
import { jsonReport, ReportData } from './report-data.ts';
import { reportData } from './report-data-build.ts';
import { largeRun } from './test-support/large-run.ts';
import { failure, image, isolation, reference, runRecord } from './test-support/parts.ts';

const chart: Plan['charts'][number] = {
  kind: 'chart',
  key: 'web',
  name: 'web-server',
  version: '2.0.0',
  repository: 'https://charts.example.com:8443/stable',
  target: 'ecr/demo-stable/web-server:2.0.0',
  values: {},
  origins: [],
};

const planOf = (...images: Plan['images']): Plan => ({ version: 1, job: 'eks', images, charts: [chart] });
const digest = digestOf('a');

describe('sizes', () => {
  const plan = planOf(image('quay.io/a:1', {}), image('quay.io/b:1', {}));

  it('are told of each artifact and of all, where the run found them out', async () => {
    const sizes = new Map([
      ['quay.io/a:1', 30_000_000],
      ['chart web-server 2.0.0', 2_000_000],
    ]);
    const data = reportData({ record: runRecord(), plan, sizes });
    expect(data.artifacts.map(({ artifact, size }) => [artifact, size])).toEqual([
      ['quay.io/a:1', 30_000_000],
      ['quay.io/b:1', undefined],
      ['chart web-server 2.0.0', 2_000_000],
    ]);
    expect(data.summary.size).toBe(32_000_000);
    expect(markdownReport(data)).toContain('32.0 MB at the target');
    const page = await htmlReport(data);
    expect(page).toContain('data-sort="30000000"');
    expect(page).toContain('of 32.0 MB in all');
  });

  it('are left out where nobody knows them', async () => {
    const data = reportData({ record: runRecord(), plan });
    expect(data.summary).not.toHaveProperty('size');
    expect(markdownReport(data)).not.toContain('at the target,');
    expect(await htmlReport(data)).not.toContain('in all');
  });
});

describe('artifacts', () => {
  const plan = planOf(
    image('quay.io/a:1', {
      targets: ['ecr/demo-quay.io/a:1'],
      origins: [{ path: 'charts.web.images.a', file: 'default.yaml', line: 3 }],
    }),
    image('nginx', { targets: ['ecr/demo-nginx:latest'], origins: [], platforms: ['linux/arm64'] }),
    image('localhost:5000/b:1', { targets: ['ecr/demo-localhost-5000/b:1'], origins: [] }),
    image('ghcr.io/never:1', { targets: ['ecr/demo-ghcr.io/never:1'], origins: [] }),
  );
  const broken = failure('localhost:5000/b:1');
  const record = runRecord({
    ok: false,
    outcomes: [
      { kind: 'copied', artifact: 'quay.io/a:1', targets: ['ecr/demo-quay.io/a:1'], digest, bytes: 10, seconds: 2 },
      { kind: 'unchanged', artifact: 'nginx', targets: ['ecr/demo-nginx:latest'], digest },
      { kind: 'failed', artifact: 'localhost:5000/b:1', targets: [], failures: [broken] },
      { kind: 'copied', artifact: 'chart web-server 2.0.0', targets: [chart.target], digest, bytes: 5, seconds: 1 },
      { kind: 'unchanged', artifact: 'quay.io/beside:1', targets: ['ecr/x:1'], digest },
    ],
    failures: [broken],
  });
  const data = reportData({ record, plan, charts: [isolation('web', { references: [reference('nginx')] })] });

  it('joins the plan and what became of it, failures first', () => {
    expect(data.artifacts.map(({ artifact, host, outcome, charts }) => [artifact, host, outcome, charts])).toEqual([
      ['localhost:5000/b:1', 'localhost:5000', 'failed', []],
      ['quay.io/a:1', 'quay.io', 'copied', ['web']],
      ['nginx', 'docker.io', 'unchanged', ['web']],
      ['ghcr.io/never:1', 'ghcr.io', 'open', []],
      ['chart web-server 2.0.0', 'charts.example.com:8443', 'copied', ['web']],
      ['quay.io/beside:1', 'quay.io', 'unchanged', []],
    ]);
    expect(data.artifacts[1]).toMatchObject({
      bytesSent: 10,
      seconds: 2,
      digest,
      origins: ['default.yaml:3:charts.web.images.a'],
    });
    expect(data.artifacts[2]).toMatchObject({ platforms: ['linux/arm64'] });
    expect(data.artifacts[0]?.failures).toHaveLength(1);
  });

  it('counts', () => {
    expect(data.summary).toMatchObject({
      images: { copied: 1, unchanged: 2, failed: 1, open: 1 },
      charts: { copied: 1, unchanged: 0, failed: 0, open: 0 },
      bytesSent: 15,
    });
    expect(data).toMatchObject({ verdict: 'failed', seconds: 432.5 });
    expect(data.phases.map(({ seconds }) => seconds)).toEqual([29, 350, 53.423]);
  });

  it('tells what a rerun would do', () => {
    expect(data.rerun).toEqual({
      tagsAsked: 5,
      does: [
        { artifact: 'localhost:5000/b:1', why: 'copies it again: it failed' },
        { artifact: 'ghcr.io/never:1', why: 'copies it, unless the target holds it already' },
      ],
    });
  });
});

describe('a rerun', () => {
  it('does nothing when everything is there, and asks for no digest again', () => {
    const source = `quay.io/a@${digest}`;
    const plan: Plan = { ...planOf(image(source)), charts: [] };
    const record = runRecord({ outcomes: [{ kind: 'unchanged', artifact: source, targets: [], digest }] });
    expect(reportData({ record, plan })).toMatchObject({ verdict: 'done', rerun: { tagsAsked: 0, does: [] } });
  });

  it('proves again what does not hold, and repeats a step that failed by itself', () => {
    const record = runRecord({ ok: false, failures: [failure('publish')] });
    const { rerun } = reportData({ record, charts: [isolation('web', { holds: false })] });
    expect(rerun.does.map(({ artifact }) => artifact)).toEqual(['chart web 1.2.3', 'publish']);
  });
});

describe('the verdict', () => {
  it.each([
    ['planned', { phases: [{ phase: 'plan', started: '2026-11-21T08:36:51.200Z' }] }],
    ['unfinished', { finished: undefined, ok: false }],
    ['done', {}],
    ['failed', { ok: false }],
  ] as const)('%s', (verdict, more) => {
    expect(reportData({ record: runRecord(more) }).verdict).toBe(verdict);
  });
});

describe('charts', () => {
  const stands = (more: Parameters<typeof reference>[1]) => {
    const charts = [isolation('web', { references: [reference('quay.io/a:1', more)] })];
    return reportData({ record: runRecord(), charts });
  };

  it.each([
    ['proven', { proof: 'proven' }],
    ['proven', { outcome: 'patched', proof: 'proven' }],
    ['allowed', { outcome: 'allowed', proof: 'none' }],
    ['unproven', { proof: 'none' }],
    ['gap', { outcome: 'uncontrolled', proof: 'none' }],
    ['gap', { outcome: 'refused', proof: 'none' }],
    ['gap', { outcome: 'unknown', proof: 'none' }],
    ['failed', { proof: 'failed' }],
    ['failed', { outcome: 'allowed', proof: 'failed' }],
  ] as const)('stand as %s: %o', (standing, more) => {
    const data = stands(more);
    expect(data.charts[0]?.references[0]?.standing).toBe(standing);
    expect(data.summary.references[standing]).toBe(1);
    expect(data.gaps).toHaveLength(standing === 'proven' || standing === 'allowed' ? 0 : 1);
  });

  it('offers the remedies that reach a reference, else what can be done at all', () => {
    const references = [
      reference('quay.io/a:1', { outcome: 'uncontrolled', proof: 'none', why: 'it stands in a helper' }),
      reference('quay.io/b:1', { outcome: 'refused', proof: 'none' }),
    ];
    const remedies = [{ chart: 'web', text: 'use the post-renderer', file: 'k.yaml', reaches: ['quay.io/a:1'] }];
    const { gaps } = reportData({ record: runRecord(), charts: [isolation('web', { references })], remedies });
    expect(gaps[0]).toMatchObject({
      why: 'it stands in a helper',
      remedies: ['use the post-renderer: k.yaml'],
      places: ['demo/templates/deployment.yaml:31 (Deployment/demo: spec.template.spec.containers[0].image)'],
    });
    expect(gaps[1]?.remedies).toEqual([expect.stringContaining('the values that the chart asks for')]);
  });

  it('names charts that nobody looked into', () => {
    expect(reportData({ record: runRecord(), plan: planOf() }).unexamined).toEqual(['web']);
  });
});

describe('as JSON', () => {
  it('is the format, whole', () => {
    const data = reportData(largeRun());
    expect(ReportData.parse(JSON.parse(jsonReport(data)))).toEqual(data);
  });

  it('carries no secret, whichever part it came in', () => {
    const mask = new SecretMask();
    mask.add('hunter22');
    const charts = [isolation('web', { warnings: ['hunter22'] })];
    const plan = planOf(image('quay.io/a:1', { origins: [{ path: 'hunter22' }] }));
    expect(jsonReport(reportData({ record: runRecord(), plan, charts, mask }))).not.toContain('hunter22');
  });

  it('writes what cannot be seen as escapes, which mean the same', () => {
    const name = 'quay.io/\u202egnp\u{e0041}:1';
    const data = reportData({
      record: runRecord({ outcomes: [{ kind: 'unchanged', artifact: name, targets: [], digest }] }),
    });
    const text = jsonReport(data);
    expect(text).toContain('quay.io/\\u202egnp\\udb40\\udc41:1');
    expect(ReportData.parse(JSON.parse(text)).artifacts[0]?.artifact).toBe(name);
  });
});
