import { expect, it } from 'vitest';
import { describeWith } from '../../../test/tools.ts';
import type { ChartIsolation } from '../../model/isolation.ts';
import { chart, pod, prefix, type Values } from '../overrides/test-support.ts';
import { patchIsolated } from '../patch/isolated.ts';
import { isolatedRemedies } from '../remedies/isolated.ts';
import { calm } from '../test-support.ts';
import type { IsolatedChart } from './port.ts';
import { isolate, proofs, prove, renderer, told } from './test-support.ts';

const job = (name: string, image: string): string =>
  `apiVersion: batch/v1\nkind: Job\nmetadata: {name: ${name}}\nspec: {template: {spec: {containers: [{name: a, image: ${image}}]}}}\n`;
const web = pod('{{ .Values.image }}');
const values = 'image: quay.io/team/web:1\nmigration: {image: quay.io/team/migrate, tag: "2"}\n';

/** What stands, what only upgrades have (one by values, one in the template), and what only an install has. */
const archive = chart({
  'values.yaml': values,
  'templates/pod.yaml': web,
  'templates/migrate.yaml': `{{ if .Release.IsUpgrade }}${job('m', '"{{ .Values.migration.image }}:{{ .Values.migration.tag }}"')}---\n${job('f', 'quay.io/team/fixed:3')}{{ end }}`,
  'templates/first.yaml': `{{ if .Release.IsInstall }}${job('i', 'quay.io/team/first:4')}{{ end }}`,
});

const surroundings = { kubeVersion: '1.34', apiVersions: [], prefix, renderer, signal: calm() };
const reaching = ({ references }: ChartIsolation): Readonly<Record<string, boolean>> =>
  Object.fromEntries(references.map(({ reference, places }) => [reference, places.every((each) => each.onlyUpgrade)]));
const without = (isolated: IsolatedChart, key: string): IsolatedChart => {
  const rest: Values = Object.fromEntries(Object.entries(isolated.values).filter(([each]) => each !== key));
  return { ...isolated, values: rest, overrides: rest };
};

describeWith(['helm4'], 'images that only an upgrade renders', () => {
  it('are found, re-pointed, copied and proven, and marked', async () => {
    const isolated = await isolate(archive);
    expect(isolated.values).toEqual({
      image: `${prefix}quay.io/team/web:1`,
      migration: { image: `${prefix}quay.io/team/migrate` },
    });
    expect(isolated.images.map(({ reference }) => reference)).toEqual([
      'quay.io/team/first:4',
      'quay.io/team/fixed:3',
      'quay.io/team/migrate:2',
      'quay.io/team/web:1',
    ]);
    expect(reaching(isolated.isolation)).toEqual({
      'quay.io/team/first:4': false,
      'quay.io/team/fixed:3': true,
      'quay.io/team/migrate:2': true,
      'quay.io/team/web:1': false,
    });
    expect(isolated.isolation.references.find(({ reference }) => reference.endsWith('web:1'))?.places).toHaveLength(1);
    expect(isolated.isolation.warnings).toEqual([]);
    const proven = await prove(archive, isolated);
    expect(proofs(proven)).toEqual([
      'quay.io/team/first:4 uncontrolled none',
      'quay.io/team/fixed:3 uncontrolled none',
      'quay.io/team/migrate:2 repointed proven',
      'quay.io/team/web:1 repointed proven',
    ]);
    expect(proven).toMatchObject({ holds: true, problems: [] });
  });

  it('fail the proof when their override is taken away', async () => {
    const failed = await prove(archive, without(await isolate(archive), 'migration'));
    expect(failed.holds).toBe(false);
    expect(told(failed)).toContain('quay.io/team/migrate:2 is neither at the target');
  });

  it('are told from what an install has, though both have the same name by default', async () => {
    const twins = chart({
      'values.yaml': 'a: quay.io/team/web:1\nb: quay.io/team/web:1\n',
      'templates/pod.yaml': pod('{{ if .Release.IsUpgrade }}{{ .Values.b }}{{ else }}{{ .Values.a }}{{ end }}'),
    });
    const isolated = await isolate(twins);
    expect(isolated.values).toEqual({ a: `${prefix}quay.io/team/web:1`, b: `${prefix}quay.io/team/web:1` });
    expect((await prove(twins, isolated)).holds).toBe(true);
    for (const key of ['a', 'b']) expect((await prove(twins, without(isolated, key))).holds).toBe(false);
  });

  it('are patched where they stand in a template, or reached by kustomize and Kyverno', async () => {
    const request = { ...surroundings, archive, isolated: await isolate(archive) };
    const remedies = await isolatedRemedies(request);
    expect(remedies.offered.map(({ kind, reaches }) => [kind, reaches.map(({ reached }) => reached)])).toEqual([
      ['kustomize', ['all', 'all']],
      ['kyverno', ['all', 'all']],
    ]);
    const { isolated, patched } = await patchIsolated(request);
    expect(patched?.moved.map(({ text }) => text)).toEqual(['quay.io/team/first:4', 'quay.io/team/fixed:3']);
    const proven = await prove(patched?.archive ?? archive, isolated);
    expect(proven).toMatchObject({ holds: true, problems: [] });
    expect(proofs(proven)).toContain('quay.io/team/fixed:3 patched proven');
  });

  it('cost two renders instead of one, and nothing where the chart does not ask', async () => {
    const plain = chart({ 'values.yaml': values, 'templates/pod.yaml': web });
    const asking = chart({ 'values.yaml': values, 'templates/pod.yaml': `${web}# {{ .Release.IsUpgrade }}\n` });
    const [one, two] = await Promise.all([isolate(plain), isolate(asking)]);
    expect(one.isolation.renders).toBe(3);
    expect(two.isolation.renders).toBe(2 * one.isolation.renders);
  });

  it('are not seen when helm does not render the chart for an upgrade, which is said and no failure', async () => {
    const refusing = chart({
      'values.yaml': values,
      'templates/pod.yaml': `{{ if and .Release.IsUpgrade (not (lookup "v1" "Secret" "a" "b")) }}{{ fail "no secret\\nof an earlier release" }}{{ end }}${web}`,
    });
    const isolated = await isolate(refusing);
    expect(isolated.isolation.holds).toBe(true);
    expect(isolated.isolation.warnings).toEqual([
      expect.stringMatching(
        /^does not render for an upgrade under profile default, so images .* no secret of an earlier/,
      ),
    ]);
    expect(isolated.values).toEqual({ image: `${prefix}quay.io/team/web:1` });
    expect(await prove(refusing, isolated)).toMatchObject({ holds: true, problems: [] });
  });

  it('fail the proof when only the overrides keep the chart from being upgraded, and what does so is not chosen', async () => {
    const strict = chart({
      'values.yaml': values,
      'templates/pod.yaml': `{{ if and .Release.IsUpgrade (ne .Values.image "quay.io/team/web:1") }}{{ fail "image is not to be changed" }}{{ end }}${web}`,
      'templates/migrate.yaml': `{{ if .Release.IsUpgrade }}${job('m', '"{{ .Values.migration.image }}:2"')}{{ end }}`,
    });
    const isolated = await isolate(strict);
    const rows = isolated.isolation.references.map(({ reference, outcome }) => `${reference} ${outcome}`);
    expect(rows).toEqual(['quay.io/team/migrate:2 repointed', 'quay.io/team/web:1 refused']);
    const image = `${prefix}quay.io/team/web:1`;
    const forced = { ...isolated, values: { ...isolated.values, image }, overrides: { ...isolated.overrides, image } };
    expect(told(await prove(strict, forced))).toContain('does not render for an upgrade with the published values');
  });
});
