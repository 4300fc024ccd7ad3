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
