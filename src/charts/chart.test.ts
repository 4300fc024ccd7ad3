import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readChart } from './chart.ts';
import { packageChart } from './package.ts';
import { chartOf, chartYaml, tgzOf } from './test-support.ts';

describe('a chart archive', () => {
  it('gives metadata, values, schema and templates', async () => {
    const chart = await readChart(
      chartOf('app', 'v1.2.3+build', {
        'Chart.yaml':
          '\uFEFF' + chartYaml('app', 'v1.2.3+build', 'appVersion: 1.10\nannotations: {a: yes}\nextra: 1\n'),
        'values.yaml': 'a: 1 # comment\nb: {c: [x, null]}\n',
        'values.schema.json': '{"type": "object"}',
        'crds/crd.yaml': 'kind: CustomResourceDefinition\n',
      }),
    );
    expect(chart).toMatchObject({
      name: 'app',
      version: 'v1.2.3+build',
      valuesText: 'a: 1 # comment\nb: {c: [x, null]}\n',
    });
    // helm sees an unquoted 1.10 as the number 1.1.
    expect(chart.metadata).toMatchObject({ apiVersion: 'v2', appVersion: '1.1', annotations: { a: 'true' }, extra: 1 });
    expect(chart.values).toEqual({ a: 1, b: { c: ['x', null] } });
    expect(chart.schema).toEqual({ type: 'object' });
    expect(chart.templates).toEqual(['templates/pod.yaml']);
    expect([...chart.files.keys()]).toContain('crds/crd.yaml');
  });

  it('may lack values, and an apiVersion means v1', async () => {
    const chart = await readChart(tgzOf([{ path: 'x/Chart.yaml', content: 'name: app\nversion: 1.0.0\n' }]));
    expect(chart).toMatchObject({ values: {}, valuesText: '', schema: undefined, metadata: { apiVersion: 'v1' } });
    const comments = await readChart(chartOf('app', '1.0.0', { 'values.yaml': '# nothing\n' }));
    expect(comments.values).toEqual({});
  });

  it('is read as YAML 1.1, the way helm reads it', async () => {
    const text =
      'on: yes\noctal: 0777\ntime: 12:30:45\ndate: 2024-01-02\ndup: 1\ndup: 2\nbase: &b {x: 1}\nmerged:\n  <<: *b\n  z: 2\nbig: 1e3\ntilde: ~\n';
    const { values } = await readChart(chartOf('app', '1.0.0', { 'values.yaml': text }));
    expect(values).toEqual({
      true: true,
      octal: 511,
      time: '12:30:45',
      date: '2024-01-02',
      dup: 2,
      base: { x: 1 },
      merged: { x: 1, z: 2 },
      big: 1000,
      tilde: null,
    });
  });

  it('has subcharts from folders and archives, by alias where there is one', async () => {
    const dependencies = [
      '- {name: redis, version: 1.x.x, alias: cache}',
      '- {name: redis, version: 1.x.x, alias: queue}',
      '- {name: redis, version: ^2, alias: "new"}',
      '- {name: common, version: "*"}',
      '- {name: missing, version: 1.0.0}',
    ];
    const chart = await readChart(
      chartOf('app', '1.0.0', {
        'Chart.yaml': chartYaml('app', '1.0.0', `dependencies:\n${dependencies.join('\n')}\n`),
        'charts/redis-1.2.0.tgz': chartOf('redis', '1.2.0', { 'charts/inner.tgz': chartOf('inner', '0.1.0') }),
        'charts/redis-2.0.0.tgz': chartOf('redis', '2.0.0', { 'values.yaml': 'v: 2\n' }),
        'charts/common/Chart.yaml': chartYaml('common', '3.0.0', 'type: library\n'),
        'charts/common/templates/_helpers.tpl': '',
        'charts/undeclared/Chart.yaml': chartYaml('undeclared', '1.0.0'),
        'charts/README.md': 'no chart',
        'charts/_off/Chart.yaml': chartYaml('off', '1.0.0'),
        'charts/notes/text.txt': 'no chart either',
      }),
    );
    expect([...chart.subcharts].map(([key, { version }]) => `${key} ${version}`).sort()).toEqual([
      'cache 1.2.0',
      'common 3.0.0',
      'new 2.0.0',
      'queue 1.2.0',
      'undeclared 1.0.0',
    ]);
    expect(chart.subcharts.get('cache')?.subcharts.get('inner')?.version).toBe('0.1.0');
    expect(chart.subcharts.get('new')?.values).toEqual({ v: 2 });
    expect(chart.subcharts.get('common')?.templates).toEqual(['templates/_helpers.tpl']);
  });

  it('of the first generation names its dependencies in requirements.yaml', async () => {
    const chart = await readChart(
      chartOf('old', '1.0.0', {
        'Chart.yaml': 'name: old\nversion: 1.0.0\n',
        'requirements.yaml': 'dependencies:\n- {name: sub, version: 1.0.0, alias: other, repository: ""}\n',
        'charts/sub/Chart.yaml': 'name: sub\nversion: 1.0.0\n',
      }),
    );
    expect([...chart.subcharts.keys()]).toEqual(['other']);
  });

  it.each([
    ['no Chart.yaml', tgzOf([{ path: 'app/values.yaml', content: 'a: 1' }]), 'corrupt', /no Chart\.yaml/],
    ['Chart.yaml in no folder', tgzOf([{ path: 'Chart.yaml', content: 'name: x' }]), 'corrupt', /outside of a folder/],
    ['no version', chartOf('app', '1.0.0', { 'Chart.yaml': 'name: app\n' }), 'corrupt', /version/],
    ['a version that is none', chartOf('app', 'one'), 'corrupt', /invalid version "one"/],
    [
      'a name that is a path',
      chartOf('app', '1', { 'Chart.yaml': chartYaml('../up', '1.0.0') }),
      'corrupt',
      /invalid name/,
    ],
    ['broken values', chartOf('app', '1.0.0', { 'values.yaml': 'a: [1\nb: }' }), 'corrupt', /values\.yaml.* line \d+/],
    ['a list as Chart.yaml', chartOf('app', '1.0.0', { 'Chart.yaml': '- a\n' }), 'corrupt', /Chart\.yaml/],
    [
      'aliases that explode',
      chartOf('app', '1.0.0', {
        'values.yaml': `a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n${Array.from({ length: 9 }, (_, n) => `a${n + 1}: &a${n + 1} [${Array(10).fill(`*a${n}`).join(',')}]`).join('\n')}\n`,
      }),
      'corrupt',
      /alias/i,
    ],
    [
      'a hostile subchart',
      chartOf('app', '1.0.0', { 'charts/x.tgz': tgzOf([{ path: '../x', content: '' }]) }),
      'refused',
      /subchart x\.tgz of app/,
    ],
  ])('is refused with a clear error for %s', async (_name, archive, code, message) => {
    await expect(readChart(archive)).rejects.toMatchObject({ code, message });
  });

  it('is refused when charts nest without end', async () => {
    let nested = chartOf('n0', '1.0.0');
    for (let depth = 1; depth < 14; depth += 1) nested = chartOf(`n${depth}`, '1.0.0', { 'charts/n.tgz': nested });
    await expect(readChart(nested)).rejects.toMatchObject({ code: 'refused', message: /deep/ });
  });
});

const realCharts = join(import.meta.dirname, '../../../shared/charts/repos');
const present = existsSync(realCharts);
if (!present) console.warn(`SKIPPED: real charts (no folder ${realCharts})`);

describe.skipIf(!present)('real charts', () => {
  const archives = present
    ? readdirSync(realCharts, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.tgz'))
    : [];

  it.each(archives)('%s is read and packaged', async (path) => {
    const archive = await readFile(join(realCharts, path));
    const chart = await readChart(archive);
    expect(path).toMatch(new RegExp(`/${chart.name}-${chart.version.replaceAll('.', '\\.')}\\.tgz$`));
    expect(typeof chart.values).toBe('object');
    // One of the charts comes without the subchart that it declares.
    const declared = (chart.metadata.dependencies ?? []).map(({ alias, name }) => alias ?? name);
    if (chart.name !== 'external-secrets')
      expect([...chart.subcharts.keys()]).toEqual(expect.arrayContaining(declared));
    expect(packageChart({ archive })).toMatchObject({ tag: chart.version });
  });
});
