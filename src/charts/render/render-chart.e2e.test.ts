import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { describeWith, requireTool } from '../../../test/tools.ts';
import { discover } from '../discovery/discover.ts';
import { type Helm, helmVersion } from '../helm.ts';
import { calm, chartOf } from '../test-support.ts';
import type { RenderLimits, RenderOutcome, RenderRequest } from './port.ts';
import { createRenderer, renderChart } from './render-chart.ts';
import type { Refusal } from './refusal.ts';

const pod = (image: string, name = 'p'): string =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}\nspec: {containers: [{name: a, image: ${image}}]}\n`;

function chart(files: Readonly<Record<string, string | Uint8Array>>, more = ''): Buffer {
  return chartOf('web', '1.0.0', {
    'Chart.yaml': `apiVersion: v2\nname: web\nversion: 1.0.0\n${more}`,
    'values.yaml': '{}\n',
    'templates/pod.yaml': pod('a/plain:1'),
    ...files,
  });
}

/** Takes longer than any of the limits here. */
const forever = '{{ range until 2000 }}{{ range until 2000 }}{{ range until 2000 }}{{ end }}{{ end }}{{ end }}';

for (const name of ['helm3', 'helm4'] as const) {
  describeWith([name], `rendering with ${name}`, () => {
    let helm: Helm;
    beforeAll(async () => {
      const path = requireTool(name);
      helm = { path, version: await helmVersion(path, calm()) };
    });

    const render = (
      bytes: string | Uint8Array,
      values: Readonly<Record<string, unknown>> = {},
      limits: RenderLimits = {},
      more: Partial<RenderRequest> = {},
    ): Promise<RenderOutcome> =>
      renderChart(helm, { chart: bytes, values: [values], kubeVersion: '1.34', signal: calm(), ...more }, limits);
    const textOf = (outcome: RenderOutcome): string => {
      expect(outcome.kind, JSON.stringify(outcome)).toBe('rendered');
      return outcome.kind === 'rendered' ? outcome.text : '';
    };
    const images = (outcome: RenderOutcome): readonly string[] =>
      discover(textOf(outcome)).references.map(({ text, place }) => `${text} ${place.template}:${place.line}`);
    const refusalOf = async (made: Promise<RenderOutcome>): Promise<Refusal | undefined> => {
      const outcome = await made;
      return outcome.kind === 'refused' ? outcome.refusal : undefined;
    };

    it('renders aliases, nested subcharts, library charts, hooks and tests, and tells files of crds/ apart', async () => {
      const leaf = chartOf('leaf', '0.1.0', {
        'values.yaml': 'image: a/leaf:1\n',
        'templates/pod.yaml': pod('{{ .Values.image }}', '{{ .Release.Name }}-leaf'),
        'crds/c.yaml':
          'kind: CustomResourceDefinition\nmetadata: {name: one}\n---\nkind: Pod\nspec: {containers: [{image: a/crd:1}]}\n',
      });
      const library = chartOf('lib', '0.1.0', {
        'Chart.yaml': 'apiVersion: v2\nname: lib\nversion: 0.1.0\ntype: library\n',
        'templates/pod.yaml': '',
        'templates/_image.tpl': '{{ define "lib.image" }}{{ .Values.image }}:{{ .Chart.AppVersion }}{{ end }}',
      });
      const dependencies = `appVersion: "7"
dependencies:
  - {name: leaf, version: 0.1.0, repository: ""}
  - {name: leaf, version: 0.1.0, repository: "", alias: twin}
  - {name: lib, version: 0.1.0, repository: ""}
