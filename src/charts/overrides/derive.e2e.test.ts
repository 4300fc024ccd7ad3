import { expect, it } from 'vitest';
import { describeWith } from '../../../test/tools.ts';
import { createRenderer } from '../render/render-chart.ts';
import { chartOf, chartYaml } from '../test-support.ts';
import { helmRenders } from './helm-renders.ts';
import { chart, derive, helmBinary, outcomes, pin, pod, prefix, tryToDerive } from './test-support.ts';
import { formatPath } from '../values/tree.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const parts = '{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}';

describeWith(['helm4'], 'overrides of one chart', () => {
  it('sets the registry where the chart has one, and nothing else', async () => {
    const derived = await derive(
      chart({
        'values.yaml': 'image: {registry: quay.io, repository: team/web, tag: v1.2.0, pullPolicy: Always}\n',
        'templates/pod.yaml': pod(parts),
      }),
    );
    expect(derived.values).toEqual({ image: { registry: `${prefix}quay.io` } });
    expect(derived.settings).toEqual([
      {
        path: ['image', 'registry'],
        role: 'registry',
        before: 'quay.io',
        value: `${prefix}quay.io`,
        insideList: false,
      },
    ]);
    expect(outcomes(derived)).toEqual([['quay.io/team/web:v1.2.0', `${prefix}quay.io/team/web:v1.2.0`]]);
    expect(derived.proof).toEqual({ holds: true, failures: [], derived: [], unexplained: [] });
    expect(derived.cost.renders).toBe(3);
  });

  it('sets a repository with host, a whole image and a registry with a port', async () => {
    const derived = await derive(
      chart({
        'values.yaml':
          'a: {image: {repository: ghcr.io/team/a, tag: "1"}}\nb: {image: docker.io/team/b:2}\nc: {image: {registry: "host:5000", name: c}}\n',
        'templates/pod.yaml': `${pod('{{ .Values.a.image.repository }}:{{ .Values.a.image.tag }}')}---\n${pod('{{ .Values.b.image }}')}---\n${pod('{{ .Values.c.image.registry }}/{{ .Values.c.image.name }}:3')}`,
      }),
    );
    expect(derived.values).toEqual({
      a: { image: { repository: `${prefix}ghcr.io/team/a` } },
      b: { image: `${prefix}docker.io/team/b:2` },
      c: { image: { registry: `${prefix}host-5000` } },
    });
    expect(derived.proof.holds).toBe(true);
  });

  it('re-points aliases and nested subcharts below their own keys', async () => {
    const leaf = chartOf('leaf', '0.1.0', {
      'values.yaml': 'image: {repository: quay.io/team/leaf, tag: "1"}\n',
      'templates/pod.yaml': pod('{{ .Values.image.repository }}:{{ .Values.image.tag }}'),
    });
    const middle = chartOf('middle', '0.1.0', {
      'Chart.yaml': chartYaml('middle', '0.1.0', 'dependencies: [{name: leaf, version: 0.1.0, repository: ""}]\n'),
      'values.yaml': 'leaf: {image: {tag: "2"}}\n',
      'templates/pod.yaml': '',
      'charts/leaf-0.1.0.tgz': leaf,
    });
    const derived = await derive(
      chart({
        'Chart.yaml': chartYaml(
          'web',
          '1.2.3',
          'dependencies:\n  - {name: middle, version: 0.1.0, repository: ""}\n  - {name: leaf, version: 0.1.0, repository: "", alias: first}\n  - {name: leaf, version: 0.1.0, repository: "", alias: second, condition: second.enabled}\n',
        ),
        'values.yaml': 'second: {enabled: false}\nfirst: {image: {repository: ghcr.io/other/leaf}}\n',
        'charts/middle-0.1.0.tgz': middle,
        'charts/leaf-0.1.0.tgz': leaf,
      }),
    );
    expect(derived.values).toEqual({
      first: { image: { repository: `${prefix}ghcr.io/other/leaf` } },
      middle: { leaf: { image: { repository: `${prefix}quay.io/team/leaf` } } },
    });
    expect(derived.proof.holds).toBe(true);
  });

  it('uses global.imageRegistry when only that moves an image, also when no values file has it', async () => {
    const image = '{{ (.Values.global).imageRegistry | default "quay.io" }}/team/web:1';
    const derived = await derive(chart({ 'templates/pod.yaml': pod(image) }));
    expect(derived.values).toEqual({ global: { imageRegistry: `${prefix}quay.io` } });
    expect(derived.settings[0]?.role).toBe('global registry');
  });

  it('names an image without host after docker.io when only an empty registry moves it', async () => {
    const derived = await derive(
      chart({
        'values.yaml': 'image: {registry: "", tag: "1"}\n',
        'templates/pod.yaml': pod('{{ with .Values.image.registry }}{{ . }}/{{ end }}team/web:{{ .Values.image.tag }}'),
      }),
    );
    expect(derived.values).toEqual({ image: { registry: `${prefix}docker.io` } });
    expect(outcomes(derived)).toEqual([['team/web:1', `${prefix}docker.io/team/web:1`]]);
  });

  it('takes the default registry of a null registry, and an override that no values file mentions', async () => {
    const image =
      '{{ if .Values.image.override }}{{ .Values.image.override }}{{ else }}{{ printf "%s.example.%s/web:%s" .Values.image.account .Values.image.domain .Values.image.tag }}{{ end }}';
    const derived = await derive(
      chart({
        'values.yaml':
          'image: {account: "12345", domain: com, tag: v1}\nside: {image: {registry: ~, defaultRegistry: ghcr.io, repository: a/b, tag: v2}}\n',
        'templates/pod.yaml': `${pod(image)}---\n${pod('{{ .Values.side.image.registry | default .Values.side.image.defaultRegistry }}/{{ .Values.side.image.repository }}:v2')}`,
      }),
    );
    expect(derived.values).toEqual({
      side: { image: { defaultRegistry: `${prefix}ghcr.io` } },
      image: { override: `${prefix}12345.example.com/web:v1` },
    });
    expect(derived.settings.find(({ role }) => role === 'fragment')).toBeUndefined();
  });

  it('changes a part of the host only when nothing better does it, and flags lists', async () => {
    const derived = await derive(
      chart({
        'values.yaml':
          'account: "12345"\nimageAccount: "12345"\nextra:\n  - {name: a, image: "quay.io/a/list:1"}\n  - {name: b, image: "quay.io/a/other:1"}\n',
        'templates/pod.yaml': `${pod('{{ .Values.imageAccount }}.example.com/web:1')}---\napiVersion: v1\nkind: Pod\nmetadata: {name: b}\nspec:\n  containers: {{ toYaml .Values.extra | nindent 4 }}\n`,
      }),
    );
    expect(derived.values).toEqual({
      imageAccount: `${prefix}12345`,
      extra: [
        { name: 'a', image: `${prefix}quay.io/a/list:1` },
        { name: 'b', image: `${prefix}quay.io/a/other:1` },
      ],
    });
    expect(derived.settings.map(({ path, role, insideList }) => [formatPath(path), role, insideList])).toEqual([
      ['imageAccount', 'fragment', false],
      ['extra[0].image', 'image', true],
      ['extra[1].image', 'image', true],
    ]);
    expect(derived.proof.holds).toBe(true);
  });

  it('keeps a digest, which wins over the tag, and a tag that comes from appVersion', async () => {
    const derived = await derive(
      chart({
        'Chart.yaml': chartYaml('web', '1.2.3', 'appVersion: 2.0.1\n'),
        'values.yaml': `a: {image: {repository: quay.io/a/a, tag: "1", digest: "${digest}"}}\nb: {image: {repository: quay.io/a/b, tag: ""}}\n`,
        'templates/pod.yaml': `${pod('{{ .Values.a.image.repository }}@{{ .Values.a.image.digest }}')}---\n${pod('{{ .Values.b.image.repository }}:{{ .Values.b.image.tag | default (printf "v%s" .Chart.AppVersion) }}')}`,
      }),
    );
    expect(outcomes(derived)).toEqual([
      [`quay.io/a/a@${digest}`, `${prefix}quay.io/a/a@${digest}`],
      ['quay.io/a/b:v2.0.1', `${prefix}quay.io/a/b:v2.0.1`],
    ]);
    expect(derived.values).toEqual({
      a: { image: { repository: `${prefix}quay.io/a/a` } },
      b: { image: { repository: `${prefix}quay.io/a/b` } },
    });
  });

  it('re-points templates in values, conditionals on the tag, custom resources, env, args and documents in ConfigMaps', async () => {
    const derived = await derive(
      chart({
        'values.yaml': [
          'name: web',
          'image: "quay.io/team/{{ .Values.name }}:1.4.0"',
          'operand: {repository: quay.io/team, image: operand, version: "3.1"}',
          'related: quay.io/team/related:1',
          'reloader: {image: {repository: quay.io/team/reloader, tag: "7"}}',
          'config: |',
          '  sidecar:',
          '    image: quay.io/team/sidecar:5',
        ].join('\n'),
        'templates/pod.yaml': pod(
          '{{ tpl .Values.image . }}',
          '  {{- if semverCompare ">=1.0" "1.4.0" }}\n  labels: {a: b}\n  {{- end }}\n',
        ).replace('spec:', 'spec:\n'),
        'templates/operator.yaml':
          'apiVersion: v1\nkind: Pod\nmetadata: {name: operator}\nspec:\n  containers:\n    - name: a\n      image: quay.io/team/operator:1\n      args: ["--reloader-image={{ .Values.reloader.image.repository }}:{{ .Values.reloader.image.tag }}"]\n      env: [{name: RELATED_IMAGE_A, value: "{{ .Values.related }}"}]\n',
        'templates/cr.yaml':
          'apiVersion: example.com/v1\nkind: Operand\nmetadata: {name: a}\nspec:\n  agent:\n    repository: {{ .Values.operand.repository }}\n    image: {{ .Values.operand.image }}\n    version: "{{ .Values.operand.version }}"\n',
        'templates/config.yaml':
          'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  config.yaml: |\n{{ .Values.config | indent 4 }}\n',
      }),
    );
    expect(Object.fromEntries(outcomes(derived))).toEqual({
      'quay.io/team/web:1.4.0': `${prefix}quay.io/team/web:1.4.0`,
      'quay.io/team/operand:3.1': `${prefix}quay.io/team/operand:3.1`,
      'quay.io/team/related:1': `${prefix}quay.io/team/related:1`,
      'quay.io/team/reloader:7': `${prefix}quay.io/team/reloader:7`,
      'quay.io/team/sidecar:5': `${prefix}quay.io/team/sidecar:5`,
      'quay.io/team/operator:1': 'uncontrolled',
    });
    expect(derived.values).toEqual({
      image: `${prefix}quay.io/team/{{ .Values.name }}:1.4.0`,
      operand: { repository: `${prefix}quay.io/team` },
      related: `${prefix}quay.io/team/related:1`,
      reloader: { image: { repository: `${prefix}quay.io/team/reloader` } },
      config: `sidecar:\n  image: ${prefix}quay.io/team/sidecar:5\n`,
    });
    expect(derived.proof).toMatchObject({ holds: true, derived: [], unexplained: [] });
  });

  it('leaves out what a schema refuses, says so in the words of helm, and finds the rest', async () => {
    const derived = await derive(
      chart({
        'values.yaml':
          'a: {image: quay.io/team/a:1}\nb: {image: {registry: quay.io, repository: team/b}}\nc: {image: quay.io/team/c:1}\n',
        'values.schema.json': JSON.stringify({
          type: 'object',
          additionalProperties: false,
          properties: {
            global: { type: 'object' },
            a: { type: 'object' },
            b: {
              type: 'object',
              properties: { image: { properties: { registry: { enum: ['quay.io', 'docker.io'] } } } },
            },
            c: { type: 'object' },
          },
        }),
        'templates/pod.yaml': `${pod('{{ .Values.a.image }}')}---\n${pod('{{ .Values.b.image.registry }}/{{ .Values.b.image.repository }}:1')}---\n${pod('{{ .Values.c.image }}')}`,
      }),
    );
    expect(outcomes(derived).map(([, what]) => what)).toEqual([
      `${prefix}quay.io/team/a:1`,
      'refused',
      `${prefix}quay.io/team/c:1`,
    ]);
    const refused = derived.references.find(({ outcome }) => outcome.kind === 'refused')?.outcome;
    expect(refused).toMatchObject({ by: [['b', 'image', 'registry']] });
    expect(refused).toHaveProperty('why', expect.stringContaining('registry') as string);
    expect(derived.cost.renders).toBeLessThanOrEqual(8);
  });

  it('finds by halves which value a template refuses without naming it', async () => {
    const images = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    const derived = await derive(
      chart({
        'values.yaml': images.map((name) => `${name}: {image: {registry: quay.io}}`).join('\n'),
        'templates/pod.yaml': `{{ if ne .Values.e.image.registry "quay.io" }}{{ fail "not like this" }}{{ end }}\n${images.map((name) => pod(`{{ .Values.${name}.image.registry }}/team/${name}:1`)).join('---\n')}`,
      }),
    );
    expect(outcomes(derived).filter(([, what]) => what === 'refused')).toEqual([['quay.io/team/e:1', 'refused']]);
    expect(Object.keys(derived.values)).toEqual(images.filter((name) => name !== 'e'));
    expect(derived.cost.renders).toBeLessThanOrEqual(12);
  });

  it('reports a chart that refuses changed images, until the values of the data file allow it', async () => {
    const archive = chart({
      'values.yaml': 'image: {registry: docker.io, repository: bitnami/x}\nallowInsecureImages: false\n',
      'templates/pod.yaml': `{{ if and (ne .Values.image.registry "docker.io") (not .Values.allowInsecureImages) }}{{ fail (printf "unrecognized image %s" .Values.image.registry) }}{{ end }}\n${pod('{{ .Values.image.registry }}/{{ .Values.image.repository }}:1')}`,
    });
    const refused = await derive(archive);
    expect(refused.references[0]?.outcome).toMatchObject({
      kind: 'refused',
      why: expect.stringContaining('unrecognized image') as string,
    });
    expect(refused.values).toEqual({});
    const allowed = await derive(archive, { values: { allowInsecureImages: true } });
    expect(allowed.values).toEqual({ image: { registry: `${prefix}docker.io` } });
  });

  it('says which value a chart requires before anything can be derived', async () => {
    const archive = chart({ 'templates/pod.yaml': pod('{{ required "clusterName is needed" .Values.clusterName }}') });
    expect(await tryToDerive(archive)).toMatchObject({
      kind: 'refused',
      profile: 'default',
      why: expect.stringContaining('clusterName is needed') as string,
    });
  });

  it('covers the references of every profile', async () => {
    const derived = await derive(
      chart({
        'values.yaml': 'image: quay.io/team/a:1\nextra: {enabled: false, image: quay.io/team/b:1}\n',
        'templates/pod.yaml': `${pod('{{ .Values.image }}')}{{ if .Values.extra.enabled }}\n---\n${pod('{{ .Values.extra.image }}')}{{ end }}`,
      }),
      { profiles: [{ name: 'full', values: { extra: { enabled: true } } }] },
    );
    expect(derived.references.map(({ found, profiles }) => [found.text, profiles])).toEqual([
      ['quay.io/team/a:1', ['default', 'full']],
      ['quay.io/team/b:1', ['full']],
    ]);
    expect(derived.values).toEqual({
      image: `${prefix}quay.io/team/a:1`,
      extra: { image: `${prefix}quay.io/team/b:1` },
    });
  });

  it('leaves a value alone that would break something else, and tells checksums', async () => {
    const derived = await derive(
      chart({
        'values.yaml': 'image: {registry: quay.io, other: quay.io}\n',
        'templates/config.yaml':
          'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {web: "{{ .Values.image.registry }}/team/web:1"}\n',
        'templates/pod.yaml': `${pod('{{ .Values.image.registry }}/team/web:1', '  annotations:\n    checksum/config: {{ include (print $.Template.BasePath "/config.yaml") . | sha256sum }}\n')}---\n${pod('{{ .Values.image.other }}/team/b:1', '  labels:\n    from: {{ .Values.image.other }}\n')}`,
      }),
    );
    expect(derived.values).toEqual({ image: { registry: `${prefix}quay.io` } });
    expect(outcomes(derived).at(-1)).toEqual(['quay.io/team/b:1', 'refused']);
    expect(derived.refusals).toMatchObject([
      { path: ['image', 'other'], why: expect.stringContaining('label') as string },
    ]);
    expect(derived.proof).toMatchObject({ holds: true, unexplained: [], derived: [{ kind: 'checksum' }] });
  });

  it('does not take random names for a change', async () => {
    const derived = await derive(
      chart({
        'values.yaml': 'image: quay.io/team/a:1\n',
        'templates/pod.yaml': pod('{{ .Values.image }}', '  annotations: {password: "{{ randAlphaNum 20 }}"}\n'),
      }),
    );
    expect(derived.proof).toMatchObject({ holds: true, derived: [], unexplained: [] });
  });

  it('pins by digest where the chart can: a digest, hex digits alone, or a tag that is nothing else', async () => {
    const image = (name: string): string =>
      `{{ .Values.${name}.image.repository }}:{{ .Values.${name}.image.tag }}{{ with .Values.${name}.image.digest }}@{{ . }}{{ end }}{{ with .Values.${name}.image.sha }}@sha256:{{ . }}{{ end }}`;
    const value = (name: string, more: string): string =>
      `${name}: {image: {repository: quay.io/team/${name}, tag: "1"${more}}}`;
    const derived = await derive(
      chart({
        'values.yaml': [value('a', ', digest: ""'), value('b', ', sha: ""'), value('c', ''), value('d', '')].join('\n'),
        'templates/pod.yaml': [
          pod(image('a')),
          pod(image('b')),
          pod('{{ .Values.c.image.repository }}:{{ .Values.c.image.tag }}'),
          pod(
            '{{ .Values.d.image.repository }}:{{ .Values.d.image.tag }}',
            '  labels:\n    version: "{{ .Values.d.image.tag }}"\n',
          ),
        ].join('---\n'),
      }),
      { pin },
    );
    const digestOfImage = (name: string): string => pin(`quay.io/team/${name}:1`);
    expect(outcomes(derived).map(([, target]) => target)).toEqual([
      `${prefix}quay.io/team/a:1@${digestOfImage('a')}`,
      `${prefix}quay.io/team/b:1@${digestOfImage('b')}`,
      `${prefix}quay.io/team/c:1@${digestOfImage('c')}`,
      `${prefix}quay.io/team/d:1`,
    ]);
    expect(derived.values).toMatchObject({
      a: { image: { digest: digestOfImage('a') } },
      b: { image: { sha: digestOfImage('b').slice('sha256:'.length) } },
      c: { image: { tag: `1@${digestOfImage('c')}` } },
    });
    expect(derived.references.map(({ outcome }) => outcome.kind === 'repointed' && outcome.pinned)).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect(derived.proof.holds).toBe(true);
  });

  it('pins a whole name', async () => {
    const derived = await derive(
      chart({ 'values.yaml': 'image: quay.io/team/a:1\n', 'templates/pod.yaml': pod('{{ .Values.image }}') }),
      { pin },
    );
    const image = `${prefix}quay.io/team/a:1@${pin('quay.io/team/a:1')}`;
    expect(derived.values).toEqual({ image });
    expect(derived.settings).toHaveLength(1);
    expect(derived.references[0]?.outcome).toEqual({ kind: 'repointed', target: image, by: [['image']], pinned: true });
  });

  it('gives the same with helm 3', async () => {
    const archive = chart({
      'values.yaml': 'image: {registry: quay.io, repository: team/web, tag: v1.2.0}\n',
      'templates/pod.yaml': pod(parts),
    });
    const render = helmRenders(createRenderer(helmBinary('helm3')), { chart: archive, kubeVersion: '1.34.0' });
    expect((await derive(archive, { render })).values).toEqual((await derive(archive)).values);
  });

  it('stays within its renders and says what it could not look at', async () => {
    const archive = chart({
      'values.yaml': 'image: quay.io/team/a:1\n',
      'templates/pod.yaml': pod('{{ .Values.image }}'),
    });
    const derived = await derive(archive, { maxRenders: 1 });
    expect(derived.cost.renders).toBe(1);
    expect(derived.proof.holds).toBe(false);
    expect(outcomes(derived)).toEqual([['quay.io/team/a:1', 'unknown']]);
  });

  it('lets one registry serve images of several hosts, each under the name that comes out of it', async () => {
    const derived = await derive(
      chart({
        'values.yaml': 'global: {imageRegistry: ""}\n',
        'templates/pod.yaml': ['quay.io/a/a:1', 'quay.io/a/b:1', 'ghcr.io/c/c:1']
          .map((image) => image.split('/'))
          .map(([host, ...rest]) => pod(`{{ .Values.global.imageRegistry | default "${host}" }}/${rest.join('/')}`))
          .join('---\n'),
      }),
    );
    expect(derived.values).toEqual({ global: { imageRegistry: `${prefix}quay.io` } });
    expect(outcomes(derived)).toContainEqual(['ghcr.io/c/c:1', `${prefix}quay.io/c/c:1`]);
    expect(derived.proof.holds).toBe(true);
  });

  it('never gives two images one name', async () => {
    const derived = await derive(
      chart({
        'values.yaml': 'global: {imageRegistry: ""}\n',
        'templates/pod.yaml': `${pod('{{ .Values.global.imageRegistry | default "quay.io" }}/a/a:1')}---\n${pod('{{ .Values.global.imageRegistry | default "ghcr.io" }}/a/a:1')}`,
      }),
    );
    expect(derived.values).toEqual({});
    expect(derived.references.map(({ outcome }) => outcome)).toMatchObject([
      { kind: 'refused', by: [['global', 'imageRegistry']] },
      { kind: 'refused', by: [['global', 'imageRegistry']] },
    ]);
  });

  it('leaves references alone that need no target', async () => {
    const derived = await derive(
      chart({
        'values.yaml': 'a: {image: quay.io/a/a:1}\nb: {image: reachable.example/b:1}\n',
        'templates/pod.yaml': `${pod('{{ .Values.a.image }}')}---\n${pod('{{ .Values.b.image }}')}`,
      }),
      { target: (written) => (written.startsWith('reachable.') ? undefined : `${prefix}${written}`) },
    );
    expect(derived.values).toEqual({ a: { image: `${prefix}quay.io/a/a:1` } });
    expect(outcomes(derived).at(-1)).toEqual(['reachable.example/b:1', 'left']);
    expect(derived.proof.holds).toBe(true);
  });
});
