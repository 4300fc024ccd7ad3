import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import type { Helm } from '../charts/helm.ts';
import { discover } from '../charts/discovery/discover.ts';
import type { FoundReference } from '../charts/discovery/found.ts';
import { renderChart } from '../charts/render/render-chart.ts';
import { isReplicationError, ReplicationError, toReplicationError } from '../model/errors.ts';
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
              `chart ${chart.name} ${chart.version}: still pulls ${reference} (${placeText(place)}): no declared path re-points it`,
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
): Promise<ReadonlyMap<string, FoundReference['place']>> {
  const entry = files.charts.get(chart.key);
  const { archive } = await archiveOf(sources, files, chart, session.signal);
  const outside = new Map<string, FoundReference['place']>();
  // Values of profiles are those under which the chart is used; without any, the chart's own.
  const profiles = entry === undefined || entry.profiles.size === 0 ? [{}] : [...entry.profiles.values()];
  for (const profile of profiles) {
    const outcome = await renderChart(helm, {
      chart: archive,
      releaseName: chart.key.replaceAll('_', '-').toLowerCase(),
      kubeVersion: files.eksVersion,
      apiVersions: [...files.apiVersions, ...(entry?.apiVersions ?? [])],
      values: [profile, chart.values],
      signal: session.signal,
    });
    if (outcome.kind === 'refused') {
      throw new ReplicationError('configuration', `helm cannot render the chart: ${outcome.refusal.message}`, {
        remedy: 'give the values that the chart asks for under "values" of its entry in the data file',
      });
    }
    for (const { kind, text, place } of discover(outcome.text).references)
      if (kind === 'typed' && !text.startsWith(prefix)) outside.set(text, place);
  }
  return outside;
}

/** `Deployment/web spec.containers[0].image, web/templates/deployment.yaml`. */
function placeText({ object, path, template }: FoundReference['place']): string {
  const field = path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${key}`)).join('');
  return `${object.kind}/${object.name} ${field}, ${template}`;
}
