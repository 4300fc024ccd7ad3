import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import type { Helm } from '../charts/helm.ts';
import { helmTemplate } from '../charts/helm.ts';
import { type RenderedReference, typedReferences } from '../charts/references.ts';
import { isReplicationError, toReplicationError } from '../model/errors.ts';
import type { PlannedChart } from '../model/plan.ts';
import type { DataFileSet } from '../sources/eks/data-files.ts';
import { archiveOf, type Sources } from './eks-plan.ts';
import type { Session } from './session.ts';

/**
 * Renders each chart with the values that are published and tells which containers would still be pulled from elsewhere.
 * A chart that cannot be rendered without values of the cluster's own is told, too.
 * @param prefix P: what every replicated reference begins with
 * @returns number of references that are not at the target
 */
export async function checkRenders(
  session: Session,
  helm: Helm,
  files: DataFileSet,
  sources: Sources,
  charts: readonly PlannedChart[],
  prefix: string,
): Promise<number> {
  const limit = pLimit(availableParallelism());
  const warn = (message: string): void => session.reporter.emit({ type: 'notice', level: 'warning', message });
  const gaps = await Promise.all(
    charts.map((chart) =>
      limit(async () => {
        try {
          const outside = await outsideReferences(session, helm, files, sources, chart, prefix);
          for (const [reference, place] of outside) {
            warn(
              `chart ${chart.name} ${chart.version}: still pulls ${reference} (${place.object} ${place.path}, ${place.template}): no declared path re-points it`,
            );
          }
          return outside.size;
        } catch (error) {
          if (isReplicationError(error, 'cancelled') || session.signal.aborted) throw error;
          warn(`chart ${chart.name} ${chart.version} was not checked: ${toReplicationError(error).message}`);
          return 0;
        }
      }),
    ),
  );
  return gaps.reduce((sum, each) => sum + each, 0);
}

async function outsideReferences(
  session: Session,
  helm: Helm,
  files: DataFileSet,
  sources: Sources,
  chart: PlannedChart,
  prefix: string,
): Promise<ReadonlyMap<string, RenderedReference>> {
  const entry = files.charts.get(chart.key);
  const { archive } = await archiveOf(sources, files, chart, session.signal);
  const outside = new Map<string, RenderedReference>();
  // Values of profiles are those under which the chart is used; without any, the chart's own.
  const profiles = entry === undefined || entry.profiles.size === 0 ? [{}] : [...entry.profiles.values()];
  for (const profile of profiles) {
    const rendered = await helmTemplate(helm, {
      chart: archive,
      releaseName: chart.key.replaceAll('_', '-').toLowerCase(),
      // Some charts refuse the namespace "default" (nvidia-device-plugin 0.17: templates/validation.yml).
      namespace: 'image-replication',
      kubeVersion: files.eksVersion,
      apiVersions: [...files.apiVersions, ...(entry?.apiVersions ?? [])],
      values: [profile, chart.values],
      signal: session.signal,
    });
    for (const found of typedReferences(rendered))
      if (!found.reference.startsWith(prefix)) outside.set(found.reference, found);
  }
  return outside;
}
