import { afterEach, beforeEach, expect, it } from 'vitest';
import * as z from 'zod';
import { type ChartRuns, fates, startChartRuns } from '../../test/chart-runs.ts';
import type { ProgramRun } from '../../test/program.ts';
import type { StandIns } from '../../test/stand-ins.ts';
import { describeWith } from '../../test/tools.ts';
import { Plan } from '../model/plan.ts';
import { buildImage } from '../testing/image-builder.ts';
import { type ChartSpec, deployment, sampleHosts } from '../testing/sample-charts.ts';

// The main job on charts whose data files declare no image paths at all, with the real helm.
const { open } = sampleHosts;

/** Every way at once: parts, a whole name in an environment variable, a hidden feature, a guess that is no image. */
const shop: ChartSpec = {
  name: 'shop',
  version: '1.0.0',
  files: {
    'crds/order.yaml': `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: orders.example.com}
spec:
  versions:
    - schema:
        properties:
          image: {type: string, default: '${open}/team/init:1.0'}
          sampleImage: {type: string, default: '${open}/an/example:2.0'}
`,
  },
  values: {
    image: { registry: open, repository: 'team/web', tag: '1.2.0' },
    operand: `${open}/team/agent:v2.3.4`,
    docs: `${open}/no/such:1.0`,
    cache: { enabled: false, image: `${open}/team/cache:7.2.1` },
  },
  templates: {
    'web.yaml': deployment(
      `- name: web
  image: "{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}"
  args: ["--docs={{ .Values.docs }}"]
  env:
    - name: RELATED_IMAGE_OPERAND
      value: {{ .Values.operand }}
{{- if .Values.cache.enabled }}
- name: cache
  image: {{ .Values.cache.image }}
{{- end }}`,
    ),
  },
};

const fixed: ChartSpec = {
  name: 'fixed',
  version: '2.0.0',
  values: { image: 'sample/worker:5.1' },
  templates: {
    'run.yaml': deployment(`- name: a\n  image: {{ .Values.image }}\n- name: b\n  image: ${open}/helper/shell:1.0`),
  },
};

/** Renders only for who names a cluster, and has an image in a list. */
const needy: ChartSpec = {
  name: 'needy',
  version: '3.0.0',
  values: { repository: 'sample/worker', containers: [{ name: 'one', image: `${open}/team/init:1.0` }] },
  templates: {
    'run.yaml': deployment(
      `- name: {{ required "clusterName is missing" .Values.clusterName }}
  image: {{ .Values.repository }}:{{ .Values.tag | default "5.1" }}
{{- range .Values.containers }}
- name: {{ .name }}
  image: {{ .image }}
{{- end }}`,
    ),
  },
};

/** Declared paths of an image in parts. */
const parts = {
  registry: { location: 'values', path: 'image.registry' },
  repository: { location: 'values', path: 'image.repository' },
  tag: { location: 'values', path: 'image.tag' },
};

