import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import * as z from 'zod';
import { type ChartRuns, fates, startChartRuns } from '../../test/chart-runs.ts';
import { describeWith, tool } from '../../test/tools.ts';
import { discover } from '../charts/discovery/discover.ts';
import { Plan } from '../model/plan.ts';
import { splitTarget } from '../model/target-name.ts';
import { ReportData } from '../report/report-data.ts';
import { type ChartSpec, deployment, sampleHosts } from '../testing/sample-charts.ts';

// The main job on charts with images that no value moves, with the real helm: patched, or reached by remedies.
const { open } = sampleHosts;

/** One image by a value, one in the template. */
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

const Outcomes = z.object({ outcomes: z.array(z.object({ artifact: z.string(), kind: z.string() })) });
const Metadata = z.record(z.string(), z.string());

/** What `helm push` makes of a chart. */
const ChartManifest = z.object({
  layers: z.array(z.object({ digest: z.string() })),
  annotations: z.record(z.string(), z.string()),
});

const Application = z.object({
  spec: z.object({
    source: z.object({
      repoURL: z.string(),
      chart: z.string(),
      targetRevision: z.string(),
      helm: z.object({ valuesObject: z.record(z.string(), z.unknown()) }),
    }),
  }),
});
const OciRepository = z.object({ spec: z.object({ url: z.string(), ref: z.object({ tag: z.string() }) }) });
const HelmRelease = z.object({
  spec: z.object({
    values: z.record(z.string(), z.unknown()),
    postRenderers: z.array(z.object({ kustomize: z.object({ images: z.array(z.unknown()) }) })).optional(),
  }),
});

const kubectl = tool('kubectl');
if (kubectl === undefined) console.warn('SKIPPED: out/remedies under the real kustomize: kubectl is not there');

