import { composeReferences } from './parts.ts';
import { kindIn, type Path, placeOf, type Walk } from './walk-state.ts';
import { at, type Tree, type TreeScalar } from './yaml-tree.ts';

/** Notes references that are put together from keys of a map. Returns the keys that hold them. */
export function noteComposed(tree: Tree & { readonly kind: 'map' }, path: Path, walk: Walk): ReadonlySet<string> {
  const texts = new Map<string, string>();
  for (const [key, value] of tree.entries) if (value.kind === 'scalar') texts.set(key, value.text ?? '');
  const taken = new Set<string>();
  // A bare name in a section that is switched off, or whose repository is empty: a feature that is not set up.
  const unset = texts.get('repository') === '' || switchedOff(tree);
  if (unset && !/[/:@]/.test(texts.get('image') ?? '')) taken.add('image');
  for (const { text, parts } of composeReferences(texts, { withoutTag: false })) {
    const first = at(tree, Object.values(parts)[0] ?? '');
    const line = first?.line ?? tree.line;
    const map: TreeScalar = {
      kind: 'scalar',
      text: undefined,
      number: false,
      flag: undefined,
      block: false,
      line,
      start: 0,
      end: 0,
    };
    const place = placeOf(map, path, text, walk);
    const kind = walk.mode === 'custom' ? kindIn(walk, 'field') : 'text';
    walk.references.push({ kind, text, place, parts });
    for (const key of Object.values(parts)) taken.add(key);
  }
  return taken;
}

function switchedOff(tree: Tree): boolean {
  const enabled = at(tree, 'enabled');
  return enabled?.kind === 'scalar' && enabled.flag === false;
}
