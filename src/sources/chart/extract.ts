import type { FoundReference } from '../../charts/discovery/found.ts';
import { isolateChart } from '../../charts/isolation/isolate.ts';
import { helmRenders } from '../../charts/overrides/helm-renders.ts';
import type { RenderValues } from '../../charts/overrides/port.ts';
import type { Renderer } from '../../charts/render/port.ts';
import { chartValues } from '../../charts/values/chart-values.ts';
import { formatPath, leaves, merge, type Values } from '../../charts/values/tree.ts';
import { ReplicationError } from '../../model/errors.ts';
import type { ChartIsolation, IsolatedReference } from '../../model/isolation.ts';
import { splitTarget } from '../../model/target-name.ts';
import type { ReadyChart } from './chart-input.ts';
import type { NamedImage } from './naming.ts';
import { retarget, type Retargeted } from './retarget.ts';
import type { Renaming } from './retarget-edits.ts';

export interface ExtractRequest {
  readonly ready: ReadyChart;
  /** The user's values. */
  readonly values: Values;
  /** Host of the target. */
  readonly registry: string;
  /** What every target begins with, a slash at its end: `host/prefix/`. */
  readonly prefix: string;
  readonly kubeVersion: string;
  readonly apiVersions: readonly string[];
  /** Whether a registry has it; rejects when it cannot be asked. */
  readonly exists: (reference: string) => Promise<boolean>;
  /** The names that an image of the chart is to have. */
  readonly nameOf: (reference: string) => Promise<NamedImage>;
  /** Helm key that a list has for an image. */
  readonly keyOf: (reference: string) => string | undefined;
  readonly renderer: Renderer;
  readonly signal: AbortSignal;
}

/** An image of the chart, under all names that it needs at the target. */
export interface ChartImage {
  /** As the chart writes it. */
  readonly reference: string;
  /** What is read, and the names for it. Two when the chart insists on its own tag and another one was asked for. */
  readonly copies: readonly { readonly source: string; readonly target: string }[];
  /** Template and line. */
  readonly place: string;
}

export interface Extraction {
  readonly images: readonly ChartImage[];
  /** Values that point the images at the target; without the user's own. */
  readonly overrides: Values;
  /** The chart's values and the user's over them. */
  readonly effective: Values;
  /** Names at the target that the chart rendered before: somebody has copied these. */
  readonly already: readonly string[];
  /** Every reference, with its name at the target; nothing is proven yet. */
  readonly isolation: ChartIsolation;
  /** What helm rendered with the user's values. */
  readonly rendered: string;
  readonly render: RenderValues;
}

/**
 * Renders a chart with the user's values, finds the images in it, and the values that point them at the target.
 * @throws ReplicationError `refused` with helm's own words when the chart does not render; `not-found` when it has no images
 */
export async function extractImages(request: ExtractRequest): Promise<Extraction> {
  const { ready, values, registry, prefix, renderer, signal } = request;
  const render = helmRenders(renderer, renderRequest(request));
  const first = await firstRender(request, render);
  const already = textsOf(first.references, (text) => text.startsWith(prefix));
  const isolated = await isolate(request, already);
  const effective = chartValues(ready.chart, values);
  const names = await namesOf(isolated.images, request);
  const { isolation } = isolated;
  const retargeted = await retarget({
    values,
    overrides: isolated.overrides,
    effective,
    prefix,
    registry,
    renamings: renamingsOf(isolation.references, names, already),
    open: openOf(isolation.references, names),
    keyOf: request.keyOf,
    render,
    signal,
  });
  const images = chartImages(isolation.references, names, retargeted.names);
  return {
    images,
    overrides: retargeted.overrides,
    effective,
    already,
    isolation: renamed(isolation, retargeted),
    rendered: first.text,
    render,
  };
}

/** @throws ReplicationError `refused` with helm's own words */
async function firstRender({ ready, values, signal }: ExtractRequest, render: RenderValues) {
  const first = await render(values, signal);
  if (first.kind !== 'refused') return first;
  const { name, version } = ready.chart;
  throw new ReplicationError('refused', `helm cannot render chart ${name} ${version}: ${first.why}`, {
    side: 'source',
    reference: ready.from,
    remedy: 'give the values that the chart asks for with --values FILE',
  });
}

/**
 * Finds the images and the values that move them, as the EKS job does for a chart that declares none.
 * @throws ReplicationError `not-found` when the chart has no images
 */
