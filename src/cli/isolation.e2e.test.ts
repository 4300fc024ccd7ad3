import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { z } from 'zod';
import { type ProgramRun, runProgram, type Variables } from '../../test/program.ts';
import { bucket, startStandIns, type StandIns } from '../../test/stand-ins.ts';
import { describeWith, requireTool } from '../../test/tools.ts';
import { ChartIsolation } from '../model/isolation.ts';
import { Plan } from '../model/plan.ts';
import { splitTarget } from '../model/target-name.ts';
import { buildImage } from '../testing/image-builder.ts';
import { type ChartSpec, deployment, packageChart, sampleHosts } from '../testing/sample-charts.ts';

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
  provenance: '-----BEGIN PGP SIGNED MESSAGE-----\nfixed-2.0.0.tgz: sha256:0\n',
};

/** One image stands in the template, another one is put together there. */
const computed: ChartSpec = {
  name: 'computed',
  version: '4.0.0',
  templates: {
    'run.yaml': deployment(
      `- name: a
  image: ${open}/team/init:1.0
- name: b
  image: {{ printf "%s.%s/helper" "registry" "example.com" }}/shell:1.0`,
    ),
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

const charts = [shop, fixed, needy, computed];

/** Declared paths of an image in parts. */
const parts = {
  registry: { location: 'values', path: 'image.registry' },
  repository: { location: 'values', path: 'image.repository' },
  tag: { location: 'values', path: 'image.tag' },
};

const Result = z.object({
  charts: z.record(
    z.string(),
    z.object({ helm: z.object({ version: z.string() }), values: z.record(z.string(), z.unknown()) }),
  ),
});

const Outcomes = z.object({ outcomes: z.array(z.object({ artifact: z.string(), kind: z.string() })) });

/** What `helm push` makes of a chart. */
const ChartManifest = z.object({
  layers: z.array(z.object({ digest: z.string() })),
  annotations: z.record(z.string(), z.string()),
});

describeWith(['helm4'], 'charts without declared images', () => {
  let world: StandIns;
  let env: Variables;
  let prefix: string;
  beforeEach(async () => {
    world = await startStandIns();
    prefix = `${world.ecr.host}/app-`;
    for (const chart of charts) await world.charts.add(packageChart(chart));
    const bin = join(world.folder, 'bin');
    await mkdir(bin);
    await symlink(requireTool('helm4'), join(bin, 'helm'));
    env = { ...world.env, PATH: [bin, dirname(process.execPath), '/usr/bin', '/bin'].join(':') };
  });
  afterEach(() => world.close());

  /** Writes data files with just these charts, and runs the job on them. */
  async function eks(
    wanted: Readonly<Record<string, object>>,
    changes: Readonly<Record<string, string>> = {},
    ...args: readonly string[]
  ): Promise<ProgramRun> {
    const entries = Object.entries(wanted).map(([key, more]) => {
      const spec = charts.find(({ name }) => name === key);
      return [key, { name: key, repository: world.charts.url, version: spec?.version, ...more }] as const;
    });
    await writeFile(join(world.dataDir, 'default.yaml'), stringify({ charts: Object.fromEntries(entries) }));
    const mappings = { [open]: world.open.host, default: world.open.host };
    await writeFile(join(world.dataDir, '1.30.yaml'), stringify({ docker_mappings: mappings }));
    const parameters = Object.entries(changes).map(([name, value]) => [`SEEDFARMER_PARAMETER_${name}`, value] as const);
    return runProgram(['eks', '--data-dir', world.dataDir, '--out', world.out, '--publish', ...args], {
      ...env,
      SEEDFARMER_PARAMETER_EKS_VERSION: '1.30',
      ...Object.fromEntries(parameters),
    });
  }

  const json = async <T>(name: string, schema: z.ZodType<T>): Promise<T> =>
    schema.parse(JSON.parse(await readFile(join(world.out, name), 'utf8')));
  const isolation = async (): Promise<ChartIsolation> => {
    const [chart] = await json('isolation.json', z.array(ChartIsolation));
    if (chart === undefined) throw new Error('there is no chart in isolation.json');
    return chart;
  };
  const helm = async (key: string): Promise<{ readonly version: string }> => {
    const chart = (await json('replication_result.json', Result)).charts[key];
    if (chart === undefined) throw new Error(`there is no chart ${key} in the result`);
    return chart.helm;
  };
  const values = async (key: string): Promise<unknown> =>
    (await json('replication_result.json', Result)).charts[key]?.values;
  const fates = (chart: ChartIsolation): readonly string[] =>
    chart.references.map(({ reference, outcome, proof }) => `${reference} ${outcome} ${proof}`);
  const isThere = (target: string): boolean => {
    const { repository, tag, digest } = splitTarget(target);
    return world.ecr.manifest(repository, digest ?? tag ?? 'latest') !== undefined;
  };
  const manifestText = (target: string): string => {
    const { repository, tag = '' } = splitTarget(target);
    return Buffer.from(world.ecr.manifest(repository, tag)?.bytes ?? []).toString('utf8');
  };
  const published = (): boolean =>
    world.s3.buckets.get(bucket)?.versions.some(({ key }) => key.endsWith('.json')) === true;

  it('are isolated and proven: images found, copied, re-pointed; guesses confirmed', async () => {
    const run = await eks({ shop: {} });
    expect(run.status, run.stdout).toBe(0);
    expect(await values('shop')).toEqual({
      image: { registry: `${prefix}${open}` },
      operand: `${prefix}${open}/team/agent:v2.3.4`,
    });
    const chart = await isolation();
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
      expect(isThere(target), target).toBe(true);
      expect(digest).toMatch(/^sha256:/);
    }
    expect(published()).toBe(true);
  });

  it('come with what a condition hides, where that is asked for', async () => {
    const run = await eks({ shop: { conditionalImages: 'copy' } });
    expect(run.status, run.stdout).toBe(0);
    expect(await values('shop')).toMatchObject({ cache: { image: `${prefix}${open}/team/cache:7.2.1` } });
    expect(await values('shop')).not.toHaveProperty('cache.enabled');
    const chart = await isolation();
    expect(chart.conditional).toMatchObject([{ copied: true }, { copied: false }]);
    const cache = chart.references.find(({ reference }) => reference.includes('cache'));
    expect(cache).toMatchObject({ profiles: [], outcome: 'repointed', proof: 'proven' });
    expect(isThere(`${prefix}${open}/team/cache:7.2.1`)).toBe(true);
  });

  it('are isolated for every profile, and without the one that the chart refuses', async () => {
    const refused = await eks({ needy: {} });
    expect(refused.status).toBe(1);
    expect(refused.stdout).toContain('clusterName is missing');
    expect(published()).toBe(false);
    const profiles = { new: { clusterName: 'c' }, old: { clusterName: 'c', tag: '5.0' } };
    await world.open.putImage('sample/worker', '5.0', buildImage({ name: 'old worker' }));
    const run = await eks({ needy: { profiles } });
    expect(run.status, run.stdout).toBe(0);
    const chart = await isolation();
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
    expect((await isolation()).holds).toBe(false);
    expect(published()).toBe(false);
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
    expect(isThere(`${prefix}${open}/helper/shell:1.0`)).toBe(true);
    expect(await values('fixed')).toEqual({ image: `${prefix}sample/worker:5.1` });
    expect(fates(await isolation())).toEqual([
      `${open}/helper/shell:1.0 uncontrolled none`,
      'sample/worker:5.1 repointed proven',
    ]);
    expect(published()).toBe(status === 0);
    if (status === 0)
      expect(await json('metadata.json', z.record(z.string(), z.string()))).toMatchObject({ IsolationGap: gap });
  });

  it('are patched where no value moves an image: UncontrolledImages PATCH', async () => {
    const run = await eks({ fixed: {} }, { UNCONTROLLED_IMAGES: 'PATCH' });
    expect(run.status, run.stdout).toBe(0);
    const { version } = await helm('fixed');
    expect(version).toMatch(/^2\.0\.0\+isolated\.[0-9a-f]{8}$/);
    expect(run.stdout).toContain(`chart fixed 2.0.0 is replicated as ${version}: ${open}/helper/shell:1.0 replaced in`);
    expect(run.stdout).toContain('the provenance file of fixed 2.0.0 is dropped');
    const chart = await isolation();
    expect(chart).toMatchObject({ version, holds: true, problems: [] });
    expect(fates(chart)).toEqual([`${open}/helper/shell:1.0 patched proven`, 'sample/worker:5.1 repointed proven']);
    expect(await values('fixed')).toEqual({ image: `${prefix}sample/worker:5.1` });
    expect(await json('metadata.json', z.record(z.string(), z.string()))).not.toHaveProperty('IsolationGap');
    const [planned] = (await json('plan.json', Plan)).charts;
    expect(planned).toMatchObject({ version, target: chart.target });
    expect(chart.target.endsWith(`/fixed:${version.replace('+', '_')}`)).toBe(true);
    const { repository } = splitTarget(chart.target);
    // The chart as it was is not there, and the patched one has the package and no provenance.
    expect(world.ecr.tags(repository)).toEqual([version.replace('+', '_')]);
    const manifest = ChartManifest.parse(JSON.parse(manifestText(chart.target)));
    expect(manifest.layers.map(({ digest }) => digest)).toEqual([planned?.digest]);
    expect(manifest.annotations['image-replication/original-version']).toBe('2.0.0');
    expect(manifest.annotations['image-replication/patch']).toContain(`image: ${prefix}${open}/helper/shell:1.0`);
  });

  it('are patched to the same bytes again, so that a second run moves nothing', async () => {
    const run = await eks({ fixed: {} }, { UNCONTROLLED_IMAGES: 'PATCH' });
    expect(run.status, run.stdout).toBe(0);
    const first = await readFile(join(world.out, 'plan.json'), 'utf8');
    const again = await eks({ fixed: {} }, { UNCONTROLLED_IMAGES: 'PATCH' });
    expect(again.status, again.stdout).toBe(0);
    expect(await readFile(join(world.out, 'plan.json'), 'utf8')).toBe(first);
    const { outcomes } = await json('run.json', Outcomes);
    expect(outcomes.map(({ artifact, kind }) => `${artifact} ${kind}`).sort()).toEqual([
      `${world.open.host}/helper/shell:1.0 unchanged`,
      `${world.open.host}/sample/worker:5.1 unchanged`,
      `chart fixed ${(await helm('fixed')).version} unchanged`,
    ]);
    expect(fates(await isolation())).toEqual([
      `${open}/helper/shell:1.0 patched proven`,
      'sample/worker:5.1 repointed proven',
    ]);
  });

  it('fail where a patch does not reach an image either, and name what does', async () => {
    const run = await eks({ computed: {} }, { UNCONTROLLED_IMAGES: 'PATCH' });
    expect(run.status).toBe(1);
    expect(run.stdout).toContain('it cannot be patched: the chart computes it: its text stands in no file');
    // What could be patched is, and everything is copied; nothing is published.
    expect(fates(await isolation())).toEqual([
      `${open}/helper/shell:1.0 uncontrolled none`,
      `${open}/team/init:1.0 patched proven`,
    ]);
    expect(isThere(`${prefix}${open}/helper/shell:1.0`)).toBe(true);
    expect(published()).toBe(false);
  });

  it('are left alone by PATCH where values move all', async () => {
    const run = await eks({ shop: {} }, { UNCONTROLLED_IMAGES: 'PATCH' });
    expect(run.status, run.stdout).toBe(0);
    expect((await helm('shop')).version).toBe('1.0.0');
    expect(run.stdout).not.toContain('replicated as');
  });

  it('leave what is at an allowed registry where it is', async () => {
    const run = await eks({ fixed: {} }, { ALLOWED_REGISTRIES: open });
    expect(run.status, run.stdout).toBe(0);
    expect(fates(await isolation())).toEqual([
      `${open}/helper/shell:1.0 allowed proven`,
      'sample/worker:5.1 repointed proven',
    ]);
    expect(isThere(`${prefix}${open}/helper/shell:1.0`)).toBe(false);
    expect(await json('metadata.json', z.record(z.string(), z.string()))).not.toHaveProperty('IsolationGap');
  });

  it('are pinned by digest wherever they can be', async () => {
    const run = await eks({ shop: {} }, { PIN_DIGESTS: 'true' });
    expect(run.status, run.stdout).toBe(0);
    const chart = await isolation();
    expect(chart.references.map(({ pinned }) => pinned)).toEqual([true, true]);
    for (const { target = '', digest } of chart.references) expect(target).toContain(`@${digest ?? 'none'}`);
    const plan = await json('plan.json', Plan);
    expect(plan.images.every(({ digest }) => digest !== undefined)).toBe(true);
  });

  it.each([
    ['one', { web: parts }],
    ['none', {}],
  ])('are pinned by digest beside declared ones: %s declared', async (_, images) => {
    const run = await eks({ shop: { images } }, { PIN_DIGESTS: 'true' });
    expect(run.status, run.stdout).toBe(0);
    const web = (await isolation()).references.find(({ reference }) => reference.includes('team/web'));
    expect(web).toMatchObject({ pinned: true, proof: 'proven' });
    expect(web?.target).toBe(`${prefix}${open}/team/web:1.2.0@${web?.digest ?? 'none'}`);
    expect(isThere(`${prefix}${open}/team/web:1.2.0`)).toBe(true);
  });

  it('are planned without being copied', async () => {
    const run = await runPlan();
    expect(run.status, run.stdout).toBe(0);
    const plan = await json('plan.json', Plan);
    expect(plan.images.map(({ source, targets }) => [source, targets])).toEqual([
      [`${world.open.host}/team/agent:v2.3.4`, [`${prefix}${open}/team/agent:v2.3.4`]],
      [`${world.open.host}/team/web:1.2.0`, [`${prefix}${open}/team/web:1.2.0`]],
    ]);
    expect(plan.images[0]?.origins[0]?.path).toContain('charts.shop: Deployment spec.template');
    expect((await isolation()).references.map(({ proof }) => proof)).toEqual(['none', 'none']);
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
    expect(fates(await isolation())).toEqual([
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
    expect(await json('metadata.json', z.record(z.string(), z.string()))).toMatchObject({ IsolationGap: '1' });
    expect((await eks({ needy: { images } }, { UNCONTROLLED_IMAGES: 'FAIL' })).status).toBe(1);
  });
});
