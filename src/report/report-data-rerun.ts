import { parseReference } from '../model/reference.ts';
import type { RunRecord } from './record.ts';
import type { ReportArtifact, ReportChart, ReportData } from './report-data.ts';

/** What the same run would do if it were started again now, as far as this one knows. */
export function reportRerun(
  artifacts: readonly ReportArtifact[],
  charts: readonly ReportChart[],
  record: RunRecord,
): ReportData['rerun'] {
  const copies = artifacts.flatMap(({ artifact, outcome }) => {
    if (outcome === 'failed') return [{ artifact, why: 'copies it again: it failed' }];
    return outcome === 'open' ? [{ artifact, why: 'copies it, unless the target holds it already' }] : [];
  });
  const proofs = charts
    .filter(({ holds }) => !holds)
    .map(({ name, version }) => ({
      artifact: `chart ${name} ${version}`,
      why: 'renders it from the target and proves it again: its isolation does not hold',
    }));
  const known = new Set([...copies, ...proofs].map(({ artifact }) => artifact));
  const others = record.failures
    .filter(({ artifact }) => !known.has(artifact))
    .map(({ artifact }) => ({ artifact, why: 'tries it again: it failed' }));
  const unique = new Map([...copies, ...proofs, ...others].map((each) => [`${each.artifact}\n${each.why}`, each]));
  return { tagsAsked: artifacts.filter(namedByTag).length, does: [...unique.values()] };
}

function namedByTag({ kind, source }: ReportArtifact): boolean {
  if (kind === 'chart') return false;
  try {
    return parseReference(source).digest === undefined;
  } catch {
    return true;
  }
}
