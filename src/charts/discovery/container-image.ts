import { asReference } from './grammar.ts';
import { kindIn, type Path, placeOf, type Walk } from './walk-state.ts';
import { at, type Tree, type TreeScalar } from './yaml-tree.ts';

/**
 * Notes an image that Kubernetes' own types say is one.
 * @param owner the nearest object or template above, whose annotations and labels may have the image replaced
 */
export function noteContainerImage(
  scalar: TreeScalar,
  text: string,
  path: Path,
  owner: Tree | undefined,
  walk: Walk,
): void {
  const place = placeOf(scalar, path, text, walk);
  if (isInjected(owner) && text === 'auto') walk.notImages.push({ place, why: 'placeholder', text });
  else if (asReference(text) !== undefined) walk.references.push({ kind: kindIn(walk, 'typed'), text, place });
  else if (walk.outer === undefined) walk.notImages.push({ place, why: 'not-a-reference', text: undefined });
}

/**
 * Istio's webhook sets the image of pods that ask for it, whose image is `auto` until then
 * (https://istio.io/latest/docs/setup/additional-setup/gateway/).
 */
function isInjected(owner: Tree | undefined): boolean {
  const metadata = at(owner, 'metadata');
  return ['annotations', 'labels'].some((each) => {
    const map = at(metadata, each);
    return map?.kind === 'map' && map.entries.some(([key]) => /^(?:inject|sidecar)\.istio\.io\//.test(key));
  });
}
