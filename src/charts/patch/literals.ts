import type { FoundReference } from '../discovery/found.ts';
import type { Move } from './port.ts';
import { escaped } from './version.ts';

/** A text to replace in some files. */
export interface Edit {
  readonly find: string;
  readonly replace: string;
  /** What the reference goes on with. */
  readonly rest: string;
  readonly files: readonly string[];
}

/**
 * Ways to move a reference by changing texts, the most careful one first: all of it, then its name without tag, then
 * ever shorter beginnings down to the host; each in the templates that render it, then in any template, then in any file that a
 * template can read. A shorter text can serve only where the target ends as the reference does.
 */
export function waysToMove(
  move: Move,
  places: readonly FoundReference['place'][],
  texts: ReadonlyMap<string, string>,
): readonly Edit[] {
  const readable = [...texts.keys()].filter((path) => !isUnread(path));
  const templates = readable.filter((path) => path.includes('/templates/'));
  const own = templates.filter((path) => places.some(({ template }) => tail(path) === tail(template)));
  const ways = new Map<string, Edit>();
  for (const { find, replace, rest } of beginnings(move)) {
    const pattern = literal(find, rest);
    for (const scope of [own, templates, readable]) {
      const files = scope.filter((path) => texts.get(path)?.search(pattern) !== -1);
      const key = JSON.stringify([find, files]);
      if (files.length > 0 && !ways.has(key)) ways.set(key, { find, replace, rest, files });
    }
  }
  return [...ways.values()];
}

/** Chart.yaml changes in its own way; definitions are installed as they are; documents and licences reach no render. */
function isUnread(path: string): boolean {
  return /(?:^|\/)(?:Chart\.(?:yaml|lock)|requirements\.(?:yaml|lock)|values\.schema\.json|README[^/]*|LICENSE[^/]*|CHANGELOG[^/]*|[^/]*\.md|\.helmignore)$|\/crds\//i.test(
    path,
  );
}

/** From the last `templates/` on: a subchart's folder has another name than its alias, which helm prints. */
function tail(path: string): string {
  return path.slice(path.lastIndexOf('/templates/'));
}

function beginnings({ text, target }: Move): readonly Omit<Edit, 'files'>[] {
  const found = [{ find: text, replace: target, rest: '' }];
  const name = /^(?:[^/@]*\/)?[^:@]*/.exec(text)?.[0] ?? '';
  let find = name;
  while (find !== '') {
    const rest = text.slice(find.length);
    if (rest !== '' && target.endsWith(rest)) found.push({ find, replace: target.slice(0, -rest.length), rest });
    find = find.slice(0, Math.max(0, find.lastIndexOf('/')));
  }
  return found;
}

/**
 * The text where it stands for itself, or begins what the reference goes on with: not as a part of a longer name, nor as the
 * beginning of another reference.
 * @param rest what follows in the reference; templates may write a part of it, and compute what is missing
 */
function literal(find: string, rest: string): RegExp {
  const before = String.raw`(?<![\w./:@-])`;
  if (rest === '') return new RegExp(String.raw`${before}${escaped(find)}(?![\w/:@-]|\.\w)`, 'g');
  const written = Array.from({ length: rest.length + 1 }, (_, length) => escaped(rest.slice(0, length)));
  return new RegExp(String.raw`${before}${escaped(find)}(?=(?:${written.join('|')})(?![\w./:@-]))`, 'g');
}

/** The texts with the edits made, those only that changed. Longer texts are replaced first, and nothing is replaced twice. */
export function applyEdits(edits: readonly Edit[], texts: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const changed = new Map<string, string>();
  const ordered = [...edits].sort((a, b) => b.find.length - a.find.length);
  for (const file of new Set(ordered.flatMap(({ files }) => files))) {
    const before = texts.get(file) ?? '';
    const replaced: string[] = [];
    let text = before;
    for (const { find, replace, rest, files } of ordered) {
      if (!files.includes(file)) continue;
      // Marks of characters that no chart has keep a target from being taken for something to replace.
      text = text.replace(literal(find, rest), () => `\uE000${replaced.push(replace) - 1}\uE001`);
    }
    text = text.replaceAll(/\uE000(\d+)\uE001/g, (_, at: string) => replaced[Number(at)] ?? '');
    if (text !== before) changed.set(file, text);
  }
  return changed;
}
