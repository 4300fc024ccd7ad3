import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { describeWith, requireTool, root, tool } from '../../../test/tools.ts';
import { writeTree } from '../../publish/consumers/write-tree.ts';
import { discover } from '../discovery/discover.ts';
import { chartOf, chartYaml } from '../test-support.ts';
import { isJsonMap, type Json, type JsonMap } from './objects.ts';
import type { Remedy } from './port.ts';
import { remediesFor } from './remedies.ts';
import { configuration, cronJob, custom, deployment, everything, hook, move, prefix } from './test-support.ts';

const kubectl = tool('kubectl');
if (kubectl === undefined) console.warn('SKIPPED: post-renderers under the real kustomize: kubectl is not there');

const kyvernoChart = join(
  process.env['REAL_CHARTS'] ?? join(root, '../shared/charts'),
  'repos/kyverno/kyverno-3.4.4.tgz',
);
if (!existsSync(kyvernoChart))
  console.warn(`SKIPPED: policies under Kyverno's own schema: there is no ${kyvernoChart}`);

const texts = [...new Set(discover(everything).references.map(({ text }) => text))].filter(
  (text) => !text.startsWith(prefix),
);

function remedy(kind: Remedy['kind']): Remedy {
  const renders = [{ profile: '', text: everything }];
  const { offered } = remediesFor({ key: 'web', renders, references: texts.map(move) });
  const found = offered.find((each) => each.kind === kind);
  if (found === undefined) throw new Error(`${kind} is not offered`);
  return found;
}

/** Numbers of times that each reference is in a render. */
function counted(rendered: string): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { text } of discover(rendered).references) counts[text] = (counts[text] ?? 0) + 1;
  return counts;
}

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remedies-'));
});
afterEach(() => rm(folder, { recursive: true }));

function helm(name: string, args: readonly string[]): string {
  const path = [dirname(kubectl ?? ''), process.env['PATH']].join(delimiter);
  // helm 3 cannot read plugins of helm 4.
  const env = { ...process.env, PATH: path, HELM_PLUGINS: join(folder, `plugins-${name}`) };
  return execFileSync(requireTool(name), args, { encoding: 'utf8', env });
}

describeWith(['helm3', 'helm4'], 'remedies under the real tools', () => {
  it.runIf(kubectl !== undefined)('reach as post-renderers exactly what they say, under helm 3 and 4', async () => {
    const all = [deployment, hook, custom, configuration, cronJob].join('---\n');
    await writeFile(
      join(folder, 'web.tgz'),
      chartOf('web', '1.0.0', { 'templates/pod.yaml': '', 'templates/all.yaml': all }),
    );
    const { files, reaches } = remedy('kustomize');
    await writeTree(join(folder, 'remedies/web'), files);
    const here = join(folder, 'remedies/web/post-render');
    await cp(here, join(folder, 'plugins-helm4/post-render'), { recursive: true });
    const template = ['template', 'release', join(folder, 'web.tgz')];
    const plain = counted(helm('helm4', template));
    const expected = (reachedHooks: boolean): Readonly<Record<string, number>> => {
      const moved = new Map(reaches.map(({ text, target, reached }) => [text, reached === 'all' ? target : text]));
      if (!reachedHooks) moved.set('quay.io/only/hook:1', 'quay.io/only/hook:1');
      return Object.fromEntries(Object.entries(plain).map(([text, count]) => [moved.get(text) ?? text, count]));
    };
    const script = join(here, 'post-render.sh');
    const three = helm('helm3', [...template, '--post-renderer', 'sh', '--post-renderer-args', script]);
    expect(counted(three)).toEqual(expected(false));
    expect(counted(helm('helm4', [...template, '--post-renderer', 'isolated-images-web']))).toEqual(expected(true));
  });

  // Helm checks values against a JSON schema: a policy as values, the CRD's schema as the chart's.
  it.runIf(existsSync(kyvernoChart))("have a policy that Kyverno's own definition takes", async () => {
    const crds = execFileSync(
      requireTool('helm4'),
      ['template', 'k', kyvernoChart, '--include-crds', '-n', 'kyverno'],
      {
        encoding: 'utf8',
        maxBuffer: 64e6,
      },
    );
    const schema = strict(schemaOf(crds));
    const files = { 'values.yaml': '{}', 'values.schema.json': JSON.stringify(schema), 'templates/pod.yaml': '' };
    await writeFile(
      join(folder, 'check.tgz'),
      chartOf('check', '1.0.0', { 'Chart.yaml': chartYaml('check', '1.0.0'), ...files }),
    );
    const check = async (policy: string): Promise<string> => {
      await writeFile(join(folder, 'policy.yaml'), policy);
      return helm('helm4', ['template', 'x', join(folder, 'check.tgz'), '-f', join(folder, 'policy.yaml')]);
    };
    const policy = remedy('kyverno').files['kyverno.yaml'] ?? '';
    await check(policy);
    await expect(check(policy.replace('foreach', 'forEach'))).rejects.toThrow(/forEach/);
    await expect(check(policy.replace('background: false', 'background: "no"'))).rejects.toThrow(/background/);
  });
});

function schemaOf(crds: string): JsonMap {
  for (const document of parseAllDocuments(crds)) {
    const value: unknown = 'toJSON' in document ? document.toJSON() : undefined;
    if (!isJsonMap(value) || value['kind'] !== 'CustomResourceDefinition') continue;
    const spec = value['spec'];
    if (!isJsonMap(spec) || !isJsonMap(spec['names']) || spec['names']['kind'] !== 'ClusterPolicy') continue;
    const versions = Array.isArray(spec['versions']) ? spec['versions'].filter(isJsonMap) : [];
    const schema = versions.find(({ name }) => name === 'v1')?.['schema'];
    if (isJsonMap(schema) && isJsonMap(schema['openAPIV3Schema'])) return schema['openAPIV3Schema'];
  }
  throw new Error('no ClusterPolicy v1 among the definitions');
}

/** The API server drops unknown fields; here they are mistakes. Extensions of OpenAPI are none of JSON Schema's. */
function strict<T extends Json>(schema: T): T;
function strict(schema: Json): Json {
  if (Array.isArray(schema)) return schema.map((each) => strict(each));
  if (!isJsonMap(schema)) return schema;
  const properties = schema['properties'];
  if (schema['type'] === undefined && schema['x-kubernetes-preserve-unknown-fields'] === true) return {};
  const copy: JsonMap = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, strict(value)]));
  delete copy['format'];
  if (schema['type'] === 'object' && isJsonMap(properties)) {
    const isTop = 'apiVersion' in properties;
    copy['additionalProperties'] = isTop ? { type: 'object' } : false;
  }
  return copy;
}
