import { describe, expect, it } from 'vitest';
import type { IsolatedChart } from '../charts/isolation/port.ts';
import type { Patched } from '../charts/patch/port.ts';
import type { Remedies } from '../charts/remedies/port.ts';
import { digestOf } from '../model/digest.ts';
import type { Plan, PlannedChart } from '../model/plan.ts';
import { leftRemedies } from './eks-remedies.ts';

const move = (text: string): { readonly text: string; readonly target: string } => ({
  text,
  target: `registry.example.com/app-${text}`,
});
const images = [{ name: 'quay.io/a', newName: 'registry.example.com/app-quay.io/a' }];

const remedies: Remedies = {
  offered: [
    {
      kind: 'kustomize',
      files: { 'post-render/kustomization.yaml': 'kind: Kustomization\n' },
      reaches: [
        { ...move('quay.io/a:1'), reached: 'all', why: undefined },
        { ...move('quay.io/b:1'), reached: 'some', why: 'it stays in\nConfigMap/c' },
        { ...move('quay.io/c:1'), reached: 'none', why: 'an argument' },
      ],
      usage: ['needs kustomize'],
      images,
    },
  ],
  notOffered: [{ kind: 'kyverno', why: 'no pod has it' }],
};

function planned(key: string): PlannedChart {
  const target = 'registry.example.com/app-charts/web:1';
  return { kind: 'chart', key, name: 'web', version: '1.0.0', repository: 'r', target, values: {}, origins: [] };
}

function isolated(more: Pick<IsolatedChart, 'remedies' | 'patched'>): IsolatedChart {
  const isolation: IsolatedChart['isolation'] = {
    ...{ key: 'web', name: 'web', version: '1.0.0', target: 't', profiles: ['default'] },
    ...{ references: [], conditional: [], rejected: [], derived: [], warnings: [], problems: [] },
    ...{ holds: true, renders: 0, seconds: 0 },
  };
  return { values: {}, overrides: {}, images: [], uses: [], isolation, ...more };
}

const patched: Patched = {
  ...{ kind: 'patched', archive: new Uint8Array(), version: '1.0.0+isolated.0a1b2c3d', patch: '# diff\n' },
  ...{ digest: digestOf('a'), originalDigest: digestOf('b') },
  ...{ moved: [], left: [], derived: [], notices: [], renders: 3 },
};

function left(charts: Readonly<Record<string, IsolatedChart>>): ReturnType<typeof leftRemedies> {
  const keys = Object.keys(charts);
  const plan: Plan = { version: 1, job: 'eks', images: [], charts: keys.map(planned) };
  return leftRemedies('/out', { plan, isolated: new Map(Object.entries(charts)) });
}

describe('what a run leaves for images that no value moves', () => {
  it('is offered for what it reaches, and says where it does not', () => {
    const { report, offersFor, renames } = left({ web: isolated({ remedies }), other: isolated({}) });
    const file = '/out/remedies/web/post-render/kustomization.yaml';
    expect(report).toEqual([
      { chart: 'web', text: 'kustomize as a post-renderer of helm', file, reaches: ['quay.io/a:1'] },
      {
        chart: 'web',
        text: 'kustomize as a post-renderer of helm, but not everywhere (it stays in\nConfigMap/c)',
        file,
        reaches: ['quay.io/b:1'],
      },
    ]);
    expect(offersFor('web', 'quay.io/a:1')).toEqual([`kustomize as a post-renderer of helm: ${file}`]);
    expect(offersFor('web', 'quay.io/c:1')).toEqual([]);
    expect(offersFor('other', 'quay.io/a:1')).toEqual([]);
    expect([...renames]).toEqual([['web', images]]);
  });

  it('has a README with every reference, also of what is not offered', () => {
    const { files, entries } = left({ web: isolated({ remedies }) });
    expect(entries).toEqual(['remedies/web']);
    expect(files['remedies/web/post-render/kustomization.yaml']).toBe('kind: Kustomization\n');
    const readme = files['remedies/web/README.md'];
    expect(readme).toContain('- needs kustomize\n');
    expect(readme).toContain('- `quay.io/a:1`: becomes `registry.example.com/app-quay.io/a:1`\n');
    expect(readme).toContain('in some places (it stays in ConfigMap/c)\n');
    expect(readme).toContain('- `quay.io/c:1`: not reached (an argument)\n');
    expect(readme).toContain('- kyverno is not offered: no pod has it\n');
  });

  it('is nothing where no remedy reaches anything, and the diff where the chart was patched', () => {
    const none: Remedies = { offered: [], notOffered: remedies.notOffered };
    expect(left({ web: isolated({ remedies: none }) })).toMatchObject({ files: {}, entries: [], report: [] });
    const { files, entries } = left({ web: isolated({ patched }) });
    expect(entries).toEqual(['patches/web.patch']);
    expect(files).toEqual({ 'patches/web.patch': '# diff\n' });
  });

  it('stays inside of its folders, and apart for keys that differ in upper case only', () => {
    const { entries } = left({ '../x y': isolated({ patched }), a: isolated({ remedies }), A: isolated({ remedies }) });
    expect(entries).toEqual(['patches/x-y.patch', 'remedies/a', 'remedies/A-2']);
  });
});
