import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { describeWith, requireTool } from '../../../test/tools.ts';
import { discover } from '../../charts/discovery/discover.ts';
import { createRenderer } from '../../charts/render/render-chart.ts';
import { calm, chartOf } from '../../charts/test-support.ts';
import type { PlannedChart } from '../../model/plan.ts';
import { consumerFiles } from './consumer-files.ts';

const prefix = '123456789012.dkr.ecr.eu-west-1.amazonaws.com/demo-';

const template = `apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
    - {name: a, image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"}
    {{- range .Values.sidecars }}
    - {name: {{ .name }}, image: "{{ .image }}"}
    {{- end }}
`;

describeWith(['helm3', 'helm4'], 'values files under the real helm', () => {
  it('render what the overrides render', async () => {
    const archive = chartOf('web', '1.2.3', {
      'values.yaml': 'image: {repository: docker.io/web, tag: "1.10"}\nsidecars: [{name: s, image: "quay.io/s:1"}]\n',
      'templates/pod.yaml': template,
    });
    const values = {
      image: { repository: `${prefix}docker.io/web`, tag: '1.10' },
      sidecars: [{ name: 's', image: `${prefix}quay.io/s:1` }],
    };
    const chart: PlannedChart = {
      kind: 'chart',
      key: 'web',
      name: 'web',
      version: '1.2.3',
      repository: 'https://x.example.com',
      target: `${prefix}charts/web:1.2.3`,
      values,
      origins: [],
    };
    const files = consumerFiles([chart]);
    const folder = await mkdtemp(join(tmpdir(), 'consumers-'));
    try {
      const names = ['values.yaml', 'addon.json', 'argo.yaml'] as const;
      const application = parse(files['argocd/web.yaml'] ?? '') as {
        spec: { source: { helm: { valuesObject: unknown } } };
      }; // the unit test checks its shape
      await writeFile(join(folder, 'web.tgz'), archive);
      await writeFile(join(folder, names[0]), files['values/web.yaml'] ?? '');
      await writeFile(join(folder, names[1]), files['eks-addons/web.json'] ?? '');
      await writeFile(join(folder, names[2]), JSON.stringify(application.spec.source.helm.valuesObject));
      for (const helm of ['helm3', 'helm4']) {
        const renderer = createRenderer({ path: requireTool(helm), version: '4.0.0' });
        const wanted = await renderer.render({ chart: archive, values: [values], kubeVersion: '1.34', signal: calm() });
        const expected = wanted.kind === 'rendered' ? discover(wanted.text).references.map(({ text }) => text) : [];
        expect(expected).toEqual([`${prefix}docker.io/web:1.10`, `${prefix}quay.io/s:1`]);
        for (const file of names) {
          const args = ['template', 'release', join(folder, 'web.tgz'), '-f', join(folder, file)];
          const out = execFileSync(requireTool(helm), args, { encoding: 'utf8' });
          expect(discover(out).references.map(({ text }) => text)).toEqual(expected);
        }
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
