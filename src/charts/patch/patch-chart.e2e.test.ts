import type { Values } from '../values/tree.ts';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { describeWith, requireTool, root } from '../../../test/tools.ts';
import { digestOf } from '../../model/digest.ts';
import { readChart } from '../chart.ts';
import { packageChart } from '../package.ts';
import { helmRenders } from '../overrides/helm-renders.ts';
import { createRenderer } from '../render/render-chart.ts';
import { calm, chartOf, chartYaml, type Member, tgzOf } from '../test-support.ts';
import { patchAnnotations } from './package-patched.ts';
import { patchChart } from './patch-chart.ts';
import { repeatPatch } from './repeat-patch.ts';
import type { NotPatched, Patched, PatchRequest, RenderArchive } from './port.ts';

const prefix = '123456789012.dkr.ecr.eu-west-1.amazonaws.com/demo-';

function rendering(helm: string, profiles: Readonly<Record<string, Values>> = { '': {} }): RenderArchive {
  const renderer = createRenderer({ path: requireTool(helm), version: '4.0.0' });
  return (archive, signal) =>
    Promise.all(
      Object.entries(profiles).map(async ([profile, values]) => ({
        profile,
        rendering: await helmRenders(renderer, { chart: archive, kubeVersion: '1.34.0' })(values, signal),
      })),
    );
}

function tryPatch(
  archive: Uint8Array,
  texts: readonly string[],
  options: Partial<PatchRequest> = {},
): Promise<Patched | NotPatched> {
  const references = texts.map((text) => ({ text, target: `${prefix}${text}` }));
  return patchChart({ archive, references, render: rendering('helm4'), signal: calm(), ...options });
}

async function patch(...args: Parameters<typeof tryPatch>): Promise<Patched> {
  const patched = await tryPatch(...args);
  if (patched.kind !== 'patched') throw new Error(JSON.stringify(patched));
  return patched;
}

async function images(archive: Uint8Array, values: Values = {}): Promise<readonly string[]> {
  const [first] = await rendering('helm3', { '': values })(archive, calm());
  return first?.rendering.kind === 'rendered' ? first.rendering.references.map(({ text }) => text) : [];
}

type Files = Readonly<Record<string, string | Uint8Array>>;

const pod = (name: string, image: string, labels = ''): string =>
  `apiVersion: v1\nkind: Pod\nmetadata:\n  name: ${name}\n${labels}spec:\n  containers:\n    - name: a\n      image: ${image}\n`;

const labels = `  labels:
    helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}\n`;

function chart(files: Files): Buffer {
  return chartOf('web', '1.2.3', { 'values.yaml': '', 'templates/pod.yaml': '', ...files });
}