`;
      const bytes = chart(
        {
          'charts/leaf.tgz': leaf,
          'charts/lib.tgz': library,
          'values.yaml': 'image: a/top\ntwin: {image: a/twin:2}\n',
          'templates/pod.yaml': pod('{{ include "lib.image" . }}'),
          'templates/tests/t.yaml': pod('a/test:1', 't').replace(
            '{name: t}',
            '{name: t, annotations: {"helm.sh/hook": test}}',
          ),
        },
        dependencies,
      );
      const outcome = await render(bytes);
      expect([...images(outcome)].sort()).toEqual([
        'a/leaf:1 web/charts/leaf/templates/pod.yaml:4',
        'a/test:1 web/templates/tests/t.yaml:4',
        'a/top:7 web/templates/pod.yaml:4',
        'a/twin:2 web/charts/twin/templates/pod.yaml:4',
      ]);
      expect(outcome.kind === 'rendered' ? discover(outcome.crds).references : []).toMatchObject([
        { text: 'a/crd:1', place: { template: 'web/charts/leaf/crds/c.yaml', line: 4 } },
        { text: 'a/crd:1', place: { template: 'web/charts/twin/crds/c.yaml', line: 4 } },
      ]);
    });

    it('renders for a cluster that it is told about, without finding anything in one', async () => {
      const bytes = chart({
        'templates/pod.yaml':
          'k: {{ .Capabilities.KubeVersion }} {{ .Capabilities.APIVersions.Has "x.example/v1" }} {{ .Release.Name }} {{ .Release.Namespace }} [{{ lookup "v1" "Secret" "a" "b" | len }}]\n',
      });
      const fixed = { apiVersions: ['x.example/v1'], releaseName: 'r', namespace: 'ns' };
      expect(textOf(await render(bytes, {}, {}, fixed))).toContain('k: v1.34.0 true r ns [0]');
      expect(textOf(await render(bytes))).toContain('false release image-replication');
    });

    it('takes values as objects, with tpl in them, and a chart as a folder', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'render-'));
      try {
        const files = {
          'Chart.yaml': 'apiVersion: v2\nname: web\nversion: 1.0.0\n',
          'values.yaml': 'image: "{{ .Values.host }}/b:1"\nhost: quay.io\n',
          'templates/pod.yaml': pod('{{ tpl .Values.image . }}'),
        };
        for (const [path, content] of Object.entries(files)) {
          await mkdir(dirname(join(folder, path)), { recursive: true });
          await writeFile(join(folder, path), content);
        }
        expect(images(await render(folder, { host: 'ghcr.io' }))).toEqual(['ghcr.io/b:1 web/templates/pod.yaml:4']);
        await writeFile(join(folder, 'templates/bad.yaml'), '{{ required "say who" .Values.who }}');
        expect(await refusalOf(render(folder))).toMatchObject({ kind: 'required', values: ['who'] });
      } finally {
        await rm(folder, { recursive: true });
      }
    });

    it('says which value a chart misses, in its own words', async () => {
      const required = chart({
        'templates/_h.tpl': '{{ define "x" }}{{ .Values.a.name | required "need the name" }}{{ end }}',
        'templates/pod.yaml': pod('{{ include "x" . }}'),
        'values.yaml': 'a: {}\n',
      });
      expect(await refusalOf(render(required))).toMatchObject({
        kind: 'required',
        message: expect.stringContaining('need the name') as string,
        template: 'web/templates/pod.yaml',
        values: ['a.name'],
      });
      expect(images(await render(required, { a: { name: 'q/n:1' } }))).toHaveLength(1);
      const nothing = chart({ 'templates/pod.yaml': '\n\n{{ .Values.a.b.c }}' });
      expect(await refusalOf(render(nothing))).toMatchObject({ kind: 'missing-value', line: 3, values: ['a.b.c'] });
      const inner = chartOf('sub', '0.1.0', {
        'templates/x.yaml': 'x: {{ required "who?" .Values.auth.user }}\n',
        'values.yaml': 'auth: {}\n',
        'templates/pod.yaml': '',
      });
      const below = chart({ 'charts/sub.tgz': inner });
      expect(await refusalOf(render(below))).toMatchObject({ kind: 'required', values: ['sub.auth.user'] });
      const fails = chart({
        'templates/x.yaml': '{{ fail "images were substituted; set `global.security.allowInsecureImages` to true" }}',
      });
      expect(await refusalOf(render(fails))).toMatchObject({
        kind: 'fail',
        message:
          'execution error at (web/templates/x.yaml:1:3): images were substituted; set `global.security.allowInsecureImages` to true',
        values: ['global.security.allowInsecureImages'],
      });
    });

    it('says what a schema refuses', async () => {
      const strict = JSON.stringify({
        type: 'object',
        required: ['cluster'],
        properties: {
          cluster: { type: 'string' },
          image: { type: 'object', additionalProperties: false, properties: { tag: { type: 'string' } } },
        },
      });
      const sub = chartOf('sub', '0.1.0', {
        'values.schema.json': JSON.stringify({ required: ['key'] }),
        'templates/pod.yaml': '',
      });
      const bytes = chart({ 'values.schema.json': strict, 'charts/sub.tgz': sub });
      expect(await refusalOf(render(bytes, { image: { tag: 4, odd: 1 } }))).toMatchObject({
        kind: 'schema',
        values: expect.arrayContaining(['cluster', 'image.odd', 'image.tag', 'sub.key']) as string[],
      });
      expect(await refusalOf(render(bytes, { cluster: 'c' }))).toMatchObject({ kind: 'schema', values: ['sub.key'] });
      expect(images(await render(bytes, { cluster: 'c', sub: { key: 1 } }))).toHaveLength(1);
    });

    it('renders without a schema that only the network has, and says so', async () => {
      const remote = JSON.stringify({ properties: { a: { $ref: 'https://schemas.invalid/x.json' } } });
      const outcome = await render(chart({ 'values.schema.json': remote }), { a: 1 });
      expect(images(outcome)).toHaveLength(1);
      expect(outcome.kind === 'rendered' ? outcome.warnings.join() : '').toMatch(
        /values\.schema\.json was not checked.*schemas\.invalid/,
      );
    });

    it('tells other refusals by their kind', async () => {
      const kinds: readonly (readonly [string, Buffer])[] = [
        ['kube-version', chart({}, 'kubeVersion: ">=1.99"\n')],
        ['dependencies', chart({}, 'dependencies: [{name: q, version: 1.0.0, repository: "https://x.invalid"}]\n')],
        ['yaml', chart({ 'templates/x.yaml': 'a: [\n' })],
        ['template', chart({ 'templates/x.yaml': '{{ nosuch }}' })],
        ['template', chart({ 'templates/x.yaml': '{{ include "nosuch" . }}' })],
      ];
      for (const [kind, bytes] of kinds) expect(await refusalOf(render(bytes)), kind).toMatchObject({ kind });
    });

    it('ends a template that never ends, one that grows without end, and too much output', async () => {
      const endless = chart({ 'templates/x.yaml': `{{ define "e" }}${forever}{{ end }}{{ include "e" . }}` });
      expect(await refusalOf(render(endless, {}, { timeoutMs: 700 }))).toMatchObject({ kind: 'time' });
      // It keeps what it took until it is seen, however late that is.
      const greedy = chart({ 'templates/x.yaml': `{{ $a := until 100000000 }}${forever}{{ len $a }}` });
      expect(await refusalOf(render(greedy, {}, { maxMemoryBytes: 400e6, timeoutMs: 240_000 }))).toMatchObject({
        kind: 'memory',
      });
      const loud = chart({ 'templates/x.yaml': 'a: |\n{{ range until 100000 }}  {{ repeat 100 "x" }}\n{{ end }}' });
      expect(await refusalOf(render(loud, {}, { maxOutputBytes: 5e6 }))).toMatchObject({ kind: 'output' });
      // Of this process's own work, which reads what helm has written: other programs and helm itself may take their time.
      const before = process.cpuUsage();
      expect(images(await render(loud))).toHaveLength(1);
      const { user, system } = process.cpuUsage(before);
      expect((user + system) / 1e6).toBeLessThan(15);
    });

    it('says when nothing runs: no images, only definitions', async () => {
      const none = textOf(
        await render(
          chart({ 'templates/pod.yaml': 'kind: ConfigMap\napiVersion: v1\nmetadata: {name: c}\ndata: {a: b}\n' }),
        ),
      );
      expect(discover(none)).toMatchObject({ references: [], objects: 1, workloads: 0 });
      const definitions = await render(
        chart({ 'templates/pod.yaml': '', 'crds/a.yaml': 'kind: CustomResourceDefinition\nmetadata: {name: c}\n' }),
      );
      expect(discover(textOf(definitions))).toMatchObject({ references: [], objects: 0, workloads: 0 });
    });

    it('stops when told to, and renders several at a time', async () => {
      const renderer = createRenderer(helm, {}, 2);
      const wanted = Array.from({ length: 5 }, (_, i) =>
        renderer.render({
          chart: chart({ 'templates/pod.yaml': pod('a/{{ .Values.n }}:1') }),
          values: [{ n: `n${i}` }],
          kubeVersion: '1.34',
          signal: calm(),
        }),
      );
      expect((await Promise.all(wanted)).flatMap(images).map((each) => each.split(' ')[0])).toEqual([
        'a/n0:1',
        'a/n1:1',
        'a/n2:1',
        'a/n3:1',
        'a/n4:1',
      ]);
      const stop = new AbortController();
      const endless = chart({ 'templates/x.yaml': forever });
      const stopped = render(endless, {}, {}, { signal: stop.signal });
      setTimeout(() => stop.abort(), 100);
      await expect(stopped).rejects.toMatchObject({ code: 'cancelled' });
    });
  });
}
