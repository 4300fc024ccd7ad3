import { stringify } from 'yaml';
import type { FoundReference } from '../discovery/found.ts';
import { discover } from '../discovery/discover.ts';
import type { Move } from '../patch/port.ts';
import { fieldSpecOf, type FieldSpec, refusedBecause, renameOf, transformImages } from './kustomize-images.ts';
import { readObjects, type RenderedObject, writeObjects } from './objects.ts';
import type { ImageRename, Reach, Remedy, RemedyRequest, Unusable } from './port.ts';
import { astray, describePlace, hooksWith, placesLeft, tryOn, type Tried } from './trial.ts';

/**
 * Kustomize's images transformer as a helm post-renderer. It changes images by their name, so two references that differ in the tag
 * only go the same way; fields that it does not know by itself are named to it, where they can be.
 */
export function kustomizeRemedy(request: RemedyRequest, name: string): Remedy | Unusable {
  const renders = request.renders.map(({ text }) => readObjects(text));
  for (const { objects, problem } of renders) {
    const why = problem ?? refusedBecause(objects.map(({ object }) => object));
    if (why !== undefined) return { kind: 'unusable', why };
  }
  const all = renders.map(({ objects }) => objects);
  const images = imagesFor(request.references, all);
  const specs = fieldSpecsFor(request.references, all);
  const tried = tryAll(all, images.renames, specs);
  const reaches = request.references.map((move) => reachOf(move, tried, all, images.refused.get(move.text)));
  const hooks = reaches.some(({ why }) => why?.includes(hookNote) === true);
  return {
    kind: 'kustomize',
    files: filesFor(name, images.renames, specs),
    reaches,
    usage: usageOf(name, hooks),
    images: images.renames,
  };
}

type Objects = readonly RenderedObject[];

function tryAll(
  all: readonly Objects[],
  renames: readonly ImageRename[],
  specs: readonly FieldSpec[],
): readonly Tried[] {
  return all.flatMap((objects) => tryOn(objects, (object) => transformImages(object, renames, specs)));
}

/** One entry per name. Names that would take another reference along, or that two references claim, are left out. */
function imagesFor(
  moves: readonly Move[],
  all: readonly Objects[],
): { readonly renames: readonly ImageRename[]; readonly refused: ReadonlyMap<string, string> } {
  const refused = new Map<string, string>();
  const byName = new Map<string, { rename: ImageRename; move: Move }[]>();
  for (const move of moves) {
    const rename = renameOf(move);
    byName.set(rename.name, [...(byName.get(rename.name) ?? []), { rename, move }]);
  }
  const renames: ImageRename[] = [];
  for (const [name, entries] of [...byName].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const [first] = entries;
    if (first === undefined) continue;
    const same = entries.every(({ rename }) => JSON.stringify(rename) === JSON.stringify(first.rename));
    const wrong = astray(
      tryAll(all, [first.rename], []),
      entries.map(({ move }) => move),
    )[0];
    if (same && wrong === undefined) renames.push(first.rename);
    const why = same
      ? `kustomize goes by the name ${name} and would change ${wrong?.found.text ?? ''} as well`
      : `kustomize goes by the name ${name}, which several references with different targets have`;
    if (!same || wrong !== undefined) for (const { move } of entries) refused.set(move.text, why);
  }
  return { renames, refused };
}

/** Fields outside of pods' containers that hold one of the references as a whole. */
function fieldSpecsFor(moves: readonly Move[], all: readonly Objects[]): readonly FieldSpec[] {
  const texts = new Set(moves.map(({ text }) => text));
  const specs = new Map<string, FieldSpec>();
  for (const found of all.flatMap((objects) => discover(writeObjects(objects)).references)) {
    const spec = texts.has(found.text) && !isOwnField(found) ? fieldSpecOf(found) : undefined;
    if (spec !== undefined) specs.set(JSON.stringify(spec), spec);
  }
  return [...specs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, spec]) => spec);
}

function isOwnField({ place }: FoundReference): boolean {
  const [list, position, field] = place.path.slice(-3);
  return (list === 'containers' || list === 'initContainers') && typeof position === 'number' && field === 'image';
}

const hookNote = 'is a hook';

function reachOf(move: Move, tried: readonly Tried[], all: readonly Objects[], refused: string | undefined): Reach {
  const places = tried.filter(({ found }) => found.text === move.text);
  const left = placesLeft(tried, move);
  const first = left[0];
  if (places.length === 0) return { ...move, reached: 'none', why: 'no render shows it' };
  if (first !== undefined) {
    const why = refused ?? `kustomize does not reach ${left.map(describePlace).slice(0, 3).join(', ')}`;
    return { ...move, reached: left.length === places.length ? 'none' : 'some', why };
  }
  const hook = all.flatMap((objects) => hooksWith(objects, move.text))[0];
  // helm 3 gives hooks to no post-renderer (https://github.com/helm/helm/issues/7891), helm 4 does.
  const why =
    hook === undefined ? undefined : `${hook} ${hookNote}: helm 4 shows it to post-renderers, helm 3 does not`;
  return { ...move, reached: 'all', why };
}

function filesFor(
  name: string,
  images: readonly ImageRename[],
  specs: readonly FieldSpec[],
): Readonly<Record<string, string>> {
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: ['rendered.yaml'],
    images,
    ...(specs.length === 0 ? {} : { configurations: ['image-fields.yaml'] }),
  };
  return {
    'post-render/kustomization.yaml': yaml(kustomization),
    ...(specs.length === 0 ? {} : { 'post-render/image-fields.yaml': yaml({ images: specs }) }),
    'post-render/post-render.sh': script,
    'post-render/plugin.yaml': yaml(pluginOf(name)),
  };
}

function yaml(value: unknown): string {
  return stringify(value, { lineWidth: 0, defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN' });
}

const script = `#!/bin/sh
# helm post-renderer: reads manifests, writes them with their images re-pointed by kustomize.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/*.yaml "$work"/
cat >"$work/rendered.yaml"
if command -v kustomize >/dev/null 2>&1; then
  kustomize build "$work"
else
  kubectl kustomize "$work"
fi
`;

/** helm 4 takes post-renderers as plugins only: https://helm.sh/docs/topics/plugins/ */
function pluginOf(name: string): unknown {
  return {
    apiVersion: 'v1',
    type: 'postrenderer/v1',
    name,
    version: '1.0.0',
    runtime: 'subprocess',
    // The variable is helm's to fill in.
    runtimeConfig: { platformCommand: [{ command: 'sh', args: ['${HELM_PLUGIN_DIR}/post-render.sh'] }] },
  };
}

function usageOf(name: string, hooks: boolean): readonly string[] {
  return [
    'needs kustomize or kubectl',
    'helm 3: helm upgrade --install … --post-renderer sh --post-renderer-args post-render/post-render.sh',
    `helm 4: helm plugin install post-render, then helm upgrade --install … --post-renderer ${name}`,
    ...(hooks ? ['helm 3 does not give hooks and tests to a post-renderer: their images stay as they are there'] : []),
  ];
}
