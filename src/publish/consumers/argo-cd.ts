import type { PlannedChart } from '../../model/plan.ts';
import { chartAddress, objectName } from './names.ts';
import { commented, yamlText } from './yaml-text.ts';

/**
 * An Argo CD Application of the chart at the target with its overrides. A chart in a registry has a repoURL without scheme, and
 * its name in `chart` (https://argo-cd.readthedocs.io/en/stable/user-guide/helm/); values stand in `valuesObject` (2.6 and newer).
 */
export function argoApplication(chart: PlannedChart): string {
  const { parent } = chartAddress(chart);
  const comment = [
    `${chart.name} ${chart.version}: an Argo CD Application with the values that point its images at the private registry.`,
    `Argo CD has to know the registry: argocd repo add ${parent} --type helm --name ${objectName(parent.slice(parent.lastIndexOf('/') + 1))} --enable-oci`,
    '(with credentials; a token of ECR is good for 12 hours, so let something renew it). Set namespace and project as you use them,',
    'and merge your own values into valuesObject.',
  ];
  return `${commented(comment)}${yamlText({
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Application',
    metadata: { name: objectName(chart.key), namespace: 'argocd' },
    spec: {
      project: 'default',
      source: {
        repoURL: parent,
        chart: chart.name,
        targetRevision: chart.version,
        helm: { releaseName: objectName(chart.key), valuesObject: chart.values },
      },
      destination: { server: 'https://kubernetes.default.svc', namespace: objectName(chart.key) },
      syncPolicy: { syncOptions: ['CreateNamespace=true'] },
    },
  })}`;
}
