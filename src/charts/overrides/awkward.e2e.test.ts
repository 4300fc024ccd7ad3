import { expect, it } from 'vitest';
import { describeWith } from '../../../test/tools.ts';
import { chartOf, chartYaml } from '../test-support.ts';
import { chart, derive, outcomes, pod, prefix } from './test-support.ts';

// Ways to name an image that charts in the wild have, each of which was once taken for one that no value moves.

const subchart = (name: string, image: string, values = ''): Buffer =>
  chartOf(name, '1.0.0', { 'values.yaml': values, 'templates/pod.yaml': pod(image) });

describeWith(['helm4'], 'awkward ways to name an image', () => {
  it('a named template of the parent reads values of whichever subchart includes it, guarded against missing maps', async () => {
    const name = '{{ include "image" (dict "ctx" . "name" "shell") }}';
    const derived = await derive(
      chart({
        'Chart.yaml': chartYaml('web', '1.2.3', 'dependencies: [{name: shell, version: 1.0.0, repository: ""}]\n'),
        'charts/shell-1.0.0.tgz': subchart('shell', name, 'image: {}\n'),
        'values.yaml': 'global: {version: v17}\n',
        'templates/_image.tpl':
          '{{- define "image" -}}{{ coalesce (((.ctx.Values).image).registry) "registry.example.com" }}/team/{{ .name }}:{{ .ctx.Values.global.version }}{{- end -}}',
      }),
    );
    expect(derived.values).toEqual({ shell: { image: { registry: `${prefix}registry.example.com` } } });
    expect(derived.proof.holds).toBe(true);
  });

  it('one value that several templates in values read moves them all, also inside of a text of containers', async () => {
    const derived = await derive(
      chart({
        'values.yaml':
          'hub: quay.io/team\nimages: {web: "{{ .Values.hub }}/web:1", log: "{{ .Values.hub }}/log:1"}\nextra: |\n  - name: side\n    image: {{ .Values.hub }}/side:1\n  - name: other\n    image: ghcr.io/o/other:1\n',
        'templates/pod.yaml': `${pod('{{ tpl .Values.images.web . }}')}    - name: log\n      image: {{ tpl .Values.images.log . }}\n{{ tpl .Values.extra . | indent 4 }}`,
      }),
    );
    expect(derived.values).toMatchObject({
      hub: `${prefix}quay.io/team`,
      extra: expect.stringContaining(`${prefix}ghcr.io/o/other:1`) as string,
    });
    expect(Object.keys(derived.values)).toEqual(['hub', 'extra']);
    expect(outcomes(derived).map(([, what]) => what)).toEqual(
      ['quay.io/team/web:1', 'quay.io/team/log:1', 'quay.io/team/side:1', 'ghcr.io/o/other:1'].map(
        (each) => `${prefix}${each}`,
      ),
    );
  });

  it('values under names that say nothing of images, and one that no values file has', async () => {
    const images = [
      '{{ .Values.app.org }}/{{ .Values.app.name }}:{{ .Values.app.release }}',
      '{{ .Values.lib.prefix }}core:1',
      '{{ last .Values.prepull }}',
      '{{ default (printf "%s/side" "public.ecr.aws") .Values.side }}:2',
    ];
    const derived = await derive(
      chart({
        'values.yaml':
          'app: {org: team, name: web, release: "1"}\nlib: {prefix: "quay.io/team/app-"}\nprepull: [busybox:1.36, nginx]\n',
        'templates/pod.yaml': images.map((image) => pod(image)).join('---\n'),
      }),
    );
    expect(derived.values).toEqual({
      app: { org: `${prefix}team` },
      lib: { prefix: `${prefix}quay.io/team/app-` },
      prepull: ['busybox:1.36', `${prefix}nginx`],
      side: `${prefix}public.ecr.aws/side`,
    });
    expect(derived.proof.holds).toBe(true);
  });

  it('a dependency of any version, pre-releases included', async () => {
    const derived = await derive(
      chart({
        'Chart.yaml': chartYaml('web', '1.2.3', 'dependencies: [{name: shell, version: "*-0", repository: ""}]\n'),
        'charts/shell-1.0.0.tgz': subchart('shell', '{{ .Values.image }}:1', 'image: quay.io/team/shell\n'),
      }),
    );
    expect(derived.values).toEqual({ shell: { image: `${prefix}quay.io/team/shell` } });
  });

  it('a value that would win over one that moves the image already is left out', async () => {
    const derived = await derive(
      chart({
        'values.yaml': 'hub: quay.io/team\n',
        'templates/pod.yaml': `${pod('{{ if contains "/" (toString .Values.image) }}{{ .Values.image }}{{ else }}{{ .Values.hub }}/web:1{{ end }}')}    - name: fixed\n      image: busybox:1.28\n`,
      }),
    );
    expect(derived.values).toEqual({ hub: `${prefix}quay.io/team` });
    expect(outcomes(derived)).toEqual([
      ['quay.io/team/web:1', `${prefix}quay.io/team/web:1`],
      ['busybox:1.28', 'uncontrolled'],
    ]);
  });

  it('a schema that knows no such map refuses all values in it at once', async () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    const derived = await derive(
      chart({
        'values.yaml': names.map((name) => `${name}: {image: {name: ${name}}}`).join('\n'),
        'values.schema.json': JSON.stringify({
          additionalProperties: false,
          properties: Object.fromEntries(['global', ...names].map((name) => [name, {}])),
        }),
        'templates/pod.yaml': names
          .map((name) => pod(`{{ ((.Values.image).${name}).registry | default "quay.io" }}/team/${name}:1`))
          .join('---\n'),
      }),
    );
    expect(derived.values).toEqual({});
    expect(derived.cost.renders).toBeLessThanOrEqual(8);
  });

  it('what profiles name in lists of their own is left to them, and said', async () => {
    const archive = chart({
      'values.yaml': 'image: quay.io/team/web:1\nplugins: []\n',
      'templates/pod.yaml': `${pod('{{ .Values.image }}')}  initContainers:\n{{ toYaml .Values.plugins | indent 4 }}`,
    });
    const plugin = (name: string) => ({ plugins: [{ name, image: `quay.io/plugins/${name}:1` }] });
    const derived = await derive(archive, {
      profiles: [
        { name: 'one', values: plugin('a') },
        { name: 'two', values: plugin('b') },
      ],
    });
    expect(derived.values).toEqual({ image: `${prefix}quay.io/team/web:1` });
    expect(derived.proof.holds).toBe(true);
    expect(derived.references.map(({ found, outcome }) => [found.text, outcome.kind, 'why' in outcome])).toEqual([
      ['quay.io/team/web:1', 'repointed', false],
      ['quay.io/plugins/a:1', 'uncontrolled', true],
      ['quay.io/plugins/b:1', 'uncontrolled', true],
    ]);
    const why = derived.references.map(({ outcome }) => ('why' in outcome ? outcome.why : '')).join('\n');
    expect(why).toContain('profile one (plugins[0].image)');
    expect(why).toContain(`profile two (plugins[0].image)`);
    expect(why).toContain(`write ${prefix}quay.io/plugins/b:1 there`);
  });
});
