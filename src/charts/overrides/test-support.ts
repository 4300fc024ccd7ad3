/** For tests of this folder only: charts built on the spot, rendered by the real helm. */
import type { Values } from '../values/tree.ts';
import { requireTool } from '../../../test/tools.ts';
import { digestOf } from '../../model/digest.ts';
import { createRenderer } from '../render/render-chart.ts';
import { calm, chartOf } from '../test-support.ts';
import { deriveOverrides } from './derive.ts';
import { helmRenders } from './helm-renders.ts';
import type { Derivation, Derived, DeriveRequest } from './port.ts';

export const prefix = '123456789012.dkr.ecr.eu-west-1.amazonaws.com/demo-';

type Files = Readonly<Record<string, string | Uint8Array>>;

export function helmBinary(name = 'helm4'): { readonly path: string; readonly version: string } {
  return { path: requireTool(name), version: name === 'helm3' ? '3.18.0' : '4.0.0' };
}

/** A chart of these files; `values.yaml` is empty and there is no template unless given. */
export function chart(files: Files): Buffer {
  return chartOf('web', '1.2.3', { 'values.yaml': '', 'templates/pod.yaml': '', ...files });
}

export async function derive(archive: Buffer, options: Partial<DeriveRequest> = {}): Promise<Derived> {
  const derivation = await tryToDerive(archive, options);
  if (derivation.kind !== 'derived') throw new Error(`refused: ${derivation.why}`);
  return derivation;
}

export async function tryToDerive(archive: Buffer, options: Partial<DeriveRequest> = {}): Promise<Derivation> {
  const render = helmRenders(createRenderer(helmBinary()), { chart: archive, kubeVersion: '1.34.0' });
  return deriveOverrides({
    archive,
    values: {},
    profiles: [],
    render,
    prefix,
    target: (written) => `${prefix}${written}`,
    signal: calm(),
    ...options,
  });
}

/** The digest that every image has at the target in these tests. */
export const pin = (written: string): ReturnType<typeof digestOf> => digestOf(written);

/** A pod with one container of this image expression. */
export function pod(image: string, more = ''): string {
  return `apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Release.Name }}\n${more}spec:\n  containers:\n    - name: a\n      image: ${image}\n`;
}

/** Every re-pointed reference with its target, and every other one with what became of it. */
export function outcomes({ references }: Derived): readonly (readonly [string, string])[] {
  return references.map(({ found, outcome }) => [
    found.text,
    outcome.kind === 'repointed' ? outcome.target : outcome.kind,
  ]);
}

export type { Values };