describeWith(['helm3', 'helm4'], 'charts with images that no value moves', () => {
  let runs: ChartRuns;
  let prefix: string;
  beforeEach(async () => {
    runs = await startChartRuns([fixed, computed]);
    ({ prefix } = runs);
  });
  afterEach(() => runs.close());

  const patch = { UNCONTROLLED_IMAGES: 'PATCH' };
  const images = (rendered: string): readonly string[] => discover(rendered).references.map(({ text }) => text);
  const everything = (): readonly string[] => [`${prefix}sample/worker:5.1`, `${prefix}${open}/helper/shell:1.0`];

  it('are patched by UncontrolledImages=PATCH, and proven as they lie at the target', async () => {
    const run = await runs.eks({ fixed: {} }, patch);
    expect(run.status, run.stdout).toBe(0);
    const { helm, values } = await runs.result('fixed');
    expect(helm.version).toMatch(/^2\.0\.0\+isolated\.[0-9a-f]{8}$/);
    const told = `chart fixed 2.0.0 is replicated as ${helm.version}: ${open}/helper/shell:1.0 replaced in fixed/templates/run.yaml`;
    expect(run.stdout).toContain(told);
    expect(run.stdout).toContain('the provenance file of fixed 2.0.0 is dropped');
    const chart = await runs.isolation();
    expect(chart).toMatchObject({ version: helm.version, holds: true, problems: [] });
    expect(fates(chart)).toEqual([`${open}/helper/shell:1.0 patched proven`, 'sample/worker:5.1 repointed proven']);
    expect(values).toEqual({ image: `${prefix}sample/worker:5.1` });
    expect(await runs.json('metadata.json', Metadata)).not.toHaveProperty('IsolationGap');
    const [planned] = (await runs.json('plan.json', Plan)).charts;
    const tag = helm.version.replace('+', '_');
    expect(planned).toMatchObject({ version: helm.version, target: chart.target });
    expect(chart.target.endsWith(`/fixed:${tag}`)).toBe(true);
    // The chart as it was is not there; the patched one has its package and no provenance.
    expect(runs.world.ecr.tags(splitTarget(chart.target).repository)).toEqual([tag]);
    const manifest = ChartManifest.parse(JSON.parse(runs.manifest(chart.target)));
    expect(manifest.layers.map(({ digest }) => digest)).toEqual([planned?.digest]);
    expect(manifest.annotations['image-replication/original-version']).toBe('2.0.0');
    const diff = manifest.annotations['image-replication/patch'];
    expect(diff).toContain(` image: ${prefix}${open}/helper/shell:1.0`);
    expect(await runs.text('patches/fixed.patch')).toBe(diff);
    expect(run.stdout).toContain(join(runs.world.out, 'patches/fixed.patch'));
  });

  it('are patched to the same bytes again: a second run moves nothing', async () => {
    expect((await runs.eks({ fixed: {} }, patch)).status).toBe(0);
    const first = await runs.text('plan.json');
    const again = await runs.eks({ fixed: {} }, patch);
    expect(again.status, again.stdout).toBe(0);
    expect(await runs.text('plan.json')).toBe(first);
    const { outcomes } = await runs.json('run.json', Outcomes);
    expect(outcomes.map(({ artifact, kind }) => `${artifact} ${kind}`).sort()).toEqual([
      `${runs.world.open.host}/helper/shell:1.0 unchanged`,
      `${runs.world.open.host}/sample/worker:5.1 unchanged`,
      `chart fixed ${(await runs.result('fixed')).helm.version} unchanged`,
    ]);
    expect((await runs.isolation()).references.map(({ proof }) => proof)).toEqual(['proven', 'proven']);
  });

  it('are patched with digests where these are asked for', async () => {
    const run = await runs.eks({ fixed: {} }, { ...patch, PIN_DIGESTS: 'true' });
    expect(run.status, run.stdout).toBe(0);
    const chart = await runs.isolation();
    expect(fates(chart)).toEqual([`${open}/helper/shell:1.0 patched proven`, 'sample/worker:5.1 repointed proven']);
    for (const { target = '', digest, pinned } of chart.references) {
      expect(pinned).toBe(true);
      expect(target).toContain(`@${digest ?? 'none'}`);
      expect(runs.isThere(target)).toBe(true);
    }
    expect(runs.isThere(`${prefix}${open}/helper/shell:1.0`)).toBe(true);
  });

  it('fail where a patch does not reach all of them, with what reaches the rest', async () => {
    const run = await runs.eks({ computed: {} }, patch);
    expect(run.status).toBe(1);
    expect(run.stdout).toContain('it cannot be patched: the chart computes it: its text stands in no file');
    expect(run.stdout).toContain(join(runs.world.out, 'remedies/computed/kyverno.yaml'));
    expect(fates(await runs.isolation())).toEqual([
      `${open}/helper/shell:1.0 uncontrolled none`,
      `${open}/team/init:1.0 patched proven`,
    ]);
    expect(runs.isThere(`${prefix}${open}/helper/shell:1.0`)).toBe(true);
    expect(runs.published()).toBe(false);
    // What the patch moves needs no remedy.
    expect(await runs.text('remedies/computed/README.md')).not.toContain('team/init');
  });

  it('are re-pointed by every file for consumers, with the patched chart at the address that it names', async () => {
    const run = await runs.eks({ fixed: {} }, patch);
    expect(run.status, run.stdout).toBe(0);
    const { version } = (await runs.result('fixed')).helm;
    const argo = Application.parse(parse(await runs.text('consumers/argocd/fixed.yaml'))).spec.source;
    const [source, release] = parseAllDocuments(await runs.text('consumers/flux/fixed.yaml'));
    const flux = {
      source: OciRepository.parse(source?.toJSON()).spec,
      release: HelmRelease.parse(release?.toJSON()).spec,
    };
    const address = `oci://${argo.repoURL}/${argo.chart}`;
    expect(flux).toMatchObject({ source: { url: address, ref: { tag: version.replace('+', '_') } } });
    expect(argo.targetRevision).toBe(version);
    expect(argo.helm.valuesObject).toEqual(flux.release.values);
    expect(flux.release.postRenderers).toBeUndefined();
    const chart = await runs.pull(address, version);
    for (const helm of ['helm3', 'helm4'] as const) {
      const withFile = async (file: string): Promise<readonly string[]> =>
        images(await runs.template(helm, chart, ['-f', join(runs.world.out, 'consumers', file)]));
      expect(await withFile('values/fixed.yaml')).toEqual(everything());
      expect(await withFile('eks-addons/fixed.json')).toEqual(everything());
      const inline = JSON.stringify(argo.helm.valuesObject['image']);
      expect(images(await runs.template(helm, chart, ['--set-json', `image=${inline}`]))).toEqual(everything());
    }
    // The control: without a file, only what was patched is re-pointed.
    expect(images(await runs.template('helm4', chart, []))).toEqual(['sample/worker:5.1', everything()[1]]);
  });

  it('come with remedies otherwise, which messages, the report and Flux name', async () => {
    const folder = join(runs.world.out, 'remedies/fixed');
    const run = await runs.eks({ fixed: {} }, {}, '--report', join(runs.world.folder, 'report'));
    expect(run.status, run.stdout).toBe(0);
    expect(run.stdout).toContain(
      `what helps: UncontrolledImages=PATCH replaces it where it literally stands in the chart; or kustomize as a post-renderer of helm: ${folder}/post-render/kustomization.yaml; or a Kyverno policy`,
    );
    const report = await runs.json('../report/report.json', ReportData);
    expect(report.files).toContain(folder);
    expect(report.gaps).toMatchObject([
      {
        chart: 'fixed',
        reference: `${open}/helper/shell:1.0`,
        remedies: [
          `kustomize as a post-renderer of helm: ${folder}/post-render/kustomization.yaml`,
          `a Kyverno policy that changes images when pods are created: ${folder}/kyverno.yaml`,
        ],
      },
    ]);
    const readme = await runs.text('remedies/fixed/README.md');
    expect(readme).toContain(`- \`${open}/helper/shell:1.0\`: becomes \`${prefix}${open}/helper/shell:1.0\``);
    const renames = [{ name: `${open}/helper/shell`, newName: `${prefix}${open}/helper/shell` }];
    expect(parse(await runs.text('remedies/fixed/post-render/kustomization.yaml'))).toMatchObject({ images: renames });
    const release = parseAllDocuments(await runs.text('consumers/flux/fixed.yaml'))[1]?.toJSON() as unknown;
    expect(HelmRelease.parse(release).spec.postRenderers).toEqual([{ kustomize: { images: renames } }]);
  });

  it.runIf(kubectl !== undefined)('are re-pointed as the README of their remedies says', async () => {
    expect((await runs.eks({ fixed: {} })).status).toBe(0);
    const { target } = await runs.isolation();
    const address = `oci://${target.slice(0, target.lastIndexOf(':'))}`;
    const files = ['-f', join(runs.world.out, 'consumers/values/fixed.yaml')];
    const script = join(runs.world.out, 'remedies/fixed/post-render/post-render.sh');
    const chart = await runs.pull(address, '2.0.0');
    const rendered = await runs.template('helm3', chart, [
      ...files,
      ...['--post-renderer', 'sh', '--post-renderer-args', script],
    ]);
    expect(images(rendered)).toEqual(everything());
    expect(images(await runs.template('helm3', chart, files))).not.toEqual(everything());
  });
});