describeWith(['helm4'], 'charts without declared images', () => {
  let runs: ChartRuns;
  let world: StandIns;
  let prefix: string;
  beforeEach(async () => {
    runs = await startChartRuns([shop, fixed, needy]);
    ({ world, prefix } = runs);
  });
  afterEach(() => runs.close());

  const eks: ChartRuns['eks'] = (...args) => runs.eks(...args);
  const values = async (key: string): Promise<unknown> => (await runs.result(key)).values;

  it('are isolated and proven: images found, copied, re-pointed; guesses confirmed', async () => {
    const run = await eks({ shop: {} });
    expect(run.status, run.stdout).toBe(0);
    expect(await values('shop')).toEqual({
      image: { registry: `${prefix}${open}` },
      operand: `${prefix}${open}/team/agent:v2.3.4`,
    });
    const chart = await runs.isolation();
    expect(fates(chart)).toEqual([
      `${open}/team/agent:v2.3.4 repointed proven`,
      `${open}/team/web:1.2.0 repointed proven`,
    ]);
    expect(chart).toMatchObject({ holds: true, problems: [], profiles: ['default'] });
    expect(chart.references.map(({ controlledBy }) => controlledBy)).toEqual([['operand'], ['image.registry']]);
    expect(chart.rejected.map(({ text }) => text)).toEqual([`${open}/no/such:1.0`, `${open}/an/example:2.0`]);
    expect(chart.conditional).toMatchObject([
      { references: [`${open}/team/cache:7.2.1`], switches: ['cache.enabled'], copied: false },
      { references: [`${open}/team/init:1.0`], valuePath: 'shop/crds/order.yaml:8', switches: [], copied: false },
    ]);
    for (const { target = '', digest } of chart.references) {
      expect(runs.isThere(target), target).toBe(true);
      expect(digest).toMatch(/^sha256:/);
    }
    expect(runs.published()).toBe(true);
  });

  it('come with what a condition hides, where that is asked for', async () => {
    const run = await eks({ shop: { conditionalImages: 'copy' } });
    expect(run.status, run.stdout).toBe(0);
    expect(await values('shop')).toMatchObject({ cache: { image: `${prefix}${open}/team/cache:7.2.1` } });
    expect(await values('shop')).not.toHaveProperty('cache.enabled');
    const chart = await runs.isolation();
    expect(chart.conditional).toMatchObject([{ copied: true }, { copied: false }]);
    const cache = chart.references.find(({ reference }) => reference.includes('cache'));
    expect(cache).toMatchObject({ profiles: [], outcome: 'repointed', proof: 'proven' });
    expect(runs.isThere(`${prefix}${open}/team/cache:7.2.1`)).toBe(true);
  });

  it('are isolated for every profile, and without the one that the chart refuses', async () => {
    const refused = await eks({ needy: {} });
    expect(refused.status).toBe(1);
    expect(refused.stdout).toContain('clusterName is missing');
    expect(runs.published()).toBe(false);
    const profiles = { new: { clusterName: 'c' }, old: { clusterName: 'c', tag: '5.0' } };
    await world.open.putImage('sample/worker', '5.0', buildImage({ name: 'old worker' }));
    const run = await eks({ needy: { profiles } });
    expect(run.status, run.stdout).toBe(0);
    const chart = await runs.isolation();
    expect(chart.profiles).toEqual(['new', 'old']);
    expect(
      chart.references.map(({ reference, profiles: names, insideList }) => [reference, names, insideList]),
    ).toEqual([
      [`${open}/team/init:1.0`, ['new', 'old'], true],
      ['sample/worker:5.0', ['old'], false],
      ['sample/worker:5.1', ['new'], false],
    ]);
    expect(run.stdout).toContain('is set inside of a list (containers[0].image)');
  });

  it('fail the proof where a profile brings the list itself, which the EKS module would join with the published one', async () => {
    const containers = [{ name: 'one', image: `${open}/team/init:1.0` }];
    const run = await eks({ needy: { profiles: { cluster: { clusterName: 'c', containers } } } });
    expect(run.status).toBe(1);
    expect(run.stdout).toContain(`${open}/team/init:1.0 is neither at the target nor at an allowed host`);
    expect(run.stdout).toContain('as the EKS module merges them');
    expect((await runs.isolation()).holds).toBe(false);
    expect(runs.published()).toBe(false);
  });

  it.each([
    ['WARN', 0, '1'],
    ['FAIL', 1, undefined],
  ])('with an image that no value moves: UncontrolledImages %s ends with %i', async (policy, status, gap) => {
    const run = await eks({ fixed: {} }, { UNCONTROLLED_IMAGES: policy });
    expect(run.status, run.stdout).toBe(status);
    expect(run.stdout).toContain(
      `still pulls ${open}/helper/shell:1.0 (Deployment/fixed-fixed spec.template.spec.containers[1].image (fixed/templates/run.yaml:`,
    );
    expect(runs.isThere(`${prefix}${open}/helper/shell:1.0`)).toBe(true);
    expect(await values('fixed')).toEqual({ image: `${prefix}sample/worker:5.1` });
    expect(fates(await runs.isolation())).toEqual([
      `${open}/helper/shell:1.0 uncontrolled none`,
      'sample/worker:5.1 repointed proven',
    ]);
    expect(runs.published()).toBe(status === 0);
    if (status === 0)
      expect(await runs.json('metadata.json', z.record(z.string(), z.string()))).toMatchObject({ IsolationGap: gap });
  });

  it('leave what is at an allowed registry where it is', async () => {
    const run = await eks({ fixed: {} }, { ALLOWED_REGISTRIES: open });
    expect(run.status, run.stdout).toBe(0);
    expect(fates(await runs.isolation())).toEqual([
      `${open}/helper/shell:1.0 allowed proven`,
      'sample/worker:5.1 repointed proven',
    ]);
    expect(runs.isThere(`${prefix}${open}/helper/shell:1.0`)).toBe(false);
    expect(await runs.json('metadata.json', z.record(z.string(), z.string()))).not.toHaveProperty('IsolationGap');
  });

  it('are pinned by digest wherever they can be', async () => {
    const run = await eks({ shop: {} }, { PIN_DIGESTS: 'true' });
    expect(run.status, run.stdout).toBe(0);
    const chart = await runs.isolation();
    expect(chart.references.map(({ pinned }) => pinned)).toEqual([true, true]);
    for (const { target = '', digest } of chart.references) expect(target).toContain(`@${digest ?? 'none'}`);
    const plan = await runs.json('plan.json', Plan);
    expect(plan.images.every(({ digest }) => digest !== undefined)).toBe(true);
  });

  it.each([
    ['one', { web: parts }],
    ['none', {}],
  ])('are pinned by digest beside declared ones: %s declared', async (_, images) => {
    const run = await eks({ shop: { images } }, { PIN_DIGESTS: 'true' });
    expect(run.status, run.stdout).toBe(0);
    const web = (await runs.isolation()).references.find(({ reference }) => reference.includes('team/web'));
    expect(web).toMatchObject({ pinned: true, proof: 'proven' });
    expect(web?.target).toBe(`${prefix}${open}/team/web:1.2.0@${web?.digest ?? 'none'}`);
    expect(runs.isThere(`${prefix}${open}/team/web:1.2.0`)).toBe(true);
  });

  it('are planned without being copied', async () => {
    const run = await runPlan();
    expect(run.status, run.stdout).toBe(0);
    const plan = await runs.json('plan.json', Plan);
    expect(plan.images.map(({ source, targets }) => [source, targets])).toEqual([
      [`${world.open.host}/team/agent:v2.3.4`, [`${prefix}${open}/team/agent:v2.3.4`]],
      [`${world.open.host}/team/web:1.2.0`, [`${prefix}${open}/team/web:1.2.0`]],
    ]);
    expect(plan.images[0]?.origins[0]?.path).toContain('charts.shop: Deployment spec.template');
    expect((await runs.isolation()).references.map(({ proof }) => proof)).toEqual(['none', 'none']);
    expect(world.ecr.repositories()).toEqual([]);
  });

  function runPlan(): Promise<ProgramRun> {
    return eks({ shop: {} }, {}, '--plan');
  }

  it('whose declared paths are not all there are isolated all the same', async () => {
    const images = { web: parts };
    const run = await eks({ shop: { images } });
    expect(run.status, run.stdout).toBe(0);
    expect(await values('shop')).toEqual({
      image: { registry: `${prefix}${open}`, repository: 'team/web', tag: '1.2.0' },
      operand: `${prefix}${open}/team/agent:v2.3.4`,
    });
    expect(fates(await runs.isolation())).toEqual([
      `${open}/team/agent:v2.3.4 repointed proven`,
      `${open}/team/web:1.2.0 repointed proven`,
    ]);
  });

  it('with declared images that cannot be rendered: told, counted, and not ended for', async () => {
    const images = {
      worker: { repository: { location: 'values', path: 'repository' }, tag: { name: '5.1' } },
    };
    const run = await eks({ needy: { images } });
    expect(run.status, run.stdout).toBe(0);
    expect(run.stdout).toContain('was not checked for images beside the declared ones');
    expect(run.stdout).toContain('clusterName is missing');
    expect(await runs.json('metadata.json', z.record(z.string(), z.string()))).toMatchObject({ IsolationGap: '1' });
    expect((await eks({ needy: { images } }, { UNCONTROLLED_IMAGES: 'FAIL' })).status).toBe(1);
  });
});
