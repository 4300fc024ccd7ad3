import type { PlannedChart } from '../../model/plan.ts';

/**
 * A file name for each chart: its key with what is awkward in paths replaced, told apart by a number where two keys become one name.
 */
export function fileNames(charts: readonly PlannedChart[]): ReadonlyMap<PlannedChart, string> {
  const names = new Map<PlannedChart, string>();
  const taken = new Set<string>();
  for (const chart of charts) {
    const plain = chart.key.replaceAll(/[^A-Za-z0-9._-]+/g, '-').replace(/^[.-]+/, '') || 'chart';
    let name = plain;
    // Some file systems do not tell upper case from lower case.
    for (let number = 2; taken.has(name.toLowerCase()); number += 1) name = `${plain}-${number}`;
    taken.add(name.toLowerCase());
    names.set(chart, name);
  }
  return names;
}

/** A Kubernetes object name (RFC 1123 label, at most 53 characters, which is what helm takes as a release name). */
export function objectName(text: string): string {
  const name = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 53)
    .replace(/^-+|-+$/g, '');
  return name === '' ? 'chart' : name;
}

/** Where a chart's package is at the target: `<registry>/<path>` above it, its name, and the tag. */
export function chartAddress({ target }: PlannedChart): {
  readonly parent: string;
  readonly repository: string;
  readonly tag: string;
} {
  const colon = target.lastIndexOf(':');
  const repository = target.slice(0, colon);
  return { parent: repository.slice(0, repository.lastIndexOf('/')), repository, tag: target.slice(colon + 1) };
}
