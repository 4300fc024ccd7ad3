/** For tests of this folder only: charts planned and proven as the EKS job does it, with a target that has what was copied. */
import { digestOf } from '../../model/digest.ts';
import type { ChartIsolation } from '../../model/isolation.ts';
import { readChart } from '../chart.ts';
import { helmBinary, prefix } from '../overrides/test-support.ts';
import { createRenderer } from '../render/render-chart.ts';
import { calm } from '../test-support.ts';
import { isolateChart } from './isolate.ts';
import type { IsolatedChart, IsolationRequest } from './port.ts';
import { proveChart, type ProofRequest } from './prove.ts';

export const renderer = createRenderer(helmBinary());

export async function isolate(archive: Buffer, changes: Partial<IsolationRequest> = {}): Promise<IsolatedChart> {
  return isolateChart({
    key: 'web',
    chart: await readChart(archive),
    archive,
    chartTarget: `${prefix}charts/web:1.2.3`,
    kubeVersion: '1.34',
    apiVersions: [],
    values: {},
    declared: {},
    declaredImages: new Map(),
    profiles: [],
    copyConditional: false,
    prefix,
    isAllowed: () => false,
    exists: () => Promise.resolve(true),
    renderer,
    signal: calm(),
    ...changes,
  });
}

export async function prove(
  archive: Uint8Array,
  isolated: IsolatedChart,
  changes: Partial<ProofRequest> = {},
): Promise<ChartIsolation> {
  const copied = new Map(isolated.images.map(({ target, reference }) => [target, digestOf(reference)]));
  return proveChart({
    isolation: isolated.isolation,
    archive,
    published: isolated.values,
    overrides: isolated.overrides,
    uses: isolated.uses,
    kubeVersion: '1.34',
    apiVersions: [],
    prefix,
    isAllowed: () => false,
    copied,
    digestAt: (target) => Promise.resolve(copied.get(target)),
    renderer,
    signal: calm(),
    ...changes,
  });
}

/** `reference outcome proof` of each row. */
export const proofs = ({ references }: ChartIsolation): readonly string[] =>
  references.map(({ reference, outcome, proof }) => `${reference} ${outcome} ${proof}`);

/** All problems, one per line. */
export const told = ({ references, problems }: ChartIsolation): string =>
  [...references.map(({ problem = '' }) => problem), ...problems].join('\n');
