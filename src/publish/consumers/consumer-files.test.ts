import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import * as z from 'zod';
import type { PlannedChart } from '../../model/plan.ts';
import { parseHelmYaml } from '../../charts/helm-yaml.ts';
import { consumerFiles, valuesFile } from './consumer-files.ts';

const registry = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';

function planned(key: string, values: PlannedChart['values'], more: Partial<PlannedChart> = {}): PlannedChart {
  return {
    kind: 'chart',
    key,
    name: 'web',
    version: '1.2.3+isolated.0a1b2c3d',
    repository: 'https://charts.example.com',
    target: `${registry}/demo-charts/web:1.2.3_isolated.0a1b2c3d`,
    values,
    origins: [],
    ...more,
  };
}

const values = {
  image: { repository: `${registry}/demo-docker.io/web`, tag: '1.10', on: 'yes', n: 3, list: [{ a: null }] },
};

/** https://argo-cd.readthedocs.io/en/stable/operator-manual/application.yaml, the fields that are used. */
const Application = z.strictObject({
  apiVersion: z.literal('argoproj.io/v1alpha1'),
  kind: z.literal('Application'),
  metadata: z.strictObject({ name: z.string(), namespace: z.literal('argocd') }),
  spec: z.strictObject({
    project: z.string(),
    source: z.strictObject({
      repoURL: z.string().regex(/^(?!oci:)/),
      chart: z.string(),
      targetRevision: z.string(),
      helm: z.strictObject({ releaseName: z.string(), valuesObject: z.record(z.string(), z.unknown()) }),
    }),
    destination: z.strictObject({ server: z.url(), namespace: z.string() }),
    syncPolicy: z.strictObject({ syncOptions: z.array(z.string()) }),
  }),
});

/** https://fluxcd.io/flux/components/source/api/v1/#source.toolkit.fluxcd.io/v1.OCIRepositorySpec */
const OciRepository = z.strictObject({
  apiVersion: z.literal('source.toolkit.fluxcd.io/v1'),
  kind: z.literal('OCIRepository'),
  metadata: z.strictObject({ name: z.string(), namespace: z.string() }),
  spec: z.strictObject({
    interval: z.string().regex(/^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$/),
    url: z.string().startsWith('oci://'),
    ref: z.strictObject({ tag: z.string() }),
    layerSelector: z.strictObject({ mediaType: z.string(), operation: z.enum(['extract', 'copy']) }),
    provider: z.enum(['generic', 'aws', 'azure', 'gcp']).optional(),
  }),
});

/** https://fluxcd.io/flux/components/helm/api/v2/#helm.toolkit.fluxcd.io/v2.HelmReleaseSpec */
const HelmRelease = z.strictObject({
  apiVersion: z.literal('helm.toolkit.fluxcd.io/v2'),
  kind: z.literal('HelmRelease'),
  metadata: z.strictObject({ name: z.string(), namespace: z.string() }),
  spec: z.strictObject({
    interval: z.string(),
    releaseName: z.string().max(53),
    targetNamespace: z.string().max(63),
    install: z.strictObject({ createNamespace: z.boolean() }),
    chartRef: z.strictObject({ kind: z.enum(['OCIRepository', 'HelmChart']), name: z.string() }),
    values: z.record(z.string(), z.unknown()),
    postRenderers: z
      .array(
        z.strictObject({
          kustomize: z.strictObject({
            images: z.array(
              z.strictObject({
                name: z.string(),
                newName: z.string().optional(),
                newTag: z.string().optional(),
                digest: z.string().optional(),
              }),
            ),
          }),
        }),
      )
      .optional(),
  }),
});

function documents(text: string): readonly unknown[] {
  return [...parseAllDocuments(text)].map((each): unknown => each.toJSON());
}

