import { expect, it } from 'vitest';
import { describeWith } from '../../../test/tools.ts';
import { digestOf, type Digest } from '../../model/digest.ts';
import type { ChartIsolation } from '../../model/isolation.ts';
import { readChart } from '../chart.ts';
import { chart, pod, prefix, type Values } from '../overrides/test-support.ts';
import type { IsolatedChart, IsolationRequest } from './port.ts';
import type { ProofRequest } from './prove.ts';
import { isolate as isolateArchive, prove as proveArchive, proofs, told } from './test-support.ts';

/** Two images by values, one of them in an argument, and one that stands in the template. */
const archive = chart({
  'values.yaml': 'image: {repository: quay.io/team/web, tag: "1"}\nhelper: quay.io/team/helper:2\n',
  'templates/pod.yaml': `${pod('{{ .Values.image.repository }}:{{ .Values.image.tag }}')}      args: ["--helper={{ .Values.helper }}"]\n    - name: b\n      image: quay.io/team/fixed:3\n`,
});

const isolate = (changes: Partial<IsolationRequest> = {}): Promise<IsolatedChart> => isolateArchive(archive, changes);
const prove = (isolated: IsolatedChart, changes: Partial<ProofRequest> = {}): Promise<ChartIsolation> =>
  proveArchive(archive, isolated, changes);

