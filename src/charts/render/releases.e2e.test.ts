import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeWith, requireTool } from '../../../test/tools.ts';
import { discover } from '../discovery/discover.ts';
import { chart, pod } from '../overrides/test-support.ts';
import { calm, chartOf, chartYaml } from '../test-support.ts';
import type { Renderer, RenderRequest } from './port.ts';
import { createRenderer } from './render-chart.ts';

/** The real helm, which writes down how it was called. */
async function withRecordedHelm(
  name: 'helm3' | 'helm4',
  use: (renderer: Renderer, calls: () => Promise<readonly string[]>, folder: string) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'recorded-'));
  try {
    const path = join(folder, 'helm');
    const log = join(folder, 'calls');
    await writeFile(log, '');
    await writeFile(path, `#!/bin/sh\necho "$*" >>'${log}'\nexec '${requireTool(name)}' "$@"\n`);
    await chmod(path, 0o700);
    const calls = async (): Promise<readonly string[]> => (await readFile(log, 'utf8')).split('\n').filter(Boolean);
    await use(createRenderer({ path, version: name === 'helm3' ? '3.18.0' : '4.0.0' }), calls, folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function images(
  renderer: Renderer,
  request: Pick<RenderRequest, 'chart' | 'values'>,
): Promise<readonly string[]> {
  const outcome = await renderer.render({ ...request, kubeVersion: '1.34', signal: calm() });
  expect(outcome.kind, JSON.stringify(outcome)).toBe('rendered');
  const { references } = discover(outcome.kind === 'rendered' ? outcome.text : '');
  return references.map(({ text, place }) => `${place.isUpgrade === true ? 'upgrade' : 'install'} ${text}`);
}

const migrating = (image: string): string => `{{ if .Release.IsUpgrade }}${pod(image)}{{ end }}`;

for (const name of ['helm3', 'helm4'] as const) {
  describeWith([name], `renders for an upgrade with ${name}`, () => {
    it('are made for charts that ask for it, wherever they do, and for no others', async () => {
      const sub = (files: Readonly<Record<string, string>>): Buffer =>
        chartOf('sub', '0.1.0', { 'values.yaml': '', 'templates/pod.yaml': '', ...files });
      const helper = '{{ define "sub.old" }}{{ index .Release "IsInstall" | not }}{{ end }}';
      const parent = {
        'Chart.yaml': chartYaml('web', '1.2.3', 'dependencies: [{name: sub, version: 0.1.0, repository: ""}]\n'),
      };
      const packed = sub({
        'templates/_helpers.tpl': helper,
        'templates/pod.yaml': `{{ if eq (include "sub.old" .) "true" }}${pod('a/packed:1')}{{ end }}`,
      });
      await withRecordedHelm(name, async (renderer, calls, folder) => {
        expect(await images(renderer, { chart: chart({ 'templates/pod.yaml': pod('a/plain:1') }) })).toEqual([
          'install a/plain:1',
        ]);
        expect(await calls()).toHaveLength(1);
        expect(await images(renderer, { chart: chart({ ...parent, 'charts/sub-0.1.0.tgz': packed }) })).toEqual([
          'upgrade a/packed:1',
        ]);
        const values = { text: migrating('a/tpl:1') };
        const templated = chart({ 'templates/pod.yaml': '{{ with .Values.text }}{{ tpl . $ }}{{ end }}' });
        expect(await images(renderer, { chart: templated, values: [values] })).toEqual(['upgrade a/tpl:1']);
        const unpacked = join(folder, 'web');
        await mkdir(join(unpacked, 'templates'), { recursive: true });
        await writeFile(join(unpacked, 'Chart.yaml'), chartYaml('web', '1.0.0'));
        await writeFile(join(unpacked, 'templates', 'a.yaml'), migrating('a/folder:1'));
        expect(await images(renderer, { chart: unpacked })).toEqual(['upgrade a/folder:1']);
        const asked = (await calls()).slice(1).map((call) => call.includes('--is-upgrade'));
        expect([...asked].sort()).toEqual([false, false, false, true, true, true]);
      });
    });

    it('have the documents of both, also those that are the same', async () => {
      const both = chart({
        'templates/pod.yaml': pod('a/always:1'),
        'templates/old.yaml': migrating('a/new:1').replace('end }}', `else }}${pod('a/first:1')}{{ end }}`),
      });
      await withRecordedHelm(name, async (renderer, calls) => {
        expect([...(await images(renderer, { chart: both }))].sort()).toEqual([
          'install a/always:1',
          'install a/first:1',
          'upgrade a/always:1',
          'upgrade a/new:1',
        ]);
        expect(await calls()).toHaveLength(2);
      });
    });
  });
}