describe('files for those who install the charts', () => {
  it('gives four files per chart, whatever its key, in a stable order', () => {
    const charts = [planned('b/ü x', {}), planned('../evil', {}), planned('B--x', {}), planned('b---x', {})];
    const files = consumerFiles(charts);
    expect(Object.keys(files).filter((path) => path.startsWith('values/'))).toEqual([
      'values/B--x.yaml',
      'values/b---x.yaml',
      'values/b-x.yaml',
      'values/evil.yaml',
    ]);
    expect(Object.keys(files)).toHaveLength(16);
    expect(consumerFiles([...charts])).toEqual(files);
    expect(Object.keys(consumerFiles([planned('A', {}), planned('a', {})]))).toContain('values/a-2.yaml');
  });

  it('writes an Argo CD Application of the chart at the target, values inline', () => {
    const files = consumerFiles([planned('kube_Prom', values)]);
    const application = Application.parse(parse(files['argocd/kube_Prom.yaml'] ?? ''));
    expect(application.metadata.name).toBe('kube-prom');
    expect(application.spec.source).toMatchObject({
      repoURL: `${registry}/demo-charts`,
      chart: 'web',
      targetRevision: '1.2.3+isolated.0a1b2c3d',
      helm: { valuesObject: values },
    });
  });

  it('writes a Flux source and release, with the provider and post-renderer where they belong', () => {
    const renames = [{ name: 'quay.io/a/b', newName: `${registry}/demo-quay.io/a/b` }];
    const here = planned('here', values);
    const local = planned('local', values, { target: 'localhost:5000/demo-charts/web:1.2.3' });
    const files = consumerFiles([here, local], { renames: new Map([['here', renames]]) });
    const [source, release] = documents(files['flux/here.yaml'] ?? '');
    expect(OciRepository.parse(source).spec).toMatchObject({
      url: `oci://${registry}/demo-charts/web`,
      ref: { tag: '1.2.3_isolated.0a1b2c3d' },
      layerSelector: { mediaType: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip', operation: 'copy' },
      provider: 'aws',
    });
    expect(HelmRelease.parse(release).spec).toMatchObject({
      chartRef: { name: OciRepository.parse(source).metadata.name },
      values,
      postRenderers: [{ kustomize: { images: renames } }],
    });
    const [elsewhere, plain] = documents(files['flux/local.yaml'] ?? '');
    expect(OciRepository.parse(elsewhere).spec.provider).toBeUndefined();
    expect(OciRepository.parse(elsewhere).spec.url).toBe('oci://localhost:5000/demo-charts/web');
    expect(HelmRelease.parse(plain).spec.postRenderers).toBeUndefined();
  });

  it('writes add-on configuration as JSON', () => {
    expect(JSON.parse(consumerFiles([planned('cni', values)])['eks-addons/cni.json'] ?? '')).toEqual(values);
  });

  it('writes values that helm reads as they are, whatever they look like', () => {
    const awkward = {
      a: ['on', 'yes', '0777', '0o17', '1e3', '1_000', '~', '', ' x', '1:20', '2001-01-01', '#', '- a', 'é\u2028'],
    };
    expect(parseHelmYaml(valuesFile(planned('x', awkward), 'x.yaml'), 'x')).toEqual(awkward);
    expect(parseHelmYaml(valuesFile(planned('x', {}), 'x.yaml'), 'x')).toEqual({});
    const text = fc.string({ unit: 'grapheme', maxLength: 12 });
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        text,
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('tree')),
        tie('map'),
      ),
      map: fc.dictionary(fc.stringMatching(/^[A-Za-z][A-Za-z0-9_./-]*$/), tie('tree')),
    }));
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[A-Za-z0-9_./-]+$/), tree, { maxKeys: 4 }), (each) => {
        const copy: unknown = JSON.parse(JSON.stringify(each));
        expect(parseHelmYaml(valuesFile(planned('x', each), 'x.yaml'), 'x')).toEqual(copy);
      }),
      { numRuns: 200, seed: 7 },
    );
  });
});
