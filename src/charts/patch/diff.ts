/** A unified diff without context, for files whose lines are replaced one by one (`git apply --unidiff-zero` takes it). */
export function diffOf(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string {
  const pieces: string[] = [];
  for (const [path, text] of [...after].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const old = (before.get(path) ?? '').split('\n');
    const now = text.split('\n');
    const changes = now.flatMap((line, at) =>
      line === old[at] ? [] : [`@@ -${at + 1} +${at + 1} @@\n-${old[at] ?? ''}\n+${line}\n`],
    );
    pieces.push(`--- a/${path}\n+++ b/${path}\n${changes.join('')}`);
  }
  return pieces.join('');
}

/**
 * The texts that such a diff changes, as they are then; `undefined` when it is not about these texts.
 * @param patch lines before the first file are left out
 */
export function changedTexts(
  texts: ReadonlyMap<string, string>,
  patch: string,
): ReadonlyMap<string, string> | undefined {
  const changed = new Map<string, string>();
  for (const piece of patch.split(/^(?=--- a\/.*\n\+\+\+ b\/)/m).slice(1)) {
    const [head = '', , ...hunks] = piece.split('\n');
    const path = head.slice('--- a/'.length);
    const text = changedText(texts.get(path)?.split('\n') ?? [], hunks.slice(0, -1));
    if (text === undefined) return undefined;
    changed.set(path, text);
  }
  return changed.size === 0 ? undefined : changed;
}

/** Three rows a hunk: its place, the line as it was, the line as it is then. */
function changedText(before: readonly string[], hunks: readonly string[]): string | undefined {
  const after = [...before];
  for (let at = 0; at < hunks.length; at += 3) {
    const [head = '', old, now = ''] = hunks.slice(at, at + 3);
    const line = Number(/^@@ -(\d+) \+\1 @@$/.exec(head)?.[1]) - 1;
    if (before[line] === undefined || old !== `-${before[line]}` || !now.startsWith('+')) return undefined;
    after[line] = now.slice(1);
  }
  return after.join('\n');
}
