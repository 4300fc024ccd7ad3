import type { ValuePath } from '../values/tree.ts';
import type { ChartInside } from './inside.ts';

export interface TemplateKeys {
  /** Paths that templates read from `.Values`, under the subchart's key. */
  readonly paths: readonly ValuePath[];
  /** Field names that templates read from anything. */
  readonly names: readonly string[];
}

const valuesPath = /\.Values((?:\.[A-Za-z_]\w*)+)/g;
const indexed = /index\s+(?:\$|\.)?\.?Values((?:\s+"[\w.-]+")+)/g;
const globalPath = /\.(global(?:\.[A-Za-z_]\w*)+)/g;
const field = /\.([A-Za-z_]\w*)/g;
const key = /"([A-Za-z_]\w*)"/g;

/** What templates read, found in their text: values that no values.yaml mentions can be set all the same. */
export function templateKeys(templates: ChartInside['templates']): TemplateKeys {
  const paths = new Map<string, ValuePath>();
  const names = new Set<string>();
  const add = (path: ValuePath): void => {
    paths.set(path.join('\0'), path);
  };
  for (const { at, text } of templates) {
    for (const action of text.matchAll(/\{\{(.*?)\}\}/gs)) {
      const inner = withoutParentheses(action[1] ?? '');
      for (const match of inner.matchAll(valuesPath)) add([...at, ...(match[1] ?? '').slice(1).split('.')]);
      for (const match of inner.matchAll(globalPath)) add((match[1] ?? '').split('.'));
      for (const match of inner.matchAll(indexed))
        add([...at, ...[...(match[1] ?? '').matchAll(/"([^"]+)"/g)].map((part) => part[1] ?? '')]);
      for (const match of inner.matchAll(field)) names.add(match[1] ?? '');
      for (const match of inner.matchAll(key)) names.add(match[1] ?? '');
    }
  }
  return { paths: [...paths.values()], names: [...names] };
}

/** `(.Values.global).imageRegistry` and `((.Values.a).b).c` guard against missing maps and read the same paths. */
function withoutParentheses(action: string): string {
  const plain = action.replaceAll(/\(\s*(\$?\.Values(?:\.\w+)*)\s*\)/g, '$1');
  return plain === action ? plain : withoutParentheses(plain);
}
