import type { FieldMode } from './field-mode.ts';
import type { FoundKind, FoundReference, NotAnImage, ObjectIdentity, ReferencePlace } from './found.ts';
import type { TreeScalar } from './yaml-tree.ts';

/** Keys and positions from the top of an object, or of a document inside one of its strings. */
export type Path = readonly (string | number)[];

/** A string of the object whose text is a document of its own, being read. */
interface OuterText {
  readonly scalar: TreeScalar;
  readonly text: string;
  readonly path: Path;
  readonly depth: number;
}

/** A way through one object, and what has been found on it so far. */
export interface Walk {
  readonly object: ObjectIdentity;
  readonly mode: FieldMode;
  readonly outer: OuterText | undefined;
  readonly references: FoundReference[];
  readonly notImages: NotAnImage[];
  readonly seen: { containers: boolean };
}

/** What stands inside a string is a guess, however well it looks. */
export function kindIn(walk: Walk, kind: FoundKind): FoundKind {
  return walk.outer === undefined ? kind : 'text';
}

/**
 * The place of a text in the object. In a document inside a string it is that string's place, with the path inside it.
 * @param part where the text stands in the scalar's, where it is only a part of that (UTF-16 units)
 */
export function placeOf(
  scalar: TreeScalar,
  path: Path,
  text: string,
  walk: Walk,
  part?: { readonly start: number; readonly end: number },
): ReferencePlace {
  const { outer, object } = walk;
  if (outer === undefined) {
    const line = scalar.line + (part === undefined ? 0 : linesBefore(scalar, scalar.text ?? '', part.start));
    return { template: '', line, object, path, span: part };
  }
  // The inner document was parsed from the outer string: its positions are positions there, quotes and escapes included.
  const found = outer.text.slice(scalar.start, scalar.end).indexOf(text);
  const start = scalar.start + Math.max(found, 0);
  const span = scalar.end === 0 ? undefined : { start, end: found < 0 ? scalar.end : start + text.length };
  const line = outer.scalar.line + linesBefore(outer.scalar, outer.text, span?.start ?? 0);
  return { template: '', line, object, path: outer.path, span, inside: path };
}

/** Lines of a block text before a position; elsewhere the text's lines are not those of the document. */
function linesBefore(scalar: TreeScalar, text: string, position: number): number {
  return scalar.block ? text.slice(0, position).split('\n').length - 1 : 0;
}