describeWith(['helm3', 'helm4'], 'patching a chart', () => {
  it('replaces a hard-coded image in its template and nowhere else, and says what it did', async () => {
    const archive = chart({
      'Chart.yaml': `# a chart\n${chartYaml('web', '1.2.3', 'appVersion: 1.10 # as a number\n')}`,
      'values.yaml': 'mine: example.com/own:1 # keep\n',
      'README.md': 'uses docker.io/tools/test:v1\n',
      'templates/pod.yaml': pod('own', '{{ .Values.mine }}', labels),
      'templates/tests/test.yaml': pod('test', 'docker.io/tools/test:v1 # docker.io/tools/test:v10 is not it', labels),
    });
    const patched = await patch(archive, ['docker.io/tools/test:v1'], { provenance: true });
    expect(patched.version).toMatch(/^1\.2\.3\+isolated\.[0-9a-f]{8}$/);
    expect(patched.left).toEqual([]);
    expect(patched.moved).toEqual([
      {
        text: 'docker.io/tools/test:v1',
        target: `${prefix}docker.io/tools/test:v1`,
        files: ['web/templates/tests/test.yaml'],
      },
    ]);
    expect(await images(patched.archive)).toEqual(['example.com/own:1', `${prefix}docker.io/tools/test:v1`]);
    expect(patched.renders).toBe(3);
    expect(patched.notices[0]).toMatch(/^the provenance file of web 1\.2\.3 is dropped/);
    expect(patched.patch.split('\n')).toEqual([
      `# web 1.2.3, archive ${digestOf(archive)}`,
      '--- a/web/templates/tests/test.yaml',
      '+++ b/web/templates/tests/test.yaml',
      '@@ -10 +10 @@',
      '-      image: docker.io/tools/test:v1 # docker.io/tools/test:v10 is not it',
      `+      image: ${prefix}docker.io/tools/test:v1 # docker.io/tools/test:v10 is not it`,
      '',
    ]);
    const now = await readChart(patched.archive);
    expect(now.version).toBe(patched.version);
    expect(now.metadata.appVersion).toBe((await readChart(archive)).metadata.appVersion);
    expect(now.metadata.annotations).toEqual({
      [patchAnnotations.originalDigest]: digestOf(archive),
      [patchAnnotations.originalVersion]: '1.2.3',
      [patchAnnotations.patch]: patched.patch,
    });
    expect(now.valuesText).toBe('mine: example.com/own:1 # keep\n');
    expect(Buffer.from(now.files.get('README.md') ?? []).toString()).toBe('uses docker.io/tools/test:v1\n');
    const pushed = packageChart({ archive: patched.archive });
    expect(pushed.tag).toBe(patched.version.replace('+', '_'));
    expect(Buffer.from(pushed.manifest.bytes).toString()).toContain(patchAnnotations.originalDigest);
  });

  it('gives the same bytes for the same input', async () => {
    const archive = chart({ 'templates/pod.yaml': pod('a', 'quay.io/a/b:1', labels) });
    const once = await patch(archive, ['quay.io/a/b:1']);
    const again = await patch(archive, ['quay.io/a/b:1'], { render: rendering('helm3') });
    expect(again.digest).toBe(once.digest);
    // Also without rendering, from the patch.
    const { digest, version } = await repeatPatch(archive, once.patch);
    expect({ digest, version }).toEqual({ digest: once.digest, version: once.version });
    const other = await patch(archive, ['quay.io/a/b:1'], {
      references: [{ text: 'quay.io/a/b:1', target: `${prefix}x/quay.io/a/b:1` }],
    });
    expect(other.version).not.toBe(once.version);
  });

  it('is taken by helm as a package of that version, both helms', async () => {
    const patched = await patch(chart({ 'templates/pod.yaml': pod('a', 'quay.io/a/b:1') }), ['quay.io/a/b:1']);
    const folder = await mkdtemp(join(tmpdir(), 'patched-'));
    try {
      await writeFile(join(folder, 'web.tgz'), patched.archive);
      for (const helm of ['helm3', 'helm4']) {
        const shown = execFileSync(requireTool(helm), ['show', 'chart', join(folder, 'web.tgz')], { encoding: 'utf8' });
        expect(shown).toContain(`version: ${patched.version}\n`);
        execFileSync(requireTool(helm), ['lint', join(folder, 'web.tgz')], { encoding: 'utf8' });
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('patches names without tag, hosts, helpers, files and packed subcharts', async () => {
    const sub = chartOf('sub', '0.1.0', { 'templates/pod.yaml': pod('sub', 'ghcr.io/sub/app:3') });
    const archive = chart({
      'Chart.yaml': chartYaml('web', '1.2.3', 'appVersion: 7.1.0\nannotations:\n    a: b\n'),
      'templates/_helpers.tpl': '{{ define "image" }}quay.io/team/tool{{ end }}',
      'templates/pod.yaml': pod('helper', '{{ include "image" . }}:v{{ .Chart.AppVersion }}'),
      'templates/host.yaml': pod('host', '{{ printf "%s/%s" "registry.example.com" "deep/name" }}:{{ .Values.tag }}'),
      'templates/map.yaml':
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n{{ (.Files.Glob "data/*").AsConfig | indent 2 }}\n',
      'data/conf.yaml': 'sidecarImage: "gcr.io/side/car:9"\n',
      'values.yaml': 'tag: t1\n',
      'charts/sub-0.1.0.tgz': sub,
    });
    const texts = [
      'quay.io/team/tool:v7.1.0',
      'registry.example.com/deep/name:t1',
      'gcr.io/side/car:9',
      'ghcr.io/sub/app:3',
    ];
    expect([...(await images(archive))].sort()).toEqual([...texts].sort());
    const patched = await patch(archive, texts);
    expect(patched.left).toEqual([]);
    expect([...(await images(patched.archive))].sort()).toEqual(texts.map((text) => `${prefix}${text}`).sort());
    expect(patched.moved.flatMap(({ files }) => files).sort()).toEqual([
      'web/charts/sub-0.1.0.tgz!/sub/templates/pod.yaml',
      'web/data/conf.yaml',
      'web/templates/_helpers.tpl',
      'web/templates/host.yaml',
    ]);
    expect((await readChart(patched.archive)).metadata.annotations).toMatchObject({ a: 'b' });
  });

  it('leaves what is computed, and patches the rest', async () => {
    const archive = chart({
      'templates/pod.yaml': pod('a', '{{ printf "%s.%s/%s" "quay" "io" (lower "TEAM/X") }}:1'),
      'templates/b.yaml': pod('b', 'ghcr.io/b/b:1'),
    });
    const patched = await patch(archive, ['quay.io/team/x:1', 'ghcr.io/b/b:1', 'ghcr.io/never/there:1']);
    expect(patched.left).toEqual([
      { text: 'ghcr.io/never/there:1', why: 'no render of the chart shows it' },
      { text: 'quay.io/team/x:1', why: 'the chart computes it: its text stands in no file' },
    ]);
    expect([...(await images(patched.archive))].sort()).toEqual([`${prefix}ghcr.io/b/b:1`, 'quay.io/team/x:1']);
    expect(await tryPatch(archive, ['quay.io/team/x:1'])).toMatchObject({ kind: 'not-patched', renders: 1 });
  });

  it('makes no change that moves anything else: another image of the same host, a text that is none, another profile', async () => {
    const shared = chart({
      'templates/pod.yaml': pod('a', '{{ printf "%s/%s" (include "host" .) "a:1" }}'),
      'templates/b.yaml': pod('b', '{{ printf "%s/%s" (include "host" .) "b:1" }}'),
      'templates/_h.tpl': '{{ define "host" }}quay.io{{ end }}',
    });
    const one = await tryPatch(shared, ['quay.io/a:1']);
    expect(one).toMatchObject({
      kind: 'not-patched',
      left: [{ why: expect.stringContaining('quay.io/b:1 should be') as string }],
    });
    expect((await patch(shared, ['quay.io/a:1', 'quay.io/b:1'])).left).toEqual([]);
    const label = chart({
      'templates/pod.yaml': pod('a', 'quay.io/a:1', '  labels: {h: {{ "quay.io/a:1" | sha1sum | trunc 8 }}}\n'),
    });
    expect(await tryPatch(label, ['quay.io/a:1'])).toMatchObject({
      kind: 'not-patched',
      left: [{ why: expect.stringContaining('something else changes') as string }],
    });
    const hidden = chart({
      'templates/pod.yaml': pod('a', '{{ if eq .Values.image "quay.io/a:1" }}quay.io/a:1{{ else }}b.io/b:1{{ end }}'),
      'values.yaml': 'image: x',
    });
    const profiles = { on: { image: 'quay.io/a:1' }, off: {} };
    expect(await tryPatch(hidden, ['quay.io/a:1'], { render: rendering('helm4', profiles) })).toMatchObject({
      kind: 'not-patched',
    });
  });

  it('falls back to a careful way for the one that the first would spoil', async () => {
    // "docker.io" of the second reference is a literal that the first one needs as well.
    const archive = chart({
      'templates/pod.yaml': pod('a', 'quay.io/one/a:1'),
      'templates/b.yaml': pod(
        'b',
        '{{ $h := "docker.io" }}{{ $h }}/b/b:{{ .Values.t }}\n      env: [{name: MIRROR, value: "docker.io"}]',
      ),
      'values.yaml': 't: "2"\n',
    });
    const patched = await patch(archive, ['quay.io/one/a:1', 'docker.io/b/b:2']);
    expect(patched.moved.map(({ text }) => text)).toEqual(['quay.io/one/a:1']);
    expect(patched.left[0]?.why).toContain('something else changes');
  });

  it('ignores what the chart makes at random', async () => {
    const random = 'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  a: {{ randAlphaNum 20 | b64enc }}\n';
    const archive = chart({ 'templates/pod.yaml': pod('a', 'quay.io/a/b:1'), 'templates/s.yaml': random });
    expect((await patch(archive, ['quay.io/a/b:1'])).left).toEqual([]);
  });

  it('refuses where the chart does not bear the version: a tag made from it, a label with its plus', async () => {
    const tag = chart({
      'templates/pod.yaml': pod('a', 'quay.io/a/b:1'),
      'templates/b.yaml': pod('b', 'b.io/b:{{ .Chart.Version }}'),
    });
    expect(await tryPatch(tag, ['quay.io/a/b:1'])).toMatchObject({
      kind: 'not-patched',
      left: [
        { why: expect.stringMatching(/does not bear the version 1\.2\.3\+isolated\..*b\.io\/b:1\.2\.3/) as string },
      ],
    });
    const plus = chart({ 'templates/pod.yaml': pod('a', 'quay.io/a/b:1', '  labels:\n    c: {{ .Chart.Version }}\n') });
    expect(await tryPatch(plus, ['quay.io/a/b:1'])).toMatchObject({
      kind: 'not-patched',
      left: [{ why: expect.stringContaining('Kubernetes takes no such label') as string }],
    });
    const long = chart({
      'templates/pod.yaml': pod(
        'a',
        'quay.io/a/b:1',
        '  labels:\n    c: {{ printf "%s-%s" (repeat 45 "x") .Chart.Version | replace "+" "_" | trunc 63 }}\n',
      ),
    });
    expect((await patch(long, ['quay.io/a/b:1'])).left).toEqual([]);
  });

  it('says when the chart does not render at all', async () => {
    const archive = chart({ 'templates/pod.yaml': '{{ required "no name" .Values.name }}' });
    expect(await tryPatch(archive, ['quay.io/a/b:1'])).toMatchObject({
      kind: 'not-patched',
      left: [{ why: expect.stringContaining('no name') as string }],
    });
  });

  it('keeps long paths and big files, which an old tar header cannot hold', async () => {
    const long = `files/${'deep/'.repeat(40)}${'n'.repeat(120)}.txt`;
    const big = 'x'.repeat(200_000);
    const members: Member[] = [
      { path: 'web/Chart.yaml', content: chartYaml('web', '1.2.3+build.5') },
      { path: 'web/templates/a.yaml', content: pod('a', 'quay.io/a/b:1') },
      { path: 'web/files/big.txt', content: big },
    ];
    const patched = await patch(tgzOf(members), ['quay.io/a/b:1']);
    expect(patched.version).toMatch(/^1\.2\.3\+build\.5\.isolated\.[0-9a-f]{8}$/);
    expect(Buffer.from((await readChart(patched.archive)).files.get('files/big.txt') ?? []).toString()).toBe(big);
    const { writeArchive } = await import('./write-archive.ts');
    const { openChart } = await import('./chart-tree.ts');
    const back = await openChart(writeArchive(new Map([[`web/${long}`, Buffer.from('here')]])));
    expect(back.files.get(`web/${long}`)?.toString()).toBe('here');
  });

  const real = join(
    process.env['REAL_CHARTS'] ?? join(root, '../shared/charts'),
    'repos/aws-ebs-csi-driver/aws-ebs-csi-driver-2.17.2.tgz',
  );
  it.runIf(existsSync(real))('patches the hard-coded test image of aws-ebs-csi-driver', async () => {
    const archive = await readFile(real);
    const text = 'gcr.io/k8s-staging-test-infra/kubekins-e2e:v20220624-1a63fdd9f2-master';
    const before = await images(archive);
    const patched = await patch(archive, [text]);
    expect(await images(patched.archive)).toEqual(before.map((each) => (each === text ? `${prefix}${text}` : each)));
    expect(patched.moved[0]?.files).toEqual(['aws-ebs-csi-driver/templates/tests/helm-tester.yaml']);
    expect(patched.renders).toBe(3);
  });
});
