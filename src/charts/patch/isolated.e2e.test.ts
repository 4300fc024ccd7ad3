import { expect, it } from 'vitest';
import { describeWith } from '../../../test/tools.ts';
import { digestOf } from '../../model/digest.ts';
import { ChartIsolation } from '../../model/isolation.ts';
import { readChart } from '../chart.ts';
import { isolateChart } from '../isolation/isolate.ts';
import type { IsolatedChart } from '../isolation/port.ts';
import { proveChart } from '../isolation/prove.ts';
import { chart, helmBinary, pod, prefix } from '../overrides/test-support.ts';
import { isolatedRemedies } from '../remedies/isolated.ts';
import { createRenderer } from '../render/render-chart.ts';
import { calm } from '../test-support.ts';
import { type IsolatedArchive, patchIsolated } from './isolated.ts';

/** One image by values, one in a template, one in a template under a profile, one that is computed. */
const archive = chart({
  'values.yaml': 'image: {repository: quay.io/team/web, tag: "1"}\nmore: false\n',
  'templates/pod.yaml': `${pod('{{ .Values.image.repository }}:{{ .Values.image.tag }}')}    - name: b\n      image: quay.io/team/fixed:3\n{{- if .Values.more }}\n    - name: c\n      image: quay.io/team/more:4\n{{- end }}\n`,
  'templates/computed.yaml': `{{ if .Values.computed }}${pod('{{ printf "%s.%s/x" "quay" "io" }}:5').replace('name: {{', 'name: c-{{')}{{ end }}`,
});
const common = {
  archive,
  kubeVersion: '1.34',
  apiVersions: [],
  prefix,
  renderer: createRenderer(helmBinary()),
  signal: calm(),
};

async function isolate(computed: boolean): Promise<IsolatedArchive> {
  const profiles = [{ name: 'more', values: { more: true, ...(computed ? { computed } : {}) } }];
  const isolated = await isolateChart({
    ...common,
    key: 'web',
    chart: await readChart(archive),
    chartTarget: `${prefix}charts/web:1.2.3`,
    values: {},
    declared: {},
    declaredImages: new Map(),
    profiles,
    copyConditional: false,
    isAllowed: () => false,
    exists: () => Promise.resolve(true),
  });
  return { ...common, isolated };
}

function outcomes({ isolation }: IsolatedChart): readonly string[] {
  return isolation.references.map(({ reference, outcome }) => `${reference} ${outcome}`);
}

describeWith(['helm4'], 'an isolated chart with references that no value moves', () => {
  it('is patched, under all its profiles, and proven as the patched chart that it is then', async () => {
    const before = await isolate(false);
    const { isolated, patched } = await patchIsolated({ ...before, provenance: true });
    expect(outcomes(isolated)).toEqual([
      'quay.io/team/fixed:3 patched',
      'quay.io/team/more:4 patched',
      'quay.io/team/web:1 repointed',
    ]);
    expect(isolated.isolation).toMatchObject({ version: patched?.version });
    expect(isolated.isolation.target).toBe(`${prefix}charts/web:${patched?.version.replace('+', '_') ?? ''}`);
    expect(isolated.isolation.warnings.join()).toContain('provenance file of web 1.2.3 is dropped');
    ChartIsolation.parse(isolated.isolation);
    const copied = new Map(isolated.images.map(({ target, reference }) => [target, digestOf(reference)]));
    const proof = {
      ...common,
      isolation: isolated.isolation,
      published: isolated.values,
      overrides: isolated.overrides,
      uses: isolated.uses,
      isAllowed: () => false,
      copied,
      digestAt: (target: string) => Promise.resolve(copied.get(target)),
    };
    const proven = await proveChart({ ...proof, archive: patched?.archive ?? archive });
    expect(proven).toMatchObject({ holds: true, problems: [] });
    expect(proven.references.map((row) => row.proof)).toEqual(['proven', 'proven', 'proven']);
    // The negative control: the chart as it was does not pass for the patched one.
    expect((await proveChart({ ...proof, archive })).holds).toBe(false);
  });

  it('keeps what cannot be patched, with the reason', async () => {
    const { isolated, patched } = await patchIsolated(await isolate(true));
    expect(patched?.left.map(({ text }) => text)).toEqual(['quay.io/x:5']);
    const row = isolated.isolation.references.find(({ reference }) => reference === 'quay.io/x:5');
    expect(row?.outcome).toBe('uncontrolled');
    expect(row?.why).toMatch(/it cannot be patched: the chart computes it/);
    const controlled = await patchIsolated({ ...(await isolate(false)), isolated });
    expect(controlled.isolated.isolation.version).toBe(patched?.version);
  });

  it('has remedies that reach it', async () => {
    const { offered } = await isolatedRemedies(await isolate(true));
    expect(
      offered.map(({ kind, reaches }) => [kind, reaches.map(({ text, reached }) => `${text} ${reached}`)]),
    ).toEqual([
      ['kustomize', ['quay.io/team/fixed:3 all', 'quay.io/team/more:4 all', 'quay.io/x:5 all']],
      ['kyverno', ['quay.io/team/fixed:3 all', 'quay.io/team/more:4 all', 'quay.io/x:5 all']],
    ]);
  });
});