describeWith(['helm4'], 'the isolation proof', () => {
  it('holds for what was derived, and leaves open what no value moves', async () => {
    const proven = await prove(await isolate());
    expect(proofs(proven)).toEqual([
      'quay.io/team/fixed:3 uncontrolled none',
      'quay.io/team/helper:2 repointed proven',
      'quay.io/team/web:1 repointed proven',
    ]);
    expect(proven).toMatchObject({ holds: true, problems: [] });
  });

  it.each([
    ['image', 'quay.io/team/web:1'],
    ['helper', 'quay.io/team/helper:2'],
  ])('fails when the override of %s is taken away', async (key, reference) => {
    const isolated = await isolate();
    const rest: Values = Object.fromEntries(Object.entries(isolated.values).filter(([each]) => each !== key));
    const failed = await prove({ ...isolated, values: rest, overrides: rest });
    expect(failed.holds).toBe(false);
    expect(proofs(failed)).toContain(`${reference} repointed failed`);
    expect(told(failed)).toContain(`${reference} is neither at the target nor at an allowed host`);
  });

  it('fails when an override is gone whose image stands elsewhere in the chart as well, where no value moves it', async () => {
    const thrice = chart({
      'values.yaml': 'a: quay.io/team/web:1\nb: quay.io/team/web:1\n',
      'templates/pod.yaml': `${pod('{{ .Values.a }}')}    - name: b\n      image: {{ .Values.b }}\n    - name: c\n      image: quay.io/team/web:1\n`,
    });
    const isolated = await isolate({ archive: thrice, chart: await readChart(thrice) });
    expect((await prove(isolated, { archive: thrice })).holds).toBe(true);
    const rest: Values = { a: isolated.overrides['a'] ?? null };
    const failed = await prove({ ...isolated, values: rest, overrides: rest }, { archive: thrice });
    expect(failed.holds).toBe(false);
    expect(told(failed)).toContain('quay.io/team/web:1 is neither at the target nor at an allowed host');
  });

  it('takes hosts in upper case for what they are, and names the target in lower case', async () => {
    const loud = chart({
      'values.yaml': 'image: QUAY.IO/team/web:V1\nregistry: Quay.IO\n',
      'templates/pod.yaml': `${pod('{{ .Values.image }}')}    - name: b\n      image: "{{ .Values.registry }}/team/b:2"\n    - name: c\n      image: QUAY.IO/team/fixed:3\n`,
    });
    const isolated = await isolate({ archive: loud, chart: await readChart(loud) });
    expect(isolated.values).toEqual({ image: `${prefix}quay.io/team/web:V1`, registry: `${prefix}quay.io` });
    expect(isolated.images.map(({ reference, target }) => [reference, target])).toEqual([
      ['QUAY.IO/team/fixed:3', `${prefix}quay.io/team/fixed:3`],
      ['QUAY.IO/team/web:V1', `${prefix}quay.io/team/web:V1`],
      ['Quay.IO/team/b:2', `${prefix}quay.io/team/b:2`],
    ]);
    expect(await prove(isolated, { archive: loud })).toMatchObject({ holds: true, problems: [] });
  });

  it('takes a place that is read in two ways for one', async () => {
    const custom = chart({
      'templates/cr.yaml':
        'apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\nspec: {podTemplate: {spec: {volumes: [{name: v, image: {reference: "quay.io/team/files:1"}}]}}}\n',
    });
    const isolated = await isolate({ archive: custom, chart: await readChart(custom) });
    expect(await prove(isolated, { archive: custom })).toMatchObject({ holds: true, problems: [] });
  });

  it('fails when the target has something else, or nothing, or was never given the image', async () => {
    const isolated = await isolate();
    const other: Digest = digestOf('something else');
    const changed = await prove(isolated, { digestAt: () => Promise.resolve(other) });
    expect(told(changed)).toContain(`the target has ${other} as ${prefix}quay.io/team/web:1`);
    const missing = await prove(isolated, { digestAt: () => Promise.resolve(undefined) });
    expect(told(missing)).toContain(`the target does not have ${prefix}quay.io/team/web:1`);
    const uncopied = await prove(isolated, { copied: new Map() });
    expect(told(uncopied)).toContain(`${prefix}quay.io/team/web:1 was not copied`);
    expect([changed, missing, uncopied].map(({ holds }) => holds)).toEqual([false, false, false]);
  });

  it('fails when the chart at the target is another one', async () => {
    const other = chart({ 'templates/pod.yaml': pod('quay.io/team/other:9') });
    const failed = await prove(await isolate(), { archive: other });
    expect(failed.holds).toBe(false);
    expect(told(failed)).toContain('quay.io/team/other:9 is neither at the target');
    expect(told(failed)).toContain(`does not name ${prefix}quay.io/team/web:1`);
    const broken = chart({ 'templates/pod.yaml': '{{ fail "no" }}' });
    expect(told(await prove(await isolate(), { archive: broken }))).toContain('does not render');
  });

  it('counts a guess only when a registry confirms it, and does not fail for one that is none', async () => {
    const isolated = await isolate({ exists: () => Promise.resolve(false) });
    expect(isolated.isolation.rejected.map(({ text }) => text)).toEqual(['quay.io/team/helper:2']);
    expect(isolated.values).toEqual({ image: { repository: `${prefix}quay.io/team/web` } });
    const proven = await prove(isolated);
    expect(proven.holds).toBe(true);
    expect(proofs(proven)).toEqual(['quay.io/team/fixed:3 uncontrolled none', 'quay.io/team/web:1 repointed proven']);
  });

  it('follows what a declared value moves beside its own image', async () => {
    const both = chart({
      'values.yaml': 'registry: quay.io\n',
      'templates/pod.yaml': `${pod('{{ .Values.registry }}/a:1')}    - name: b\n      image: "{{ .Values.registry }}/b:2"\n`,
    });
    const declared = { registry: `${prefix}quay.io` };
    const declaredImages = new Map([[`${prefix}quay.io/a:1`, 'quay.io/a:1']]);
    const isolated = await isolate({ archive: both, chart: await readChart(both), declared, declaredImages });
    expect(isolated.images.map(({ reference, target }) => [reference, target])).toEqual([
      ['quay.io/b:2', `${prefix}quay.io/b:2`],
    ]);
    expect(isolated.isolation.references.map(({ reference, controlledBy }) => [reference, controlledBy])).toEqual([
      ['quay.io/a:1', ['registry']],
      ['quay.io/b:2', ['registry']],
    ]);
  });

  it('declared values win over derived ones', async () => {
    const declared = { image: { repository: `${prefix}mirror/web` } };
    const isolated = await isolate({
      declared,
      declaredImages: new Map([[`${prefix}mirror/web:1`, 'mirror/web:1']]),
    });
    expect(isolated.values).toEqual({ ...declared, helper: `${prefix}quay.io/team/helper:2` });
  });

  it('says why a chart does not render', async () => {
    const broken = chart({ 'templates/pod.yaml': '{{ required "a cluster name" .Values.cluster }}' });
    const { isolation } = await isolate({ archive: broken, chart: await readChart(broken) });
    expect(isolation).toMatchObject({ holds: false, profiles: [], references: [] });
    expect(isolation.problems.join()).toContain('a cluster name');
  });
});
