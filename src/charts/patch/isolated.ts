import type { ChartIsolation, IsolatedReference } from '../../model/isolation.ts';
import { targetReference } from '../../model/target-name.ts';
import type { IsolatedChart } from '../isolation/port.ts';
import { helmRenders } from '../overrides/helm-renders.ts';
import { merge } from '../values/tree.ts';
import type { Renderer } from '../render/port.ts';
import { tagOfVersion } from '../version.ts';
import { patchChart } from './patch-chart.ts';
import type { Move, Patched, RenderArchive } from './port.ts';

/** A chart whose images were found and pointed at the target as far as its values can do it. */
export interface IsolatedArchive {
  readonly isolated: IsolatedChart;
  /** The packaged chart (.tgz). */
  readonly archive: Uint8Array;
  readonly kubeVersion: string;
  readonly apiVersions: readonly string[];
  /** What every target begins with: `<registry>/<project>-`. */
  readonly prefix: string;
  readonly renderer: Renderer;
  readonly signal: AbortSignal;
}

/** What no value moves, with the names under which the images are copied. */
export function uncontrolled({ isolated, prefix }: Pick<IsolatedArchive, 'isolated' | 'prefix'>): readonly Move[] {
  const copied = new Map(isolated.images.map(({ reference, target }) => [reference, target]));
  const open = isolated.isolation.references.filter(({ outcome }) => outcome === 'uncontrolled');
  return [...new Set(open.map(({ reference }) => reference))].map((text) => ({
    text,
    target: copied.get(text) ?? targetReference(prefix, text),
  }));
}

/** Renders archives as this chart will be installed: with what is published for it, under each of its profiles. */
export function rendersOf(request: Omit<IsolatedArchive, 'archive' | 'prefix' | 'signal'>): RenderArchive {
  const { isolated, kubeVersion, apiVersions, renderer } = request;
  const { values, overrides, uses, isolation } = isolated;
  const releaseName = isolation.key.replaceAll('_', '-').toLowerCase();
  return (archive, signal) => {
    const render = helmRenders(renderer, { chart: archive, kubeVersion, apiVersions, releaseName });
    return Promise.all(
      uses.map(async (use) => ({
        profile: use.name,
        rendering: await render(merge(merge(values, use.values), overrides), signal),
      })),
    );
  };
}

export interface PatchedIsolation {
  /** With the new version and target, and the outcome `patched` where that is so; as it was when nothing could be patched. */
  readonly isolated: IsolatedChart;
  /** `undefined` when nothing could be patched, or nothing had to be. */
  readonly patched: Patched | undefined;
}

/**
 * Patches what no value of the chart moves (UncontrolledImages=PATCH). What cannot be patched keeps its outcome, and its row says
 * why.
 * @throws ReplicationError as `patchChart`
 */
export async function patchIsolated(
  request: IsolatedArchive & { readonly provenance?: boolean | undefined },
): Promise<PatchedIsolation> {
  const { isolated, archive, provenance, signal } = request;
  const references = uncontrolled(request);
  if (references.length === 0) return { isolated, patched: undefined };
  let renders = isolated.isolation.renders;
  const renderer: Renderer = {
    async render(each) {
      const outcome = await request.renderer.render(each);
      renders += outcome.renders ?? 1;
      return outcome;
    },
  };
  const render = rendersOf({ ...request, renderer });
  const result = await patchChart({ archive, references, render, provenance, signal });
  const moved = new Map((result.kind === 'patched' ? result.moved : []).map(({ text, target }) => [text, target]));
  const left = new Map(result.left.map(({ text, why }) => [text, why]));
  const rows = isolated.isolation.references.map((row) => rowAfter(row, moved.get(row.reference), left));
  const counted = { references: rows, renders };
  if (result.kind === 'not-patched')
    return { isolated: { ...isolated, isolation: { ...isolated.isolation, ...counted } }, patched: undefined };
  return {
    isolated: { ...isolated, isolation: { ...patchedChart(isolated.isolation, result), ...counted } },
    patched: result,
  };
}

function patchedChart(isolation: ChartIsolation, { version, notices, derived }: Patched): ChartIsolation {
  const repository = isolation.target.slice(0, isolation.target.lastIndexOf(':'));
  return {
    ...isolation,
    version,
    target: `${repository}:${tagOfVersion(version)}`,
    warnings: [...isolation.warnings, ...notices],
    derived: [...isolation.derived, ...derived.map(({ template, before, after }) => ({ template, before, after }))],
  };
}

function rowAfter(
  row: IsolatedReference,
  target: string | undefined,
  left: ReadonlyMap<string, string>,
): IsolatedReference {
  if (row.outcome !== 'uncontrolled') return row;
  const why = left.get(row.reference);
  if (target === undefined)
    return why === undefined ? row : { ...row, why: `${row.why ?? 'no value moves it'}; it cannot be patched: ${why}` };
  return { ...row, outcome: 'patched', target, pinned: target.includes('@'), why: undefined };
}
