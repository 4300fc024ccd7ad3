import type { ValuePath } from '../values/tree.ts';
import type { ChartInside } from './inside.ts';

export interface TemplateKeys {
  /** Paths that templates read from `.Values`, under the subchart's key. */
  readonly paths: readonly ValuePath[];
  /** Those that a line with an image on it reads, whatever their names are. */
  readonly imagePaths: readonly ValuePath[];
  /** Field names that templates read from anything. */
  readonly names: readonly string[];
}

const valuesPath = /\.Values((?:\.[A-Za-z_]\w*)+)/g;
const indexed = /index\s+(?:\$|\.)?\.?Values((?:\s+"[\w.-]+")+)/g;
const globalPath = /\.(global(?:\.[A-Za-z_]\w*)+)/g;
const field = /\.([A-Za-z_]\w*)/g;
const key = /"([A-Za-z_]\w*)"/g;

/**
 * What templates read, found in their text: values that no values.yaml mentions can be set all the same. What a named
 * template reads (`define`), it reads from the chart that includes it, which may be any.
 */
export function templateKeys(templates: ChartInside['templates']): TemplateKeys {
  const paths = new Map<string, ValuePath>();
  const imagePaths = new Map<string, ValuePath>();
  const names = new Set<string>();
  const charts = [...new Map(templates.map(({ at }) => [at.join('\0'), at])).values()];
  for (const { at, text } of templates) {
    const own = [at];
    const used = text.includes('define') ? charts : own;
    for (const { inner, isImage } of actionsOf(text)) {
      const read = used.flatMap((chart) => pathsIn(inner, chart));
      for (const path of read) paths.set(path.join('\0'), path);
      if (isImage) for (const path of read) imagePaths.set(path.join('\0'), path);
      for (const match of inner.matchAll(field)) names.add(match[1] ?? '');
      for (const match of inner.matchAll(key)) names.add(match[1] ?? '');
    }
  }
  return { paths: [...paths.values()], imagePaths: [...imagePaths.values()], names: [...names] };
}

/** What stands between the braces of a template, and whether it makes an image or a part of one by its line or its name. */
function* actionsOf(text: string): Generator<{ readonly inner: string; readonly isImage: boolean }> {
  let named = false;
  for (const action of text.matchAll(/\{\{(.*?)\}\}/gs)) {
    const inner = withoutParentheses(action[1] ?? '');
    const definition = /^-?\s*define\s+"([^"]+)"/.exec(inner)?.[1];
    if (definition !== undefined) named = /image|registr|repositor/i.test(definition);
    const line = text.slice(text.lastIndexOf('\n', action.index) + 1, action.index);
    yield { inner, isImage: named || /image["']?\s*[:=]/i.test(line) };
  }
}

function pathsIn(inner: string, at: ValuePath): readonly ValuePath[] {
  return [
    ...[...inner.matchAll(valuesPath)].map((match) => [...at, ...(match[1] ?? '').slice(1).split('.')]),
    ...[...inner.matchAll(globalPath)].map((match) => (match[1] ?? '').split('.')),
    ...[...inner.matchAll(indexed)].map((match) => [
      ...at,
      ...[...(match[1] ?? '').matchAll(/"([^"]+)"/g)].map((part) => part[1] ?? ''),
    ]),
  ];
}

/** `(.Values.global).imageRegistry` and `(((.context.Values).a).b).c` guard against missing maps and read the same paths. */
function withoutParentheses(action: string): string {
  const plain = action.replaceAll(/\(\s*(\$?(?:\.\w+)+)\s*\)/g, '$1');
  return plain === action ? plain : withoutParentheses(plain);
}
