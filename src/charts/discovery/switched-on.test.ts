import { describe, expect, it } from 'vitest';
import type { RenderOutcome } from '../render/port.ts';
import { valueAt, type Values } from '../values/tree.ts';
import type { ConditionalImage } from './conditional.ts';
import { shortenedTemplates } from './shortened.ts';
import { switchOn } from './switched-on.ts';

const image = (name: string): ConditionalImage => ({
  candidates: [`a/${name}:1`],
  valuePath: [name, 'image'],
  parts: undefined,
  switches: [{ path: [name, 'enabled'], value: false }],
});

/** A chart with a pod for each name that is on, and which refuses some. */
function chartOf(names: readonly string[], refuses: readonly string[]): (values: Values) => Promise<RenderOutcome> {
  return (values) => {
    const on = names.filter((name) => valueAt(values, [name, 'enabled']) === true);
    const no = on.find((name) => refuses.includes(name));
    if (no !== undefined) {
      const refusal = {
        kind: 'fail',
        message: `${no} needs a key`,
        template: undefined,
        line: undefined,
        values: [],
      } as const;
      return Promise.resolve({ kind: 'refused', refusal, seconds: 0 });
    }
    const pods = on.map(
      (name) => `---\n# Source: x/templates/${name}.yaml\nkind: Pod\nspec: {containers: [{image: "a/${name}:1"}]}\n`,
    );
    return Promise.resolve({ kind: 'rendered', text: pods.join(''), crds: '', warnings: [], seconds: 0 });
  };
}

describe('switching on conditional images', () => {
  const names = ['one', 'two', 'three', 'four'];

  it('takes one render when nothing is refused', async () => {
    const result = await switchOn(names.map(image), [], chartOf(names, []));
    expect(result).toMatchObject({ renders: 1, refused: [] });
    expect(result.references.map(({ text }) => text)).toEqual(names.map((name) => `a/${name}:1`));
    expect(result.values).toEqual(Object.fromEntries(names.map((name) => [name, { enabled: true }])));
  });

  it('leaves off what the chart refuses, says why, and keeps within its budget', async () => {
    const result = await switchOn(names.map(image), [], chartOf(names, ['three']));
    expect(result.on.map(({ path }) => path[0])).toEqual(['one', 'two', 'four']);
    expect(result.refused).toMatchObject([{ switches: [{ path: ['three', 'enabled'] }], why: 'three needs a key' }]);
    expect(result.references.map(({ text }) => text)).toEqual(['a/one:1', 'a/two:1', 'a/four:1']);
    const short = await switchOn(names.map(image), [], chartOf(names, names), { maxRenders: 2 });
    expect(short).toMatchObject({ renders: 2, on: [], references: [], values: {} });
    expect(short.refused.flatMap(({ switches }) => switches)).toHaveLength(4);
  });
});

describe('renders that a missing value shortens', () => {
  const templates = new Map([
    [
      'templates/d.yaml',
      '{{- if or (and (.Values.auto.name) (not .Values.groups)) .Values.groups }}\nkind: Deployment\n{{ end }}',
    ],
    ['templates/off.yaml', '{{ if and .Values.ui.enabled .Values.ui.host }}\nkind: Deployment\n{{ end }}'],
    ['templates/closed.yaml', '{{ if .Values.auto.name }}x: 1\n{{ end }}\nkind: Pod\n'],
    ['templates/role.yaml', '{{ if .Values.auto.name }}\nkind: Role\n{{ end }}'],
    ['charts/sub/templates/d.yaml', '{{ with .Values.key }}\nkind: StatefulSet\n{{ end }}'],
  ]);
  const values = { auto: { name: '' }, groups: [], ui: { enabled: false, host: '' } };

  it('are told with the values that are empty, unless a switch is off', () => {
    expect(shortenedTemplates(templates, values, '---\n# Source: web/charts/sub/templates/other.yaml\na: 1\n')).toEqual(
      [
        { template: 'templates/d.yaml', values: ['auto.name', 'groups'] },
        { template: 'charts/sub/templates/d.yaml', values: ['sub.key'] },
      ],
    );
    expect(shortenedTemplates(templates, values, '')).toHaveLength(1);
  });

  it('are none where the workload is there', () => {
    const rendered =
      '---\n# Source: web/templates/d.yaml\na: 1\n---\n# Source: web/charts/sub/templates/d.yaml\na: 1\n';
    expect(shortenedTemplates(templates, values, rendered)).toEqual([]);
  });
});