async function isolate(request: ExtractRequest, already: readonly string[]): ReturnType<typeof isolateChart> {
  const { kubeVersion, apiVersions, values, prefix, registry, exists, renderer, signal } = request;
  const { chart, archive, from } = request.ready;
  const isolated = await isolateChart({
    key: chart.name,
    chart,
    archive,
    chartTarget: `${from}/${chart.name}:${chart.version}`,
    kubeVersion,
    apiVersions,
    values,
    declared: {},
    declaredImages: new Map(already.map((text) => [text, text])),
    profiles: [],
    copyConditional: false,
    prefix,
    isAllowed: (reference) => reference.startsWith(`${registry}/`),
    exists,
    renderer,
    signal,
  });
  if (isolated.isolation.references.length > 0) return isolated;
  throw new ReplicationError('not-found', `chart ${chart.name} ${chart.version} renders no images`, {
    side: 'source',
    reference: from,
    remedy: 'switch on what you use of the chart with --values FILE',
  });
}

function renderRequest({ ready, kubeVersion, apiVersions }: ExtractRequest): Parameters<typeof helmRenders>[1] {
  const releaseName = ready.chart.name.replaceAll('_', '-').toLowerCase();
  return { chart: ready.archive, releaseName, kubeVersion, apiVersions };
}

function textsOf(references: readonly FoundReference[], wanted: (text: string) => boolean): readonly string[] {
  return [...new Set(references.map(({ text }) => text).filter(wanted))].sort();
}

async function namesOf(
  images: readonly { readonly reference: string }[],
  { nameOf }: ExtractRequest,
): Promise<ReadonlyMap<string, NamedImage>> {
  const references = [...new Set(images.map(({ reference }) => reference))];
  return new Map(await Promise.all(references.map(async (each) => [each, await nameOf(each)] as const)));
}

function renamingsOf(
  rows: readonly IsolatedReference[],
  names: ReadonlyMap<string, NamedImage>,
  already: readonly string[],
): readonly Renaming[] {
  return rows.flatMap(({ reference, outcome, target, controlledBy }) => {
    const name = names.get(reference);
    if (outcome !== 'repointed' || target === undefined || name === undefined || already.includes(target)) return [];
    return [{ reference, long: target, short: name.target, by: controlledBy }];
  });
}

function openOf(rows: readonly IsolatedReference[], names: ReadonlyMap<string, NamedImage>): readonly Renaming[] {
  return rows.flatMap(({ reference, outcome }) => {
    const name = names.get(reference);
    if (outcome !== 'uncontrolled' || name === undefined) return [];
    return [{ reference, long: reference, short: name.target, by: [] }];
  });
}

/** Each image goes to every name that the chart renders for it; one that no value moves to the name of the path rule. */
function chartImages(
  rows: readonly IsolatedReference[],
  names: ReadonlyMap<string, NamedImage>,
  rendered: ReadonlyMap<string, string>,
): readonly ChartImage[] {
  return [...names].map(([reference, { source, target, also }]) => {
    const asked = [...rendered].filter(([, original]) => original === reference).map(([name]) => name);
    const copies = [
      // With its own tag where the chart does not let it be changed.
      ...asked.map((name) => ({ source: name === target ? source : reference, target: name })),
      ...(asked.includes(target) && also.length === 0
        ? []
        : [target, ...also].map((each) => ({ source, target: each }))),
    ];
    const place = rows.find((row) => row.reference === reference)?.places[0];
    return {
      reference,
      copies: [...new Map(copies.map((copy) => [copy.target, copy])).values()],
      place: place === undefined ? reference : `${place.template}:${place.line}`,
    };
  });
}

function renamed(isolation: ChartIsolation, { names, overrides }: Retargeted): ChartIsolation {
  const byReference = new Map([...names].map(([name, reference]) => [reference, name]));
  const references = isolation.references.map((row): IsolatedReference => {
    const target = byReference.get(row.reference);
    if (target === undefined) return row;
    const controlledBy = row.outcome === 'repointed' ? row.controlledBy : settersOf(target, overrides);
    return { ...row, outcome: 'repointed', target, controlledBy, why: undefined };
  });
  return { ...isolation, references };
}

/** Values that a name is made of. */
function settersOf(target: string, overrides: Values): string[] {
  const { repository } = splitTarget(target);
  return [...leaves(overrides)].filter(({ text }) => text.endsWith(repository)).map(({ path }) => formatPath(path));
}

/** All values of the chart with the overrides: what helm keys are looked up in. */
export function valuesWith({ effective, overrides }: Pick<Extraction, 'effective' | 'overrides'>): Values {
  return merge(effective, overrides);
}
